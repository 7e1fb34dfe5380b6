//! Two workspaces with an owner each, behind a door.

use std::io::Cursor;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use gateway::{Door, DoorSettings, Doorkeeper, Resolving, ShutdownSignal};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use kernel::{Caller, Entropy, Grants, MemberId, WorkspaceId};
use people::{Email, Locale, Member, PersonName, WorkspaceName, Zone};
use serde_json::{Value, json};
use store::testing::TestStore;
use store::{Reads, Sql, Store};
use tower::ServiceExt;

pub static SYSTEM: Caller = Caller::system("test");
pub const PUBLIC_URL: &str = "https://t.example";

pub struct World {
    pub store: TestStore,
    pub router: Router,
    /// Owns the first workspace.
    pub ada: Caller,
    /// Owns the second workspace.
    pub bob: Caller,
}

/// `tsk_ada` and `session-ada` are Ada, the same for Bob; `tsk_reader` may only look at Ada's workspace, and
/// `tsk_editor` may change its cards and not its codes.
struct Keeper {
    ada: Caller,
    bob: Caller,
    reader: Caller,
    editor: Caller,
}

impl Keeper {
    fn named(&self, name: &str) -> Option<Caller> {
        match name {
            "ada" => Some(self.ada.clone()),
            "bob" => Some(self.bob.clone()),
            "reader" => Some(self.reader.clone()),
            "editor" => Some(self.editor.clone()),
            _ => None,
        }
    }
}

impl Doorkeeper for Keeper {
    fn by_session<'a>(&'a self, token: &'a str) -> Resolving<'a> {
        Box::pin(async move { Ok(token.strip_prefix("session-").and_then(|name| self.named(name))) })
    }
    fn by_key<'a>(&'a self, bearer: &'a str) -> Resolving<'a> {
        Box::pin(async move { Ok(bearer.strip_prefix("tsk_").and_then(|name| self.named(name))) })
    }
}

pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Reply {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).unwrap()
    }
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
    /// The code of a problem, or the status when it is none.
    pub fn code(&self) -> String {
        serde_json::from_slice::<Value>(&self.bytes)
            .ok()
            .and_then(|json| json["code"].as_str().map(str::to_owned))
            .unwrap_or(self.status.to_string())
    }
}

fn grants() -> Grants {
    Grants::of(cards::grants::ALL.into_iter().chain([codes::grants::READ, codes::grants::WRITE]))
}

fn person(member: &Member) -> Caller {
    Caller::Person { workspace: member.workspace, member: member.id, grants: grants() }
}

pub async fn found(store: &Store, workspace: &str, owner: &str) -> Member {
    let input = (WorkspaceName::parse(workspace).unwrap(), Email::parse(owner).unwrap(), PersonName::parse("Somebody").unwrap());
    let made = store.write(&SYSTEM, input, |tx, (workspace, owner, name)| {
        Box::pin(
            async move { people::commands::create_workspace(tx, &workspace, &Locale::default(), &Zone::default(), &owner, &name).await },
        )
    });
    made.await.unwrap().1
}

impl World {
    pub async fn new() -> Self {
        let store = store::testing::store().await;
        let ada = person(&found(&store, "Analytical Engines", "ada@example.com").await);
        let bob = person(&found(&store, "Bobbins", "bob@example.com").await);
        let reader = Caller::Person {
            workspace: ada.workspace().unwrap(),
            member: ada.member().unwrap(),
            grants: Grants::of([cards::grants::READ]),
        };
        let editor = Caller::Person {
            workspace: ada.workspace().unwrap(),
            member: ada.member().unwrap(),
            grants: Grants::of([cards::grants::READ, cards::grants::WRITE]),
        };
        let keeper = Keeper { ada: ada.clone(), bob: bob.clone(), reader, editor };
        let door = Door::new(DoorSettings::default(), Arc::new(keeper), &Entropy::seeded(1), ShutdownSignal::never());
        let (routes, _) = cards::routes(cards::Deps::new(Store::clone(&store), PUBLIC_URL)).split_for_parts();
        Self { router: door.around(routes), store, ada, bob }
    }

    pub async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes().to_vec();
        Reply { status: parts.status, headers: parts.headers, bytes }
    }

    pub async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        let request = headers.iter().fold(Request::get(path), |request, (name, value)| request.header(*name, *value));
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// As somebody, with a JSON body.
    pub async fn ask(&self, who: &str, method: &str, path: &str, body: Value) -> Reply {
        let request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer tsk_{who}"));
        let request = request.header("content-type", "application/json");
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        self.send(request.body(body).unwrap()).await
    }

    /// As somebody, with a file.
    pub async fn upload(&self, who: &str, id: &str, file: Vec<u8>) -> Reply {
        let request = Request::put(format!("/v1/cards/{id}/photo")).header("authorization", format!("Bearer tsk_{who}"));
        self.send(request.body(Body::from(file)).unwrap()).await
    }

    /// Makes a card with a name, a mail address and a telephone number.
    pub async fn card(&self, who: &str, name: &str) -> String {
        let reply = self.ask(who, "POST", "/v1/cards", json!({ "profile": profile(name) })).await;
        assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.text());
        reply.json()["id"].as_str().unwrap().to_owned()
    }

    pub async fn count(&self, sql: &'static Sql) -> i64 {
        self.store.read().row(sql, store::params![], |row| row.get(0)).await.unwrap().unwrap()
    }

    /// Everything in one column of a table, for what must be there or must not.
    pub async fn column(&self, sql: &'static Sql) -> Vec<String> {
        self.store.read().rows(sql, store::params![], |row| row.get::<String>(0)).await.unwrap()
    }
}

pub fn workspace(caller: &Caller) -> WorkspaceId {
    caller.workspace().unwrap()
}

pub fn member(caller: &Caller) -> MemberId {
    caller.member().unwrap()
}

pub fn profile(name: &str) -> Value {
    let local = name.split(' ').next().unwrap_or("x").to_lowercase();
    json!({
        "display_name": name,
        "job_title": "Head of Computation",
        "organisation": "Analytical Engines Ltd",
        "emails": [{ "label": "work", "value": format!("{local}@engines.example") }],
        "phones": [{ "label": "mobile", "value": "+44 20 7946 0018" }],
        "links": [{ "url": "https://engines.example/" }],
        "colour": "#7a3cf0",
    })
}

/// A JPEG of one colour.
pub fn picture(red: u8) -> Vec<u8> {
    let image = image::RgbImage::from_pixel(300, 200, image::Rgb([red, 90, 160]));
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Jpeg).unwrap();
    bytes.into_inner()
}
