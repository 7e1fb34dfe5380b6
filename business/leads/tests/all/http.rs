//! Leads through the door: who may, what goes in, what comes out, and that the document is true.

use std::sync::Arc;

use ::http::{Request, StatusCode};
use axum::Router;
use axum::body::Body;
use gateway::{Door, DoorSettings, Doorkeeper, Resolving, ShutdownSignal};
use http_body_util::BodyExt;
use kernel::{Caller, Entropy, Grants, Id, KeyId, RawId, WorkspaceId};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::world::{ADA, Filled, World, workspace};

/// `all-<n>`, `read-<n>` and `none-<n>` are keys with those rights, of the world's workspace for 1 and of workspace n else.
struct Keeper {
    first: WorkspaceId,
}

impl Doorkeeper for Keeper {
    fn by_session<'a>(&'a self, _: &'a str) -> Resolving<'a> {
        Box::pin(async { Ok(None) })
    }
    fn by_key<'a>(&'a self, bearer: &'a str) -> Resolving<'a> {
        Box::pin(async move {
            let Some((rights, number)) = bearer.split_once('-') else { return Ok(None) };
            let grants = match rights {
                "all" => Grants::of(leads::grants::ALL),
                "read" => Grants::of([leads::grants::READ]),
                _ => Grants::default(),
            };
            let place = |n| if n == 1 { self.first } else { workspace(n) };
            Ok(number.parse().ok().map(|n| Caller::Key { workspace: place(n), key: KeyId::from_raw(RawId::from_bits(n)), grants }))
        })
    }
}

struct House {
    world: World,
    router: Router,
    document: Value,
}

struct Reply {
    status: StatusCode,
    text: String,
    content_type: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }
    fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }
    fn field(&self) -> String {
        self.json()["errors"][0]["field"].as_str().unwrap_or_default().to_owned()
    }
}

impl House {
    async fn new() -> Self {
        let world = World::new().await;
        let door =
            Door::new(DoorSettings::default(), Arc::new(Keeper { first: world.workspace }), &Entropy::seeded(1), ShutdownSignal::never());
        let (routes, document) = leads::routes(leads::Deps { store: world.store.clone() }).split_for_parts();
        let document = serde_json::from_str(&gateway::openapi::to_json(document).unwrap()).unwrap();
        Self { router: door.around(routes), world, document }
    }

    async fn ask(&self, key: &str, method: &str, path: &str, body: Option<Value>) -> Reply {
        self.ask_once(key, method, path, body, None).await
    }

