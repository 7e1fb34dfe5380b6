//! The addresses, through the door.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use gateway::{Door as FrontDoor, DoorSettings, LimitSettings, Peer, Rate};
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use kernel::Entropy;
use people::{Deps, Role, commands};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::world::{CODES_READ, World, email};

struct Site {
    world: World,
    router: Router,
    document: Value,
}

struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

impl Reply {
    fn cookie(&self) -> String {
        self.headers[header::SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned()
    }

    fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

impl Site {
    async fn new(sign_ins: u32) -> Self {
        let world = World::new().await;
        let deps =
            Deps { store: world.store.clone(), roles: world.roles.clone(), passwords: world.passwords.clone(), links: world.links.clone() };
        let (router, document) = people::routes(deps).split_for_parts();
        let limits = LimitSettings { sign_in: Rate { requests: sign_ins, per_s: 300 }, ..LimitSettings::default() };
        let settings = DoorSettings { limits, ..DoorSettings::default() };
        let (_, shutdown) = gateway::shutdown();
        let door = FrontDoor::new(settings, Arc::new(world.door()), &Entropy::seeded(1), shutdown);
        let document = serde_json::to_value(gateway::openapi::complete(document)).unwrap();
        Self { router: door.around(router), world, document }
    }

    async fn ask(&self, method: Method, path: &str, credential: &str, body: Option<Value>) -> Reply {
        // Ids made within one millisecond are in no order.
        self.world.store.clock().advance(std::time::Duration::from_millis(1));
        let asked = method.to_string();
        let mut request = Request::builder().method(method).uri(path).header("host", "t.example").header("sec-fetch-site", "same-origin");
        if credential.starts_with("tsk_") {
            request = request.header(header::AUTHORIZATION, format!("Bearer {credential}"));
        } else if !credential.is_empty() {
            request = request.header(header::COOKIE, credential);
        }
        let body = match body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        let mut request = request.body(body).unwrap();
        Peer { address: "192.0.2.1:4711".parse().unwrap(), is_tls: false }.mark(&mut request);
        let reply = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = reply.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let place = path.split('?').next().unwrap();
        gateway::openapi::check(&self.document, &asked, place, parts.status.as_u16(), content_type, &bytes).unwrap();
        Reply { status: parts.status, headers: parts.headers, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) }
    }

    async fn get(&self, path: &str, credential: &str) -> Reply {
        self.ask(Method::GET, path, credential, None).await
    }

    async fn post(&self, path: &str, credential: &str, body: Value) -> Reply {
        self.ask(Method::POST, path, credential, Some(body)).await
    }

    /// The cookie of a member who has signed in by link.
    async fn cookie_of(&self, address: &str) -> String {
        self.post("/v1/session/link", "", json!({ "email": address })).await;
        let token = self.world.mailed_tokens(address).await.pop().unwrap();
        let reply = self.post("/v1/session/link/redeem", "", json!({ "token": token })).await;
        assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.body);
        reply.cookie()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_by_link_sets_a_password_and_signs_out() {
    let site = Site::new(100).await;
    let asked = site.post("/v1/session/link", "", json!({ "email": "ada@example.com" })).await;
    let other = site.post("/v1/session/link", "", json!({ "email": "nobody@example.com" })).await;
    assert_eq!((asked.status, &asked.body), (other.status, &other.body), "the answer does not tell who is known");
    assert_eq!(asked.status, StatusCode::ACCEPTED);

    let cookie = site.cookie_of("ada@example.com").await;
    let session = site.get("/v1/session", &cookie).await;
    assert_eq!(session.body["person"]["email"], "ada@example.com");
    assert_eq!(session.body["workspace"]["role"], "owner");
    let set = site.post("/v1/session/password", &cookie, json!({ "new": "correct horse" })).await;
    assert_eq!(set.status, StatusCode::NO_CONTENT, "{}", set.body);

    let signed_in = site.post("/v1/session", "", json!({ "email": "ada@example.com", "password": "correct horse" })).await;
    assert_eq!(signed_in.status, StatusCode::CREATED);
    let set_cookie = signed_in.headers[header::SET_COOKIE].to_str().unwrap();
    assert!(set_cookie.contains("HttpOnly") && set_cookie.contains("SameSite=Lax") && set_cookie.contains("Path=/"), "{set_cookie}");
    let second = signed_in.cookie();
    let places = site.get("/v1/sessions", &second).await;
    assert_eq!(places.body["items"].as_array().unwrap().len(), 2);
    assert_eq!(places.body["items"].as_array().unwrap().iter().filter(|p| p["is_this"] == true).count(), 1);

    let ended = site.ask(Method::DELETE, "/v1/sessions", &second, None).await;
    assert_eq!(ended.status, StatusCode::NO_CONTENT);
    assert_eq!(site.get("/v1/session", &cookie).await.status, StatusCode::UNAUTHORIZED);
    let out = site.ask(Method::DELETE, "/v1/session", &second, None).await;
    assert_eq!(out.status, StatusCode::NO_CONTENT);
    assert!(out.headers[header::SET_COOKIE].to_str().unwrap().contains("Max-Age=0"));
    assert_eq!(site.get("/v1/session", &second).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_401_and_a_guesser_is_slowed_down() {
    let site = Site::new(3).await;
    for _ in 0..3 {
        let refused = site.post("/v1/session", "", json!({ "email": "ada@example.com", "password": "guess" })).await;
        assert_eq!((refused.status, refused.code()), (StatusCode::UNAUTHORIZED, "sign_in_refused"));
    }
    let refused = site.post("/v1/session", "", json!({ "email": "ada@example.com", "password": "guess" })).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.headers.contains_key(header::RETRY_AFTER));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_signing_in_is_open_to_strangers() {
    let site = Site::new(1000).await;
    let (member, key) = (site.world.owner.id, "key_0198c2f6a1b27cc08a6f3d2e1f00ab12");
    let routes = [
        (Method::GET, "/v1/session".to_owned()),
        (Method::PATCH, "/v1/session".to_owned()),
        (Method::DELETE, "/v1/session".to_owned()),
        (Method::POST, "/v1/session/password".to_owned()),
        (Method::GET, "/v1/sessions".to_owned()),
        (Method::DELETE, "/v1/sessions".to_owned()),
        (Method::DELETE, "/v1/sessions/ses_0198c2f6a1b27cc08a6f3d2e1f00ab12".to_owned()),
        (Method::GET, "/v1/workspace".to_owned()),
        (Method::PATCH, "/v1/workspace".to_owned()),
        (Method::GET, "/v1/members".to_owned()),
        (Method::GET, format!("/v1/members/{member}")),
        (Method::PATCH, format!("/v1/members/{member}")),
        (Method::DELETE, format!("/v1/members/{member}")),
        (Method::GET, "/v1/invitations".to_owned()),
        (Method::POST, "/v1/invitations".to_owned()),
        (Method::DELETE, "/v1/invitations/inv_0198c2f6a1b27cc08a6f3d2e1f00ab12".to_owned()),
        (Method::GET, "/v1/keys".to_owned()),
        (Method::POST, "/v1/keys".to_owned()),
        (Method::DELETE, format!("/v1/keys/{key}")),
        (Method::GET, "/v1/audit".to_owned()),
    ];
    for (method, path) in routes {
        let body = match (method.as_str(), path.as_str()) {
            ("PATCH", path) if path.starts_with("/v1/members") => Some(json!({ "role": "viewer" })),
            ("PATCH", _) => Some(json!({})),
            ("POST", "/v1/keys") => Some(json!({ "name": "x", "scopes": ["codes:read"] })),
            ("POST", "/v1/invitations") => Some(json!({ "email": "eve@example.com", "role": "owner" })),
            ("POST", _) => Some(json!({ "new": "correct horse" })),
            _ => None,
        };
        let made_up = format!("tessera_session={}", "A".repeat(43));
        for credential in ["", made_up.as_str(), &format!("tsk_{}.{}", "0".repeat(32), "A".repeat(43))] {
            let refused = site.ask(method.clone(), &path, credential, body.clone()).await;
            assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{method} {path} {credential}: {}", refused.body);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_looks_on_and_an_owner_runs_the_workspace() {
    let site = Site::new(1000).await;
    site.world.add("grace@example.com", Role::Viewer).await;
    let (viewer, owner) = (site.cookie_of("grace@example.com").await, site.cookie_of("ada@example.com").await);
    assert_eq!(site.get("/v1/members", &viewer).await.status, StatusCode::OK);
    for path in ["/v1/audit", "/v1/keys", "/v1/invitations"] {
        assert_eq!(site.get(path, &viewer).await.status, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(site.get(path, &owner).await.status, StatusCode::OK, "{path}");
    }
    let renamed = site.ask(Method::PATCH, "/v1/workspace", &viewer, Some(json!({ "name": "Mine" }))).await;
    assert_eq!((renamed.status, renamed.code()), (StatusCode::FORBIDDEN, "not_allowed"));
    let renamed =
        site.ask(Method::PATCH, "/v1/workspace", &owner, Some(json!({ "name": "Difference Engines", "zone": "Europe/London" }))).await;
    assert_eq!((renamed.status, &renamed.body["name"]), (StatusCode::OK, &json!("Difference Engines")));
    let audit = site.get("/v1/audit?limit=1", &owner).await;
    assert_eq!(audit.body["items"][0]["action"], "people.workspace_changed");
    assert_eq!(audit.body["items"][0]["details"], json!({ "fields": ["name", "zone"] }));
    assert_eq!(audit.body["items"][0]["actor"], site.world.owner.id.to_string());
    let next = audit.body["next"].as_str().unwrap();
    let older = site.get(&format!("/v1/audit?limit=1&after={next}"), &owner).await;
    assert!(older.body["items"][0]["id"].as_str().unwrap() < next);

    let wrong = site.ask(Method::PATCH, "/v1/workspace", &owner, Some(json!({ "zone": "../etc" }))).await;
    assert_eq!((wrong.status, &wrong.body["errors"][0]["field"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("zone")));
}

#[tokio::test(flavor = "multi_thread")]
async fn members_are_listed_page_by_page() {
    let site = Site::new(1000).await;
    for n in 0..4 {
        site.world.add(&format!("m{n}@example.com"), Role::Member).await;
    }
    let owner = site.cookie_of("ada@example.com").await;
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = site.get(&format!("/v1/members?limit=2{after}"), &owner).await;
        seen.extend(page.body["items"].as_array().unwrap().iter().map(|m| m["email"].as_str().unwrap().to_owned()));
        match page.body["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    seen.sort();
    assert_eq!(seen, ["ada@example.com", "m0@example.com", "m1@example.com", "m2@example.com", "m3@example.com"]);
    assert_eq!(site.get("/v1/members?after=nonsense", &owner).await.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_is_invited_and_joins() {
    let site = Site::new(1000).await;
    let owner = site.cookie_of("ada@example.com").await;
    let invited = site.post("/v1/invitations", &owner, json!({ "email": "grace@example.com", "role": "member" })).await;
    assert_eq!(invited.status, StatusCode::CREATED, "{}", invited.body);
    let token = site.world.mailed_tokens("grace@example.com").await.remove(0);
    let body = json!({ "token": token, "name": "Grace Hopper", "password": "nanoseconds!" });
    let joined = site.post("/v1/invitations/accept", "", body.clone()).await;
    assert_eq!((joined.status, &joined.body["workspace"]["role"]), (StatusCode::CREATED, &json!("member")));
    let again = site.post("/v1/invitations/accept", "", body).await;
    assert_eq!((again.status, again.code()), (StatusCode::CONFLICT, "invitation_spent"));
    let me = joined.body["workspace"]["member"].as_str().unwrap().to_owned();
    let grace = joined.cookie();
    let promoted = site.ask(Method::PATCH, &format!("/v1/members/{me}"), &grace, Some(json!({ "role": "owner" }))).await;
    assert_eq!(promoted.status, StatusCode::FORBIDDEN);
    let left = site.ask(Method::DELETE, &format!("/v1/members/{me}"), &grace, None).await;
    assert_eq!(left.status, StatusCode::NO_CONTENT);
    assert_eq!(site.get("/v1/session", &grace).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_shown_once_and_works_until_it_is_revoked() {
    let site = Site::new(1000).await;
    let owner = site.cookie_of("ada@example.com").await;
    let made = site.post("/v1/keys", &owner, json!({ "name": "the till", "scopes": ["people:read"] })).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let key = made.body["key"].as_str().unwrap();
    assert!(!site.get("/v1/keys", &owner).await.body.to_string().contains(key.split('.').next_back().unwrap()));
    assert_eq!(site.get("/v1/members", key).await.status, StatusCode::OK);
    assert_eq!(site.get("/v1/keys", key).await.status, StatusCode::FORBIDDEN);
    let person = site.get("/v1/session", key).await;
    assert_eq!((person.status, person.code()), (StatusCode::FORBIDDEN, "person_needed"));
    let id = made.body["id"].as_str().unwrap();
    assert_eq!(site.ask(Method::DELETE, &format!("/v1/keys/{id}"), &owner, None).await.status, StatusCode::NO_CONTENT);
    assert_eq!(site.get("/v1/members", key).await.status, StatusCode::UNAUTHORIZED);
    let unknown = site.post("/v1/keys", &owner, json!({ "name": "x", "scopes": ["people:read", "moon:land"] })).await;
    assert_eq!(unknown.body["errors"][0]["field"], "scopes[1]");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_switches_between_the_workspaces_of_a_person() {
    let site = Site::new(1000).await;
    let (second, _) = crate::world::found(&site.world.store, "Second", "ada@example.com").await;
    let (foreign, _) = crate::world::found(&site.world.store, "Foreign", "eve@example.com").await;
    let cookie = site.cookie_of("ada@example.com").await;
    let switched = site.ask(Method::PATCH, "/v1/session", &cookie, Some(json!({ "workspace": second, "name": "Ada King" }))).await;
    assert_eq!((switched.status, &switched.body["workspace"]["name"]), (StatusCode::OK, &json!("Second")), "{}", switched.body);
    assert_eq!(switched.body["person"]["name"], "Ada King");
    assert_eq!(site.get("/v1/workspace", &cookie).await.body["id"], json!(second));
    let refused = site.ask(Method::PATCH, "/v1/session", &cookie, Some(json!({ "workspace": foreign }))).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demonstration_is_seeded_by_verbs_that_face_no_door() {
    let world = World::new().await;
    let input = (world.workspace, world.owner.person, world.store.clock().now());
    let seeded = world.as_caller(&crate::world::SYSTEM, input, |tx, (workspace, person, now)| {
        Box::pin(async move {
            let draft = people::KeyDraft::parse("demonstration", vec![CODES_READ], None, now)?;
            let key = commands::issue_key(tx, workspace, draft).await?;
            Ok((key.text, commands::issue_sign_in_link_everywhere(tx, person).await?))
        })
    });
    let (key, link) = seeded.await.unwrap();
    assert!(key.starts_with("tsk_") && link.len() == 43);
    assert_eq!(people::queries::first_workspace_everywhere(&mut world.store.read()).await.unwrap().unwrap().id, world.workspace);
    assert!(people::queries::member_by_email(&mut world.store.read(), world.workspace, &email("ada@example.com")).await.unwrap().is_some());
}
