//! An endpoint that misbehaves by its path, and remembers what it was sent.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode, Uri};

#[derive(Debug, Clone)]
pub struct Hit {
    pub path: String,
    pub headers: HeaderMap,
    pub body: String,
}

impl Hit {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

#[derive(Clone)]
pub struct WebServer {
    pub address: SocketAddr,
    hits: Arc<Mutex<Vec<Hit>>>,
}

impl WebServer {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self { address: listener.local_addr().unwrap(), hits: Arc::default() };
        let app = Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        server
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn hits(&self, path: &str) -> Vec<Hit> {
        self.hits.lock().unwrap().iter().filter(|hit| hit.path.split('?').next() == Some(path)).cloned().collect()
    }
}

async fn answer(State(server): State<WebServer>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let hit = Hit { path: uri.to_string(), headers, body: String::from_utf8_lossy(&body).into_owned() };
    server.hits.lock().unwrap().push(hit);
    let path = uri.path();
    let status = |code: u16| Response::builder().status(StatusCode::from_u16(code).unwrap());
    match path.trim_start_matches('/').split('/').next().unwrap_or_default() {
        "hang" => std::future::pending().await,
        "late" => {
            tokio::time::sleep(Duration::from_secs(3)).await;
            status(200).body(Body::from("late")).unwrap()
        }
        "redirect" => status(302).header("location", "/ok").body(Body::empty()).unwrap(),
        "gone" => status(410).body(Body::from("no more")).unwrap(),
        "busy" => status(429).header("retry-after", "3600").body(Body::from("slow down")).unwrap(),
        "broken" => status(500).body(Body::from("oops\0\u{1b}[31m")).unwrap(),
        "huge" => status(200).body(Body::from(vec![b'x'; 8 << 20])).unwrap(),
        "endless" => status(200).body(Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>())).unwrap(),
        _ => status(200).body(Body::from("thanks")).unwrap(),
    }
}
