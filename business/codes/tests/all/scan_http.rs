//! Scans over HTTP; every answer is held against the OpenAPI document.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use codes::scan::{Deps, Fold, Folder, Journal, SLOT_BYTES, routes};
use codes::{CodeError, NewCode, PublicCode, commands, grants};
use gateway::{Door, DoorSettings, Doorkeeper, Resolving, ShutdownSignal};
use http::Request;
use http_body_util::BodyExt;
use kernel::{Caller, Entropy, Grants, Id, KeyId, MemberId, RawId};
use serde_json::{Value, json};
use store::testing::TestStore;
use tower::ServiceExt;

use super::{SYSTEM, Scratch, scan, time, workspace};

/// `tsk_anna` is a person of workspace 1, `tsk_program` a key of it, `tsk_other` a key of workspace 2, `tsk_nothing` may do nothing.
struct Keeper;

impl Doorkeeper for Keeper {
    fn by_session<'a>(&'a self, _: &'a str) -> Resolving<'a> {
        Box::pin(async { Ok(None) })
    }

    fn by_key<'a>(&'a self, bearer: &'a str) -> Resolving<'a> {
        Box::pin(async move {
            let key = KeyId::from_raw(RawId::from_bits(9));
            let grants = Grants::of([grants::READ]);
            Ok(match bearer {
                "tsk_anna" => Some(Caller::Person { workspace: workspace(1), member: MemberId::from_raw(RawId::from_bits(5)), grants }),
                "tsk_program" => Some(Caller::Key { workspace: workspace(1), key, grants }),
                "tsk_other" => Some(Caller::Key { workspace: workspace(2), key, grants }),
                "tsk_nothing" => Some(Caller::Key { workspace: workspace(1), key, grants: Grants::default() }),
                _ => None,
            })
        })
    }
}

struct House {
    store: TestStore,
    router: Router,
    document: Value,
}

impl House {
    async fn new() -> Self {
        let store = store::testing::store().await;
        let (router, document) = routes(Deps { store: (*store).clone() }).split_for_parts();
        let document = serde_json::to_value(gateway::openapi::complete(document)).unwrap();
        let door = Door::new(DoorSettings::default(), Arc::new(Keeper), &Entropy::seeded(1), ShutdownSignal::never());
        Self { router: door.around(router), document, store }
    }

    async fn send(&self, method: &str, path: &str, token: &str, body: Option<Value>) -> (u16, String) {
        let mut request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {token}"));
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let request = request.body(body.map_or_else(Body::empty, |body| Body::from(body.to_string()))).unwrap();
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let kind = parts.headers.get("content-type").map(|kind| kind.to_str().unwrap());
        gateway::openapi::check(&self.document, method, path, parts.status.as_u16(), kind, &bytes)
            .unwrap_or_else(|error| panic!("{method} {path} answers otherwise than documented: {error}"));
        (parts.status.as_u16(), String::from_utf8_lossy(&bytes).into_owned())
    }

    async fn get(&self, path: &str) -> Value {
        let (status, text) = self.send("GET", path, "tsk_program", None).await;
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    }
}

async fn mint(house: &House) -> PublicCode {
    let unit = house.store.write(&SYSTEM, (), |tx, ()| {
        Box::pin(async move { Ok::<_, CodeError>(commands::mint(tx, workspace(1), NewCode::default()).await?.code) })
    });
    unit.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_series_is_there_as_json_and_as_a_table_for_its_own_workspace_only() {
    let (house, folder) = (House::new().await, Scratch::new());
    let code = mint(&house).await;
    let at = time("2026-01-31T08:15:00Z");
    let folder = Folder::open(folder.path(), &Entropy::seeded(1)).unwrap();
    Fold::mark_of(&house.store, folder.node()).await.unwrap();
    let journal = Arc::new(Journal::open(folder, 0, 4096 + 100 * SLOT_BYTES).unwrap());
    for n in 0..5 {
        assert!(journal.append(&scan(code.number(), n + 1, at.plus(Duration::from_secs(n * 1_200)))));
    }
    Fold::begin((*house.store).clone(), journal).await.unwrap().step().await.unwrap();

    let hours = house.get(&format!("/v1/codes/{code}/scans?by=hour&from=2026-01-31T07:00:00Z&to=2026-01-31T10:00:00Z")).await;
    let scans: Vec<i64> = hours["points"].as_array().unwrap().iter().map(|point| point["scans"].as_i64().unwrap()).collect();
    assert_eq!(scans, [0, 3, 2]);
    assert_eq!((&hours["scans"], &hours["total_scans"], &hours["last_scan_at"]), (&json!(5), &json!(5), &json!("2026-01-31T09:35:00Z")));
    assert_eq!(hours["breakdown"]["device"], json!([{ "name": "phone", "scans": 5 }]));
    let days = house.get(&format!("/v1/codes/{code}/scans")).await;
    assert_eq!(days["points"].as_array().unwrap().len(), 30);
    assert_eq!(days["points"][29], json!({ "at": "2026-01-31T00:00:00Z", "scans": 5, "visitors": 5 }));
    assert_eq!(days["sum_of_daily_visitors"], 5);
    assert!(house.get(&format!("/v1/codes/{code}/scans?by=minute")).await["points"].as_array().unwrap().len() == 60);

    let path = format!("/v1/codes/{code}/scans.csv?from=2026-01-30T00:00:00Z&to=2026-02-01T00:00:00Z");
    let (_, table) = house.send("GET", &path, "tsk_program", None).await;
    assert_eq!(table, "at,scans,visitors\r\n2026-01-30T00:00:00Z,0,0\r\n2026-01-31T00:00:00Z,5,5\r\n");

    for path in ["scans", "scans.csv", "alerts"] {
        let path = format!("/v1/codes/{code}/{path}");
        assert_eq!(house.send("GET", &path, "tsk_other", None).await.0, 404);
        assert_eq!(house.send("GET", &path, "tsk_nothing", None).await.0, 403);
        assert_eq!(house.send("GET", &path, "tsk_unknown", None).await.0, 401);
    }
    for wrong in ["from=yesterday", "by=century", "by=minute&from=2026-01-01T00:00:00Z", "from=2026-03-01T00:00:00Z", "since=1"] {
        assert_eq!(house.send("GET", &format!("/v1/codes/{code}/scans?{wrong}"), "tsk_program", None).await.0, 422, "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_asks_to_be_told_and_a_program_cannot() {
    let house = House::new().await;
    let path = format!("/v1/codes/{}/alerts", mint(&house).await);
    let wanted = json!({ "told": true, "interval_minutes": 30 });
    let (status, text) = house.send("PUT", &path, "tsk_anna", Some(wanted.clone())).await;
    assert_eq!((status, text.as_str()), (200, r#"{"told":true,"interval_minutes":30}"#));
    assert_eq!(house.send("GET", &path, "tsk_anna", None).await.1, text);
    assert_eq!(house.send("PUT", &path, "tsk_program", Some(wanted)).await.0, 403);
    assert_eq!(house.send("PUT", &path, "tsk_anna", Some(json!({ "told": true, "interval_minutes": 0 }))).await.0, 422);
    assert_eq!(house.send("PUT", &path, "tsk_anna", Some(json!({ "told": true, "interval_minutes": i64::MAX }))).await.0, 422);
    assert_eq!(house.send("PUT", &path, "tsk_anna", Some(json!({ "told": false }))).await.1, r#"{"told":false}"#);
}
