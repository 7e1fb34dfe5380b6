//! A small house behind the door: a few routes over one table.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::routing::{get, post};
use gateway::{
    Answer, Call, Door, DoorSettings, Doorkeeper, Form, Json, List, PageQuery, Path, Problem, Query, RawBody, Resolving, ShutdownSignal,
};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use kernel::{Caller, Entropy, Grants, Id, KeyId, MemberId, RawId, WorkspaceId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::testing::TestStore;
use store::{Reads, Store};
use tower::ServiceExt;

store::statements! {
    ADD = "insert into store_probe (id, number) values ($1, 1)";
    COUNT = "select cast(count(*) as bigint) from store_probe where id like $1";
}

pub struct Keeper;

pub fn workspace(number: u128) -> WorkspaceId {
    WorkspaceId::from_raw(RawId::from_bits(number))
}

/// `tsk_<n>` is a key of workspace n, `session-<n>` a person of workspace n.
impl Doorkeeper for Keeper {
    fn by_session<'a>(&'a self, token: &'a str) -> Resolving<'a> {
        Box::pin(async move {
            let number = token.strip_prefix("session-").and_then(|n| n.parse().ok());
            Ok(number.map(|n| Caller::Person {
                workspace: workspace(n),
                member: MemberId::from_raw(RawId::from_bits(n)),
                grants: Grants::default(),
            }))
        })
    }
    fn by_key<'a>(&'a self, bearer: &'a str) -> Resolving<'a> {
        Box::pin(async move {
            let number = bearer.strip_prefix("tsk_").and_then(|n| n.parse().ok());
            Ok(number.map(|n| Caller::Key {
                workspace: workspace(n),
                key: KeyId::from_raw(RawId::from_bits(n)),
                grants: Grants::default(),
            }))
        })
    }
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThingBody {
    pub name: String,
    #[serde(default)]
    pub fail: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct ThingView {
    pub id: String,
    pub name: String,
}

async fn add(tx: &mut store::Tx, body: ThingBody) -> Result<ThingView, Problem> {
    let workspace = tx.caller().workspace().unwrap().to_string();
    let id = tx.new_id::<MemberId>().to_string();
    tx.execute(&ADD, store::params![&format!("{workspace}/{id}")]).await?;
    if body.fail {
        return Err(Problem::invalid_field("fail", "must be false"));
    }
    Ok(ThingView { id, name: body.name })
}

async fn create(State(store): State<Store>, call: Call, Json(body): Json<ThingBody>) -> Result<Answer<ThingView>, Problem> {
    gateway::effect_created(&store, &call, body, |tx, body| Box::pin(async move { add(tx, body).await })).await
}

async fn create_in(
    State(store): State<Store>,
    call: Call,
    Path(_): Path<u32>,
    Json(body): Json<ThingBody>,
) -> Result<Answer<ThingView>, Problem> {
    gateway::effect(&store, &call, body, |tx, body| Box::pin(async move { add(tx, body).await })).await
}

async fn secret(State(store): State<Store>, call: Call, Json(body): Json<ThingBody>) -> Result<Answer<ThingView>, Problem> {
    gateway::effect_secret(&store, &call, body, |tx, body| Box::pin(async move { add(tx, body).await })).await
}

async fn done(State(store): State<Store>, call: Call) -> Result<Answer<()>, Problem> {
    gateway::effect_done(&store, &call, ThingBody { name: "n".to_owned(), fail: false }, |tx, body| {
        Box::pin(async move { add(tx, body).await.map(|_| ()) })
    })
    .await
}

async fn form(call: Call, Form(body): Form<ThingBody>) -> Result<String, Problem> {
    call.limit(gateway::Class::PublicForm)?;
    Ok(body.name)
}

#[derive(Deserialize)]
struct LineQuery {
    size: Option<u8>,
}

pub struct World {
    pub store: TestStore,
    pub router: Router,
}

pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }
}

impl World {
    pub async fn new() -> Self {
        Self::with(DoorSettings::default()).await
    }

    pub async fn with(settings: DoorSettings) -> Self {
        let store = store::testing::store().await;
        let door = Door::new(settings, Arc::new(Keeper), &Entropy::seeded(1), ShutdownSignal::never());
        let things = Router::new()
            .route(
                "/v1/things",
                post(create).get(|Query(page): Query<PageQuery>| async move { page.limit().map(|n| List { items: vec![n], next: None }) }),
            )
            .route("/v1/things/{size}", post(create_in).get(|Path(size): Path<u8>| async move { size.to_string() }))
            .route("/v1/members/{member}", get(|Path(member): Path<MemberId>| async move { member.to_string() }))
            .route("/v1/secrets", post(secret))
            .route("/v1/done", post(done))
            .route("/form", post(form))
            .route("/v1/lines", get(|Query(line): Query<LineQuery>| async move { line.size.unwrap_or(7).to_string() }))
            .route("/v1/raw", post(|RawBody(bytes): RawBody| async move { bytes.len().to_string() }).layer(gateway::body_limit(200_000)))
            .route("/v1/me", get(|call: Call| async move { Ok::<_, Problem>(call.caller()?.actor()) }))
            .route(
                "/v1/panic",
                get(|| async {
                    if true {
                        panic!("secret words")
                    }
                }),
            )
            .route("/v1/slow", get(|| async { tokio::time::sleep(Duration::from_secs(60)).await }))
            .with_state(store::Store::clone(&store));
        Self { router: door.around(things), store }
    }

    pub async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Reply { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    pub async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        self.send(with_headers(Request::get(path), headers).body(Body::empty()).unwrap()).await
    }

    /// Posts JSON as the key of workspace 1.
    pub async fn post(&self, path: &str, body: &str, headers: &[(&str, &str)]) -> Reply {
        let request = with_headers(Request::post(path), &[("authorization", "Bearer tsk_1"), ("content-type", "application/json")]);
        self.send(with_headers(request, headers).body(Body::from(body.to_owned())).unwrap()).await
    }

    /// How many things the workspace has.
    pub async fn things(&self, number: u128) -> i64 {
        let mut read = self.store.read();
        read.row(&COUNT, store::params![&format!("{}/%", workspace(number))], |row| row.get(0)).await.unwrap().unwrap()
    }
}

pub fn with_headers(mut request: http::request::Builder, headers: &[(&str, &str)]) -> http::request::Builder {
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request
}
