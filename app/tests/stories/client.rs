//! A browser or a program: keeps its cookie, sends requests through the door, and checks every answer against the document.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use gateway::Peer;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::Value;
use tessera::{DoorBody, ScanDoor};

pub const PUBLIC_URL: &str = "https://t.example";
pub const PHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1";
pub const LAPTOP: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";

/// The door that answers now: none in the middle of a restart, another one after it.
pub type Answering = Arc<RwLock<Option<Arc<ScanDoor>>>>;

/// What came back.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|_| panic!("{}: no JSON: {}", self.status, self.text()))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// The `code` of a problem.
    pub fn problem(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The same reply if it has this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{} {}", self.header("location"), self.text());
        self
    }

    /// A text of the JSON, by its pointer.
    #[track_caller]
    pub fn at(&self, pointer: &str) -> String {
        let json = self.json();
        let found = json.pointer(pointer).unwrap_or_else(|| panic!("no {pointer} in {json}"));
        found.as_str().map_or_else(|| found.to_string(), str::to_owned)
    }
}

/// Somebody with a browser, or a program with a key.
#[derive(Clone)]
pub struct Client {
    door: Answering,
    document: Arc<Value>,
    address: IpAddr,
    pub agent: &'static str,
    pub cookie: Option<String>,
    pub key: Option<String>,
}

impl Client {
    pub fn new(door: Answering, document: Arc<Value>, number: u32) -> Self {
        let address = IpAddr::V4(Ipv4Addr::from_bits(u32::from(Ipv4Addr::new(198, 18, 0, 0)) + number));
        Self { door, document, address, agent: LAPTOP, cookie: None, key: None }
    }

    /// The same with another browser.
    pub fn with_agent(mut self, agent: &'static str) -> Self {
        self.agent = agent;
        self
    }

    /// The same at the machine itself.
    pub fn at_home(mut self) -> Self {
        self.address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        self
    }

