//! Notifications through the door: who may, what goes in, what comes out, and the live stream.

use std::sync::Arc;
use std::time::Duration;

use ::http::{Request, StatusCode};
use axum::Router;
use axum::body::Body;
use gateway::{Door, DoorSettings, Doorkeeper, Resolving, ShutdownTrigger, shutdown};
use http_body_util::BodyExt;
use kernel::{Caller, Entropy, Grant, Grants, Id, KeyId, RawId};
use notifications::{Live, LiveFact, LiveLimits, grants};
use outbox::Fact;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::web_server::WebServer;
use super::world::{World, lead_mail, local, workspace};

const SEE_NOTES: Grant = Grant("notes:read");

/// `all-<n>`, `read-<n>` and `none-<n>` are keys with those rights of workspace n; `live-<n>` may also see notes.
struct Keeper;

impl Doorkeeper for Keeper {
    fn by_session<'a>(&'a self, _: &'a str) -> Resolving<'a> {
        Box::pin(async { Ok(None) })
    }
    fn by_key<'a>(&'a self, bearer: &'a str) -> Resolving<'a> {
        Box::pin(async move {
            let Some((rights, number)) = bearer.split_once('-') else { return Ok(None) };
            let grants = match rights {
                "all" => Grants::of(grants::ALL),
                "read" => Grants::of([grants::READ]),
                "live" => Grants::of([grants::READ, SEE_NOTES]),
                _ => Grants::default(),
            };
            let key = |n| Caller::Key { workspace: workspace(n), key: KeyId::from_raw(RawId::from_bits(n)), grants };
            Ok(number.parse().ok().map(key))
        })
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct Noted {
    note: String,
}

impl Fact for Noted {
    const NAME: &'static str = "notes.noted";
    fn subject(&self) -> String {
        self.note.clone()
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct Hidden {
    note: String,
}

impl Fact for Hidden {
    const NAME: &'static str = "secrets.kept";
    fn subject(&self) -> String {
        self.note.clone()
    }
}

struct House {
    world: World,
    router: Router,
    document: Value,
    shutdown: ShutdownTrigger,
}

struct Reply {
    status: StatusCode,
    text: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }
    fn field(&self) -> String {
        self.json()["errors"][0]["field"].as_str().unwrap_or_default().to_owned()
    }
}

impl House {
    async fn new(limits: LiveLimits) -> Self {
        let world = World::new().await;
        let (trigger, signal) = shutdown();
        let door = Door::new(DoorSettings::default(), Arc::new(Keeper), &Entropy::seeded(1), signal);
        let facts = [LiveFact { name: Noted::NAME, grant: SEE_NOTES }, LiveFact { name: Hidden::NAME, grant: Grant("secrets:read") }];
        let live = Live::new(world.outbox.feed(), &facts, limits);
        let deps = notifications::Deps { store: world.store.clone(), allowed: local(), live };
        let (routes, document) = notifications::routes(deps).split_for_parts();
        let routes = routes.merge(notifications::mailbox_routes(world.mail_folder()));
        let document = serde_json::from_str(&gateway::openapi::to_json(document).unwrap()).unwrap();
        Self { router: door.around(routes), world, document, shutdown: trigger }
    }

    async fn ask(&self, key: &str, method: &str, path: &str, body: Option<Value>) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        if !key.is_empty() {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let request = match body {
            Some(body) => request.header("content-type", "application/json").body(Body::from(body.to_string())),
            None => request.body(Body::empty()),
        };
        let response = self.router.clone().oneshot(request.unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        if path.starts_with("/v1/") {
            let content_type = parts.headers.get("content-type").map(|v| v.to_str().unwrap().to_owned());
            let known = path.split('?').next().unwrap();
            gateway::openapi::check(&self.document, method, known, parts.status.as_u16(), content_type.as_deref(), &bytes).unwrap();
        }
        Reply { status: parts.status, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    async fn listen(&self, key: &str, last_id: Option<&str>) -> Result<Stream, StatusCode> {
        let mut request = Request::get("/v1/live").header("authorization", format!("Bearer {key}"));
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        let response = self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        if response.status() != StatusCode::OK {
            return Err(response.status());
        }
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Ok(Stream { body: response.into_body(), text: String::new() })
    }

    async fn publish<F: Fact + Clone + Send + Sync + 'static>(&self, number: u128, fact: F) {
        let unit = self.world.store.write(&self.world.system, (workspace(number), fact), |tx, (workspace, fact)| {
            Box::pin(async move { outbox::publish(tx, workspace, &fact).await })
        });
        let done: Result<(), store::StoreError> = unit.await;
        done.unwrap();
        self.world.drain().await;
    }
}

fn noted(note: &str) -> Noted {
    Noted { note: note.to_owned() }
}

#[derive(Debug, PartialEq)]
struct Told {
    id: String,
    name: String,
    data: String,
}

struct Stream {
    body: Body,
    text: String,
}

impl Stream {
    /// The next event; none when the stream has ended.
    async fn next(&mut self) -> Option<Told> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let line = |name: &str| event.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_default().trim().to_owned();
                let told = Told { id: line("id:"), name: line("event:"), data: line("data:") };
                self.text = rest.to_owned();
                if told.name.is_empty() {
                    continue;
                }
                return Some(told);
            }
            let frame = tokio::time::timeout(Duration::from_secs(5), self.body.frame()).await.expect("an event or the end")?;
            self.text.push_str(std::str::from_utf8(&frame.unwrap().into_data().unwrap()).unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_made_tested_watched_rotated_and_removed() {
    let house = House::new(LiveLimits::default()).await;
    let server = WebServer::start().await;
    let body = json!({"url": server.url("/ok"), "description": "CRM", "event_types": ["lead.*"]});
    let made = house.ask("all-1", "POST", "/v1/webhooks", Some(body)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let secret = made.json()["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("whsec_"));
    let path = format!("/v1/webhooks/{}", made.json()["endpoint"]["id"].as_str().unwrap());
    let found = house.ask("read-1", "GET", &path, None).await;
    assert!(!found.text.contains("whsec_") && found.json()["is_enabled"] == true);

    let event = house.ask("all-1", "POST", &format!("{path}/test"), None).await.json()["event"].as_str().unwrap().to_owned();
    house.world.drain().await;
    assert_eq!(server.hits("/ok")[0].header("webhook-id"), event);
    let attempts = house.ask("read-1", "GET", &format!("{path}/attempts?limit=1"), None).await.json();
    assert_eq!((attempts["items"][0]["outcome"].as_str(), attempts["items"][0]["status"].as_i64()), (Some("delivered"), Some(200)));

    let replayed = house.ask("all-1", "POST", &format!("{path}/replay"), Some(json!({ "event": event }))).await;
    assert_eq!(replayed.status, StatusCode::OK, "{}", replayed.text);
    assert_eq!(
        house.ask("all-1", "POST", &format!("{path}/replay"), Some(json!({"event": "evt_none"}))).await.status,
        StatusCode::NOT_FOUND
    );
    house.world.drain().await;
    assert_eq!(server.hits("/ok").len(), 2);

    let rotated = house.ask("all-1", "POST", &format!("{path}/rotate"), Some(json!({"old_valid_for_s": 60}))).await;
    assert_eq!(rotated.status, StatusCode::CREATED, "{}", rotated.text);
    assert_ne!(rotated.json()["secret"], secret);
    assert_eq!(rotated.json()["endpoint"]["previous_secret_until"], "2026-01-31T09:31:00Z");
    assert_eq!(
        house.ask("all-1", "POST", &format!("{path}/rotate"), Some(json!({"old_valid_for_s": 604_801}))).await.field(),
        "old_valid_for_s"
    );

    let patched = house.ask("all-1", "PATCH", &path, Some(json!({"is_enabled": false}))).await;
    assert_eq!(patched.json()["disabled_reason"], "by_hand");
    assert_eq!(house.ask("all-1", "POST", &format!("{path}/test"), None).await.status, StatusCode::CONFLICT);
    assert_eq!(house.ask("all-1", "DELETE", &path, None).await.status, StatusCode::NO_CONTENT);
    assert_eq!(house.ask("all-1", "GET", "/v1/webhooks", None).await.json()["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_is_refused_and_another_workspace_sees_nothing() {
    let house = House::new(LiveLimits::default()).await;
    let body = json!({"url": "https://example.org/hook"});
    let made = house.ask("all-1", "POST", "/v1/webhooks", Some(body.clone())).await.json();
    let path = format!("/v1/webhooks/{}", made["endpoint"]["id"].as_str().unwrap());
    assert_eq!(house.ask("read-1", "POST", "/v1/webhooks", Some(body)).await.status, StatusCode::FORBIDDEN);
    for (method, path, body) in [
        ("GET", path.clone(), None),
        ("PATCH", path.clone(), Some(json!({"description": "mine"}))),
        ("DELETE", path.clone(), None),
        ("POST", format!("{path}/rotate"), Some(json!({}))),
        ("POST", format!("{path}/test"), None),
        ("POST", format!("{path}/replay"), Some(json!({"event": "evt_1"}))),
        ("GET", format!("{path}/attempts"), None),
    ] {
        assert_eq!(house.ask("all-2", method, &path, body.clone()).await.status, StatusCode::NOT_FOUND, "{method} {path}");
        assert_eq!(house.ask("none-1", method, &path, body.clone()).await.status, StatusCode::FORBIDDEN, "{method} {path}");
        assert_eq!(house.ask("", method, &path, body).await.status, StatusCode::UNAUTHORIZED, "{method} {path}");
    }
    for path in ["/v1/webhooks", "/v1/messages", "/v1/templates", "/v1/templates/invitation/en", "/v1/live"] {
        assert_eq!(house.ask("none-1", "GET", path, None).await.status, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(house.ask("", "GET", path, None).await.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    assert_eq!(house.ask("all-2", "GET", "/v1/webhooks", None).await.json()["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_right_is_refused_by_its_field() {
    let house = House::new(LiveLimits::default()).await;
    for (body, field) in [
        (json!({"url": "http://10.0.0.1/"}), "url"),
        (json!({"url": "http://2130706434/"}), "url"),
        (json!({"url": "file:///etc/passwd"}), "url"),
        (json!({"url": "https://example.org", "event_types": ["*"]}), "event_types"),
        (json!({"url": "https://example.org", "description": "x".repeat(201)}), "description"),
        (json!({"description": "x"}), "url"),
        (json!({"url": "https://example.org", "color": "red"}), "color"),
    ] {
        let refused = house.ask("all-1", "POST", "/v1/webhooks", Some(body.clone())).await;
        assert_eq!((refused.status, refused.field().as_str()), (StatusCode::UNPROCESSABLE_ENTITY, field), "{body} {}", refused.text);
    }
    assert_eq!(house.ask("all-1", "GET", "/v1/messages?after=x", None).await.field(), "after");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wording_is_previewed_saved_shown_and_reset() {
    let house = House::new(LiveLimits::default()).await;
    let path = "/v1/templates/card_for_you/en";
    let own = json!({"subject": "Card of {{ card_name }}", "text": "{{ link }} {{ card_name }}", "html": "<a href=\"{{ link }}\">{{ card_name }}</a>"});
    let preview = house.ask("read-1", "POST", &format!("{path}/preview"), Some(own.clone())).await.json();
    assert_eq!(preview["subject"], "Card of Ada Lovelace");
    assert!(preview["html"].as_str().unwrap().starts_with("<!doctype html>"));
    let wrong = json!({"subject": "In {{ card_name }}", "text": "no link", "html": "{{ link }} {{ card_name }}"});
    assert_eq!(house.ask("read-1", "POST", &format!("{path}/preview"), Some(wrong.clone())).await.field(), "text");
    assert_eq!(house.ask("all-1", "PUT", path, Some(wrong)).await.field(), "text");
    assert_eq!(house.ask("read-1", "PUT", path, Some(own.clone())).await.status, StatusCode::FORBIDDEN);
    assert_eq!(house.ask("all-1", "PUT", path, Some(own.clone())).await.json()["version"], 1);
    assert_eq!(house.ask("read-1", "GET", path, None).await.json()["wording"], own);
    assert_eq!(house.ask("read-2", "GET", path, None).await.json()["version"], 0);
    assert_eq!(house.ask("all-1", "DELETE", path, None).await.json()["version"], 2);
    assert_eq!(house.ask("read-1", "GET", path, None).await.json()["version"], 0);
    assert_eq!(house.ask("all-1", "PUT", "/v1/templates/nothing/en", Some(own.clone())).await.status, StatusCode::NOT_FOUND);
    assert_eq!(house.ask("all-1", "PUT", "/v1/templates/invitation/xx", Some(own)).await.status, StatusCode::NOT_FOUND);
    // Whoever words a mail with a sign-in link could have the link sent to themselves.
    let tempting = json!({"subject": "In", "text": "{{ link }}", "html": "<img src=\"https://example.org/?{{ link }}\">"});
    assert_eq!(house.ask("all-1", "PUT", "/v1/templates/sign_in_link/en", Some(tempting)).await.field(), "key");
    let all = house.ask("read-1", "GET", "/v1/templates", None).await.json();
    assert_eq!(all.as_array().unwrap().len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_listed_without_what_they_say_and_the_development_mailbox_shows_them() {
    let house = House::new(LiveLimits::default()).await;
    let id = house.world.send(lead_mail("Grace")).await.unwrap();
    house.world.drain().await;
    let listed = house.ask("read-1", "GET", "/v1/messages", None).await;
    assert_eq!(listed.json()["items"][0]["state"], "sent");
    assert!(!listed.text.contains('@') && !listed.text.contains("Grace"));
    let page = house.ask("", "GET", "/dev/mailbox", None).await;
    assert!(page.text.contains("New contact: Grace"));
    let mail = house.ask("", "GET", &format!("/dev/mailbox/{id}"), None).await;
    assert!(mail.text.contains("<a href=\"https://tessera.example/l/1\"") && mail.text.contains("sandbox="));
    assert!(house.ask("", "GET", &format!("/dev/mailbox/{id}.eml"), None).await.text.contains("Message-ID:"));
    assert_eq!(house.ask("", "GET", "/dev/mailbox/..%2f..%2fsecret.key", None).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_live_stream_tells_what_the_caller_may_see_and_resumes_where_it_broke_off() {
    let house = House::new(LiveLimits::default()).await;
    house.publish(1, noted("before")).await;
    let mut stream = house.listen("live-1", None).await.unwrap();
    let ready = stream.next().await.unwrap();
    assert_eq!(ready.name, "ready");
    house.publish(1, Hidden { note: "hidden".into() }).await;
    house.publish(2, noted("elsewhere")).await;
    house.publish(1, noted("one")).await;
    let one = stream.next().await.unwrap();
    assert_eq!((one.name.as_str(), one.data.as_str()), ("notes.noted", "{\"note\":\"one\"}"));
    drop(stream);
    house.publish(1, noted("two")).await;
    house.publish(1, noted("three")).await;
    let mut stream = house.listen("live-1", Some(&one.id)).await.unwrap();
    assert_eq!(stream.next().await.unwrap().name, "ready");
    house.publish(1, noted("four")).await;
    let mut told = Vec::new();
    for _ in 0..3 {
        told.push(stream.next().await.unwrap().data);
    }
    assert_eq!(told, ["{\"note\":\"two\"}", "{\"note\":\"three\"}", "{\"note\":\"four\"}"]);
    // From the very first id nothing that came later is missing either.
    let mut stream = house.listen("live-1", Some(&ready.id)).await.unwrap();
    stream.next().await.unwrap();
    assert_eq!(stream.next().await.unwrap(), one);
    assert_eq!(house.listen("read-1", None).await.err(), Some(StatusCode::FORBIDDEN));
    assert_eq!(house.listen("live-1", Some("x")).await.err(), Some(StatusCode::UNPROCESSABLE_ENTITY));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_live_stream_is_bounded_and_ends_with_the_server() {
    let house = House::new(LiveLimits { streams_per_workspace: 2, resume_max: 200, ..LiveLimits::default() }).await;
    let mut first = house.listen("live-1", None).await.unwrap();
    let second = house.listen("live-1", None).await.unwrap();
    assert_eq!(house.listen("live-1", None).await.err(), Some(StatusCode::TOO_MANY_REQUESTS));
    assert!(house.listen("live-2", None).await.is_ok());
    drop(second);
    let ready = first.next().await.unwrap();
    for number in 0..450 {
        let unit = house.world.store.write(&house.world.system, number, |tx, number: i32| {
            Box::pin(async move { outbox::publish(tx, workspace(1), &noted(&number.to_string())).await })
        });
        let done: Result<(), store::StoreError> = unit.await;
        done.unwrap();
    }
    // Until readers see all of it: on a shared PostgreSQL server others' transactions hold them back for a moment.
    house.world.drain().await;
    let mut late = house.listen("live-1", Some(&ready.id)).await.unwrap();
    let reset = late.next().await.unwrap();
    assert_eq!(reset.name, "reset", "who missed too much loads afresh");
    drop(late);
    let mut late = house.listen("live-1", Some(&reset.id)).await.unwrap();
    assert_eq!(late.next().await.unwrap().name, "ready");
    house.shutdown.begin();
    assert_eq!(late.next().await, None);
}
