//! Codes with a store behind them and a door in front; every answer is held against the OpenAPI document.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use codes::{Code, CodeError, NewCode, grants};
use gateway::{Door, DoorSettings, Doorkeeper, Resolving, ShutdownSignal};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use kernel::{Caller, Entropy, Grants, Id, KeyId, RawId, WorkspaceId};
use serde_json::Value;
use store::testing::TestStore;
use tower::ServiceExt;

pub const PUBLIC_URL: &str = "https://go.acme.io";

pub fn workspace(number: u128) -> WorkspaceId {
    WorkspaceId::from_raw(RawId::from_bits(number))
}

/// A key of workspace `number` that may do everything with codes.
pub fn key(number: u128) -> Caller {
    let grants = Grants::of([grants::READ, grants::WRITE]);
    Caller::Key { workspace: workspace(number), key: KeyId::from_raw(RawId::from_bits(number)), grants }
}

/// `tsk_<n>` is a key of workspace n, `tsk_reader` one of workspace 1 that may only look.
struct Keeper;

impl Doorkeeper for Keeper {
    fn by_session<'a>(&'a self, _: &'a str) -> Resolving<'a> {
        Box::pin(async { Ok(None) })
    }
    fn by_key<'a>(&'a self, bearer: &'a str) -> Resolving<'a> {
        Box::pin(async move {
            if bearer == "tsk_reader" {
                let key = KeyId::from_raw(RawId::from_bits(9));
                return Ok(Some(Caller::Key { workspace: workspace(1), key, grants: Grants::of([grants::READ]) }));
            }
            Ok(bearer.strip_prefix("tsk_").and_then(|n| n.parse().ok()).map(key))
        })
    }
}

pub struct World {
    pub store: TestStore,
    router: Router,
    document: Value,
}

pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }
    /// The fields that were refused.
    pub fn fields(&self) -> Vec<String> {
        let errors = self.json()["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect()
    }
}

impl World {
    pub async fn new() -> Self {
        let store = store::testing::store().await;
        let deps = codes::Deps { store: store::Store::clone(&store), public_url: PUBLIC_URL.into() };
        let (router, document) = codes::routes(deps).split_for_parts();
        let document = serde_json::to_value(gateway::openapi::complete(document)).unwrap();
        let door = Door::new(DoorSettings::default(), Arc::new(Keeper), &Entropy::seeded(1), ShutdownSignal::never());
        Self { router: door.around(router), document, store }
    }

    pub async fn send(&self, method: &str, path: &str, token: &str, body: Option<Value>, headers: &[(&str, &str)]) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = match body {
            Some(body) => {
                request = request.header("content-type", "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        let response = self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes().to_vec();
        let kind = parts.headers.get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
        let status = parts.status.as_u16();
        gateway::openapi::check(&self.document, method, path, status, kind.as_deref(), &bytes).unwrap_or_else(|error| {
            panic!("{method} {path} answers {status} otherwise than documented: {error}\n{}", String::from_utf8_lossy(&bytes))
        });
        Reply { status: parts.status, headers: parts.headers, bytes }
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, "tsk_1", None, &[]).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.send("POST", path, "tsk_1", Some(body), &[]).await
    }

    /// Mints a code for workspace 1, as other modules do.
    pub async fn mint(&self, new: NewCode) -> Code {
        let caller = Caller::system("test");
        let unit = self.store.write(&caller, new, |tx, new| Box::pin(codes::commands::mint(tx, workspace(1), new)));
        unit.await.unwrap_or_else(|error: CodeError| panic!("{error:?}"))
    }
}