    async fn ask_once(&self, key: &str, method: &str, path: &str, body: Option<Value>, once: Option<&str>) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        if !key.is_empty() {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        if let Some(once) = once {
            request = request.header("idempotency-key", once);
        }
        let request = match body {
            Some(body) => request.header("content-type", "application/json").body(Body::from(body.to_string())),
            None => request.body(Body::empty()),
        };
        let response = self.router.clone().oneshot(request.unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let content_type = parts.headers.get("content-type").map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default();
        let known_path = path.split('?').next().unwrap();
        gateway::openapi::check(&self.document, method, known_path, parts.status.as_u16(), Some(&content_type), &bytes).unwrap();
        Reply { status: parts.status, text: String::from_utf8(bytes.to_vec()).unwrap(), content_type }
    }

    async fn get(&self, path: &str) -> Reply {
        self.ask("all-1", "GET", path, None).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_enters_reads_and_changes_a_lead() {
    let door = House::new().await;
    let body = json!({"name": "Grace Hopper", "email": "grace@example.org", "source": {"kind": "fair", "id": "hall 3"}, "consent": {"version": 0}});
    let created = door.ask_once("all-1", "POST", "/v1/leads", Some(body.clone()), Some("k1")).await;
    assert_eq!(created.status, StatusCode::CREATED, "{}", created.text);
    let again = door.ask_once("all-1", "POST", "/v1/leads", Some(body), Some("k1")).await;
    assert_eq!(again.text, created.text, "the recorded answer");
    assert!(!created.text.contains("grace"), "a recorded answer holds no personal data");
    let id = created.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/leads/{id}");
    let file = door.get(&path).await.json();
    assert_eq!((file["lead"]["email"].as_str(), file["lead"]["submissions"].as_i64()), (Some("grace@example.org"), Some(1)));
    assert_eq!(file["lead"]["consent"]["version"], 0);
    let patched =
        door.ask("all-1", "PATCH", &path, Some(json!({"version": 1, "status": "contacted", "tags": ["VIP"], "assigned_to": null}))).await;
    assert_eq!(patched.json()["tags"], json!(["vip"]));
    assert_eq!((patched.status, patched.json()["version"].as_i64()), (StatusCode::OK, Some(2)));
    let stale = door.ask("all-1", "PATCH", &path, Some(json!({"version": 1, "status": "won"}))).await;
    assert_eq!((stale.status, stale.code().as_str()), (StatusCode::CONFLICT, "version_conflict"));
    let noted = door.ask("all-1", "POST", &format!("{path}/notes"), Some(json!({"body": "rang"}))).await;
    assert_eq!((noted.status, noted.json()["lead_version"].as_i64()), (StatusCode::CREATED, Some(3)));
    let listed = door.get("/v1/leads?status=contacted&tag=vip&q=HOPPER&source_kind=fair&assigned_to=none&limit=1").await.json();
    assert_eq!(listed["items"][0]["id"], id.as_str());
    assert!(listed.get("next").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_right_is_refused_by_its_field() {
    let door = House::new().await;
    let id = door.world.leave(ADA).await.lead;
    let post = |path: &'static str, body: Value| door.ask("all-1", "POST", path, Some(body));
    for (body, field) in [
        (json!({"email": "a@b.de"}), "name"),
        (json!({"name": "Ada"}), "email"),
        (json!({"name": "Ada", "email": "a@b"}), "email"),
        (json!({"name": "Ada", "phone": "123"}), "phone"),
        (json!({"name": 1, "email": "a@b.de"}), "name"),
        (json!({"name": "Ada", "email": "a@b.de", "nick": "x"}), "nick"),
        (json!({"name": "Ada", "email": "a@b.de", "message": "x".repeat(2001)}), "message"),
        (json!({"name": "Ada", "email": "a@b.de", "consent": {"version": 7}}), "consent.version"),
        (json!({"name": "Ada", "email": "a@b.de", "consent": {"version": 0, "at": "2099-01-01T00:00:00Z"}}), "consent.at"),
        (json!({"name": "Ada", "email": "a@b.de", "source": {"kind": "Fair!", "id": "1"}}), "source.kind"),
        (json!({"name": "Ada", "email": "a@b.de", "assigned_to": "mem_ffffffffffffffffffffffffffffffff"}), "assigned_to"),
    ] {
        let reply = post("/v1/leads", body.clone()).await;
        assert_eq!((reply.status, reply.field().as_str()), (StatusCode::UNPROCESSABLE_ENTITY, field), "{body}");
    }
    assert_eq!(post("/v1/leads/erase-person", json!({})).await.field(), "email");
    assert_eq!(post("/v1/leads/export-person", json!({"phone": "x"})).await.field(), "phone");
    for (query, field) in
        [("limit=0", "limit"), ("after=x", "after"), ("status=open", "status"), ("assigned_to=me", "assigned_to"), ("page=2", "page")]
    {
        let reply = door.get(&format!("/v1/leads?{query}")).await;
        assert_eq!((reply.status, reply.field().as_str()), (StatusCode::UNPROCESSABLE_ENTITY, field), "{query}");
    }
    let patch = |body: Value| {
        let door = &door;
        async move { door.ask("all-1", "PATCH", &format!("/v1/leads/{id}"), Some(body)).await }
    };
    assert_eq!(patch(json!({"status": "won"})).await.field(), "version");
    assert_eq!(patch(json!({"version": 1, "status": "open"})).await.field(), "status");
    assert_eq!(patch(json!({"version": 1, "tags": ["a,b"]})).await.field(), "tags[0]");
    assert_eq!(door.get("/v1/leads/lead_1").await.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_refuses_strangers_lesser_rights_and_other_workspaces() {
    let door = House::new().await;
    let id = door.world.leave(ADA).await.lead;
    let (one, notes) = (format!("/v1/leads/{id}"), format!("/v1/leads/{id}/notes"));
    let person = json!({"email": "ada@example.com"});
    let routes: [(&str, &str, Option<Value>, &str); 10] = [
        ("GET", "/v1/leads", None, "none"),
        ("POST", "/v1/leads", Some(json!({"name": "A", "email": "a@b.de"})), "read"),
        ("GET", &one, None, "none"),
        ("PATCH", &one, Some(json!({"version": 1, "status": "won"})), "read"),
        ("POST", &notes, Some(json!({"body": "x"})), "read"),
        ("GET", "/v1/leads.csv", None, "none"),
        ("POST", "/v1/leads/export-person", Some(person.clone()), "none"),
        ("POST", "/v1/leads/erase-person", Some(person), "read"),
        ("GET", "/v1/leads/consent", None, "none"),
        ("PUT", "/v1/leads/consent", Some(json!({"text": "x"})), "read"),
    ];
    for (method, path, body, lesser) in routes {
        assert_eq!(door.ask("", method, path, body.clone()).await.status, StatusCode::UNAUTHORIZED, "{method} {path}");
        let refused = door.ask(&format!("{lesser}-1"), method, path, body.clone()).await;
        assert_eq!((refused.status, refused.code().as_str()), (StatusCode::FORBIDDEN, "not_allowed"), "{method} {path}");
        let elsewhere = door.ask("all-2", method, path, body).await;
        assert!(!elsewhere.text.contains("Ada") && !elsewhere.text.contains("ada@"), "{method} {path}: {}", elsewhere.text);
        if path.contains("lead_") {
            assert_eq!(elsewhere.status, StatusCode::NOT_FOUND, "{method} {path}");
        }
    }
    let lead = door.world.lead(id).await;
    assert_eq!((lead.version, lead.name.as_str()), (1, "Ada Lovelace"), "nothing came of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_holds_every_lead_once_and_no_formula() {
    let door = House::new().await;
    for n in 0..1_203 {
        let body = json!({"name": format!("Person {n}"), "email": format!("p{n}@example.org")});
        let member = door.world.member();
        let created = door.world.store.write(&member, body, |tx, body| {
            Box::pin(async move {
                let (name, email) = (body["name"].as_str().unwrap_or_default(), body["email"].as_str().unwrap_or_default());
                let new = leads::parse_details(name, email, "", "", "", &mut Vec::new()).expect("it is well formed");
                leads::commands::create(tx, leads::Source::new("api", "test"), None, new, None).await
            })
        });
        created.await.unwrap();
    }
    door.world
        .leave(Filled { name: "=cmd|'/c calc'!A0", email: "evil@example.org", message: "a \"quote\", a;=1\n=2", ..Filled::default() })
        .await;
    let reply = door.get("/v1/leads.csv").await;
    assert_eq!((reply.status, reply.content_type.as_str()), (StatusCode::OK, "text/csv; charset=utf-8; header=present"));
    let text = reply.text.strip_prefix('\u{FEFF}').expect("it starts with the mark of UTF-8");
    let mut table = csv::Reader::from_reader(text.as_bytes());
    let rows: Vec<csv::StringRecord> = table.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 1_204);
    let ids: std::collections::BTreeSet<_> = rows.iter().map(|row| row[0].to_owned()).collect();
    assert_eq!(ids.len(), 1_204);
    let evil = rows.iter().find(|row| &row[4] == "evil@example.org").unwrap();
    assert_eq!((&evil[3], &evil[7]), ("'=cmd|'/c calc'!A0", "a \"quote\", a;'=1\n'=2"));
    assert_eq!(door.get("/v1/leads.csv?q=person%2017").await.text.lines().count(), 12, "the head, 17 and 170 to 179");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_exported_and_erased_with_the_answers_that_named_them() {
    let door = House::new().await;
    let id = door.world.leave(ADA).await.lead;
    let who = json!({"email": "ADA@example.com"});
    let export = door.ask("all-1", "POST", "/v1/leads/export-person", Some(who.clone())).await;
    assert_eq!(export.json()["leads"][0]["lead"]["name"], "Ada Lovelace");
    let patched = json!({"version": 1, "tags": ["first lady of code"]});
    let path = format!("/v1/leads/{id}");
    assert_eq!(door.ask_once("all-1", "PATCH", &path, Some(patched.clone()), Some("k2")).await.status, StatusCode::OK);
    let erased = door.ask_once("all-1", "POST", "/v1/leads/erase-person", Some(who.clone()), Some("k3")).await;
    assert_eq!(erased.json()["leads"], json!([id]));
    let replay = door.ask_once("all-1", "PATCH", &path, Some(patched), Some("k2")).await;
    assert_eq!((replay.status, replay.code().as_str()), (StatusCode::CONFLICT, "answer_not_kept"));
    assert_eq!(door.ask_once("all-1", "POST", "/v1/leads/erase-person", Some(who.clone()), Some("k3")).await.json()["leads"], json!([id]));
    assert_eq!(door.ask("all-1", "POST", "/v1/leads/export-person", Some(who)).await.json()["leads"], json!([]));
    assert!(!door.get(&path).await.text.contains("Ada"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_consent_text_is_read_and_put() {
    let door = House::new().await;
    assert_eq!(door.get("/v1/leads/consent").await.json()["version"], 0);
    let put = door.ask("all-1", "PUT", "/v1/leads/consent", Some(json!({"text": "Ring me."}))).await;
    assert_eq!(put.json()["version"], 1);
    assert_eq!(door.get("/v1/leads/consent").await.json()["text"], "Ring me.");
}
