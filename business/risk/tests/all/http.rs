//! Risk through the door: who may, what goes in, what comes out, and that the document is true.

use std::sync::Arc;

use ::http::{Request, StatusCode};
use axum::Router;
use axum::body::Body;
use gateway::{Door, DoorSettings, Doorkeeper, Resolving, ShutdownSignal};
use http_body_util::BodyExt;
use kernel::{Caller, Entropy, Grants, Id, KeyId, RawId};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::world::{World, attempt, by, eur, of, payout, workspace};

/// `all-<n>`, `read-<n>` and `none-<n>` are keys with those rights, of workspace n.
struct Keeper;

impl Doorkeeper for Keeper {
    fn by_session<'a>(&'a self, _: &'a str) -> Resolving<'a> {
        Box::pin(async { Ok(None) })
    }
    fn by_key<'a>(&'a self, bearer: &'a str) -> Resolving<'a> {
        Box::pin(async move {
            let Some((rights, number)) = bearer.split_once('-') else { return Ok(None) };
            let grants = match rights {
                "all" => Grants::of(risk::grants::ALL),
                "read" => Grants::of([risk::grants::READ]),
                _ => Grants::default(),
            };
            Ok(number.parse().ok().map(|n| Caller::Key { workspace: workspace(n), key: KeyId::from_raw(RawId::from_bits(n)), grants }))
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
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }
    fn at(&self, pointer: &str) -> String {
        self.json().pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    }
    fn fields(&self) -> Vec<String> {
        let errors = self.json()["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect()
    }
}

impl House {
    async fn new() -> Self {
        let world = World::new().await;
        let door = Door::new(DoorSettings::default(), Arc::new(Keeper), &Entropy::seeded(1), ShutdownSignal::never());
        let (routes, document) = risk::routes(risk::Deps { store: world.store.clone() }).split_for_parts();
        let document = serde_json::from_str(&gateway::openapi::to_json(document).unwrap()).unwrap();
        Self { router: door.around(routes), world, document }
    }

    async fn ask(&self, key: &str, method: &str, path: &str, body: Value) -> Reply {
        self.ask_once(key, method, path, body, None).await
    }

    async fn ask_once(&self, key: &str, method: &str, path: &str, body: Value, once: Option<&str>) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        if !key.is_empty() {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        if let Some(once) = once {
            request = request.header("idempotency-key", once);
        }
        let request = match body {
            Value::Null => request.body(Body::empty()),
            body => request.header("content-type", "application/json").body(Body::from(body.to_string())),
        };
        let response = self.router.clone().oneshot(request.unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let content_type = parts.headers.get("content-type").map(|v| v.to_str().unwrap().to_owned());
        let known_path = path.split('?').next().unwrap();
        gateway::openapi::check(&self.document, method, known_path, parts.status.as_u16(), content_type.as_deref(), &bytes).unwrap();
        Reply { status: parts.status, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }
}

fn large() -> Value {
    json!({"name": "Large payouts", "applies_to": "payout", "outcome": "hold",
        "condition": {"kind": "amount", "currency": "EUR", "amount_minor": 1000}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_is_made_read_changed_listed_and_deleted() {
    let house = House::new().await;
    let made = house.ask_once("all-1", "POST", "/v1/risk/rules", large(), Some("k")).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    assert_eq!(house.ask_once("all-1", "POST", "/v1/risk/rules", large(), Some("k")).await.text, made.text, "the recorded answer");
    let rule = made.json();
    assert_eq!((rule["version"].as_i64(), rule["priority"].as_i64(), rule["is_enabled"].as_bool()), (Some(1), Some(100), Some(true)));
    assert_eq!(rule["condition"], large()["condition"]);
    let path = format!("/v1/risk/rules/{}", made.at("/id"));
    assert_eq!(house.ask("read-1", "GET", &path, Value::Null).await.json(), rule);

    let edit = json!({"version": 1, "outcome": "block", "condition": {"kind": "count", "limit": 0, "window_s": 60, "per": "workspace"}});
    let changed = house.ask("all-1", "PATCH", &path, edit.clone()).await;
    assert_eq!((changed.status, changed.json()["version"].as_i64()), (StatusCode::OK, Some(2)), "{}", changed.text);
    let stale = house.ask("all-1", "PATCH", &path, edit).await;
    assert_eq!((stale.status, stale.at("/code").as_str()), (StatusCode::CONFLICT, "version_conflict"));
    assert_eq!(house.world.ask(payout("po_1")).await, "block");

    house.world.later(std::time::Duration::from_secs(1));
    house.ask("all-1", "POST", "/v1/risk/rules", large()).await;
    let first = house.ask("read-1", "GET", "/v1/risk/rules?limit=1", Value::Null).await;
    assert_eq!((first.at("/items/0/id"), first.at("/next")), (made.at("/id"), made.at("/id")));
    let second = house.ask("read-1", "GET", &format!("/v1/risk/rules?after={}", first.at("/next")), Value::Null).await.json();
    assert_eq!((second["items"].as_array().unwrap().len(), second.get("next")), (1, None));

    assert_eq!(house.ask("all-1", "DELETE", &path, Value::Null).await.status, StatusCode::NO_CONTENT);
    for method in ["DELETE", "GET"] {
        let gone = house.ask("all-1", method, &path, Value::Null).await;
        assert_eq!((gone.status, gone.at("/code").as_str()), (StatusCode::NOT_FOUND, "risk_rule_not_found"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_right_is_refused_by_its_fields() {
    let house = House::new().await;
    let with = |changes: Value| {
        let mut body = large();
        for (field, value) in changes.as_object().unwrap() {
            body[field] = value.clone();
        }
        body
    };
    for (body, fields) in [
        (json!({"name": "x"}), &["applies_to"][..]),
        (
            with(json!({"name": " ", "applies_to": "refund", "outcome": "warn", "priority": -1})),
            &["name", "applies_to", "outcome", "priority"],
        ),
        (
            with(json!({"condition": {"kind": "amount", "currency": "euro", "amount_minor": -5}})),
            &["condition.currency", "condition.amount_minor"],
        ),
        (with(json!({"condition": {"kind": "amount", "currency": "EUR", "amount_minor": 5.5}})), &["condition.amount_minor"]),
        (with(json!({"condition": {"kind": "amount", "currency": "EUR", "amount_minor": 5, "window": 5}})), &["condition.window"]),
        (with(json!({"condition": {"kind": "count", "limit": 1, "window_s": 60}})), &["condition.per"]),
        (with(json!({"condition": {"kind": "country", "countries": ["DE", "XYZ"]}})), &["condition.countries[1]"]),
        (with(json!({"condition": {"kind": "guess"}})), &["condition.kind"]),
        (with(json!({"condition": "amount"})), &["condition"]),
        (with(json!({"severity": 5})), &["severity"]),
    ] {
        let reply = house.ask("all-1", "POST", "/v1/risk/rules", body.clone()).await;
        assert_eq!(
            (reply.status, reply.fields()),
            (StatusCode::UNPROCESSABLE_ENTITY, fields.iter().map(|f| (*f).to_owned()).collect()),
            "{body}"
        );
    }
    let path = format!("/v1/risk/rules/{}", house.ask("all-1", "POST", "/v1/risk/rules", large()).await.at("/id"));
    for (body, field) in [
        (json!({"outcome": "block"}), "version"),
        (json!({"version": 1, "outcome": "allow"}), "outcome"),
        (json!({"version": 1, "condition": {"kind": "cool_off", "hours": 0}}), "condition.hours"),
    ] {
        let reply = house.ask("all-1", "PATCH", &path, body.clone()).await;
        assert_eq!((reply.status, reply.fields()), (StatusCode::UNPROCESSABLE_ENTITY, vec![field.to_owned()]), "{body}");
    }
    for (path, field) in [
        ("/v1/risk/rules?after=x", "after"),
        ("/v1/risk/rules?limit=0", "limit"),
        ("/v1/risk/decisions?after=rule_1", "after"),
        ("/v1/risk/decisions?limit=201", "limit"),
        ("/v1/risk/decisions?verdict=maybe", "verdict"),
        ("/v1/risk/decisions?activity=%0A", "activity"),
        ("/v1/risk/decisions?party=a", "party"),
    ] {
        let reply = house.ask("all-1", "GET", path, Value::Null).await;
        assert_eq!((reply.status, reply.fields()), (StatusCode::UNPROCESSABLE_ENTITY, vec![field.to_owned()]), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_are_listed_by_page_verdict_and_subject() {
    let house = House::new().await;
    house.ask("all-1", "POST", "/v1/risk/rules", large()).await;
    let world = &house.world;
    world.decide(by("fp", of(eur(1_001), payout("po_1")))).await;
    for n in 0..3 {
        world.later(std::time::Duration::from_secs(1));
        world.decide(attempt(&format!("pat_{n}"))).await;
    }
    world.decide(attempt("po_1")).await;
    let list = |query: &'static str| house.ask("read-1", "GET", query, Value::Null);
    let subjects = |reply: &Reply| -> Vec<String> {
        reply.json()["items"].as_array().unwrap().iter().map(|item| item["activity"].as_str().unwrap().to_owned()).collect()
    };
    let first = list("/v1/risk/decisions?limit=4").await;
    assert_eq!(subjects(&first).len(), 4);
    let rest = house.ask("read-1", "GET", &format!("/v1/risk/decisions?limit=4&after={}", first.at("/next")), Value::Null).await;
    assert_eq!(subjects(&rest), ["po_1"]);
    let held = list("/v1/risk/decisions?verdict=hold").await;
    assert_eq!(
        (subjects(&held), held.at("/items/0/reason").as_str()),
        (vec!["po_1".to_owned()], "Large payouts: the amount is over 10.00 EUR")
    );
    assert_eq!((held.at("/items/0/kind").as_str(), held.at("/items/0/party").as_str()), ("payout", "fp"));
    assert_eq!((held.json()["items"][0]["amount_minor"].as_i64(), held.at("/items/0/currency").as_str()), (Some(1_001), "EUR"));
    assert_eq!(subjects(&list("/v1/risk/decisions?activity=po_1").await), ["po_1", "po_1"]);
    assert_eq!(subjects(&list("/v1/risk/decisions?activity=po_1&verdict=allow").await), ["po_1"]);
    assert_eq!(subjects(&list("/v1/risk/decisions?verdict=block").await), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_refuses_strangers_lesser_rights_and_other_workspaces() {
    let house = House::new().await;
    let path = format!("/v1/risk/rules/{}", house.ask("all-1", "POST", "/v1/risk/rules", large()).await.at("/id"));
    house.world.decide(by("fp_theirs", payout("po_1"))).await;
    for (method, path, body, lesser) in [
        ("GET", "/v1/risk/rules", Value::Null, "none"),
        ("POST", "/v1/risk/rules", large(), "read"),
        ("GET", path.as_str(), Value::Null, "none"),
        ("PATCH", path.as_str(), json!({"version": 1, "is_enabled": false}), "read"),
        ("DELETE", path.as_str(), Value::Null, "read"),
        ("GET", "/v1/risk/decisions", Value::Null, "none"),
    ] {
        assert_eq!(house.ask("", method, path, body.clone()).await.status, StatusCode::UNAUTHORIZED, "{method} {path}");
        let refused = house.ask(&format!("{lesser}-1"), method, path, body.clone()).await;
        assert_eq!((refused.status, refused.at("/code").as_str()), (StatusCode::FORBIDDEN, "not_allowed"), "{method} {path}");
        let elsewhere = house.ask("all-2", method, path, body).await;
        assert!(!elsewhere.text.contains("fp_theirs"), "{}", elsewhere.text);
        if path.contains("rule_") {
            assert_eq!(elsewhere.status, StatusCode::NOT_FOUND, "{method} {path}");
        }
    }
    let rules = house.ask("all-1", "GET", "/v1/risk/rules", Value::Null).await.json();
    assert_eq!((rules["items"].as_array().unwrap().len(), rules["items"][0]["version"].as_i64()), (1, Some(1)), "nothing came of it");
}