    /// A program with this key, at the same place.
    pub fn with_key(&self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), cookie: None, ..self.clone() }
    }

    /// The request with what every request of this client carries.
    pub fn request(&self, method: &str, path: &str) -> http::request::Builder {
        let mut request =
            Request::builder().method(method).uri(path).header(header::HOST, "t.example").header(header::USER_AGENT, self.agent);
        if let Some(cookie) = &self.cookie {
            request = request.header(header::COOKIE, cookie).header(header::ORIGIN, PUBLIC_URL);
        }
        match &self.key {
            Some(key) => request.header(header::AUTHORIZATION, format!("Bearer {key}")),
            None => request,
        }
    }

    /// Sends, waits for the whole answer, keeps the session's cookie, and checks the answer.
    pub async fn send(&mut self, request: Request<Body>) -> Reply {
        let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
        let (parts, body) = self.open(request).await.into_parts();
        let bytes = tokio::time::timeout(Duration::from_secs(30), body.collect()).await.expect("the answer ends").unwrap().to_bytes();
        for cookie in parts.headers.get_all(header::SET_COOKIE) {
            let pair = cookie.to_str().unwrap().split(';').next().unwrap().to_owned();
            if pair.starts_with("__Host-tessera_session=") {
                self.cookie = (!pair.ends_with('=')).then_some(pair);
            }
        }
        let reply = Reply { status: parts.status, headers: parts.headers, bytes: bytes.to_vec() };
        self.check(&method, &path, &reply);
        reply
    }

    /// Sends, and gives the answer as it begins: for streams.
    pub async fn open(&self, request: Request<Body>) -> http::Response<DoorBody> {
        let door = self.door.read().unwrap().clone().expect("the installation is open");
        let peer = Peer { address: SocketAddr::new(self.address, 40_000), is_tls: true };
        door.answer(peer, request).await
    }

    /// Every answer of the API is what the document says; problems of an address that there is not are problems all the same.
    fn check(&self, method: &str, path: &str, reply: &Reply) {
        assert_ne!(reply.status.as_u16(), 500, "{method} {path}: {}", reply.text());
        if method == "HEAD" {
            return;
        }
        let kind = reply.headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap());
        match gateway::openapi::check(&self.document, method, path, reply.status.as_u16(), kind, &reply.bytes) {
            Ok(()) => {}
            Err(error) if error.contains("is not in the document") => {
                let is_refusal = matches!(reply.status.as_u16(), 403..=405);
                assert!(!path.starts_with("/v1/") || is_refusal, "{error}, and yet it answers {}", reply.status);
            }
            Err(error) => panic!("the document does not tell the truth: {error}\n{}", reply.text()),
        }
    }

    pub async fn get(&mut self, path: &str) -> Reply {
        self.send(self.request("GET", path).body(Body::empty()).unwrap()).await
    }

    /// As a browser that opens a page.
    pub async fn page(&mut self, path: &str) -> Reply {
        let request = self.request("GET", path).header(header::ACCEPT, "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8");
        self.send(request.body(Body::empty()).unwrap()).await
    }

    pub async fn head(&mut self, path: &str) -> Reply {
        self.send(self.request("HEAD", path).body(Body::empty()).unwrap()).await
    }

    /// Sends JSON; null is no body.
    pub async fn ask(&mut self, method: &str, path: &str, body: Value) -> Reply {
        self.ask_once(method, path, body, None).await
    }

    /// The same under an `Idempotency-Key`.
    pub async fn ask_once(&mut self, method: &str, path: &str, body: Value, once: Option<&str>) -> Reply {
        let mut request = self.request(method, path);
        if let Some(once) = once {
            request = request.header("idempotency-key", once);
        }
        let request = match body {
            Value::Null => request.body(Body::empty()),
            body => request.header(header::CONTENT_TYPE, "application/json").body(Body::from(body.to_string())),
        };
        self.send(request.unwrap()).await
    }

    pub async fn post(&mut self, path: &str, body: Value) -> Reply {
        self.ask("POST", path, body).await
    }

    pub async fn put(&mut self, path: &str, body: Value) -> Reply {
        self.ask("PUT", path, body).await
    }

    pub async fn patch(&mut self, path: &str, body: Value) -> Reply {
        self.ask("PATCH", path, body).await
    }

    pub async fn delete(&mut self, path: &str) -> Reply {
        self.ask("DELETE", path, Value::Null).await
    }

    /// Sends a page's form.
    pub async fn form(&mut self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = self.request("POST", path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let request = request.header(header::ACCEPT, "text/html,*/*;q=0.8");
        self.send(request.body(Body::from(body)).unwrap()).await
    }

    /// Opens the live stream.
    pub async fn live(&self, last_id: Option<&str>) -> Stream {
        let mut request = self.request("GET", "/v1/live");
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        let response = self.open(request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
        Stream { body: response.into_body(), text: String::new() }
    }
}

/// An open live stream.
pub struct Stream {
    body: DoorBody,
    text: String,
}

/// One event of a live stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    pub id: String,
    pub event: String,
    pub data: String,
}

impl Stream {
    /// The next event; none when nothing comes.
    pub async fn next(&mut self) -> Option<Heard> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let line = event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
                    line.unwrap_or_default().trim_start().to_owned()
                };
                let heard = Heard { id: field("id"), event: field("event"), data: field("data") };
                self.text = rest.to_owned();
                if !heard.event.is_empty() {
                    return Some(heard);
                }
                continue;
            }
            let frame = tokio::time::timeout(Duration::from_secs(5), self.body.frame()).await.ok()??;
            let bytes: Bytes = frame.unwrap().into_data().unwrap_or_default();
            self.text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }

    /// The next event of this name.
    pub async fn until(&mut self, event: &str) -> Heard {
        loop {
            match self.next().await {
                Some(heard) if heard.event == event => return heard,
                Some(_) => {}
                None => panic!("{event} was not heard"),
            }
        }
    }
}
