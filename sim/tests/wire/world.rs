//! A simulator, a client, and a receiver of its webhooks.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use sim::client::{Answer, Client};
use sim::{Dialect, Options, Simulator};
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// Longer than anything here takes; a test that reaches it has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A webhook as it arrived.
#[derive(Debug, Clone)]
pub struct Arrived {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Arrived {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no header {name}")).to_str().unwrap()
    }
}

#[derive(Default)]
struct Box {
    arrived: VecDeque<Arrived>,
    /// The status of the next answers; 200 where there is none.
    statuses: VecDeque<u16>,
}

/// The other side of webhooks.
pub struct Receiver {
    pub url: String,
    inside: Arc<(Mutex<Box>, Notify)>,
}

impl Receiver {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let inside = Arc::new((Mutex::new(Box::default()), Notify::new()));
        let shared = inside.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = shared.clone();
                tokio::spawn(async move {
                    let service = service_fn(|request: Request<Incoming>| take(shared.clone(), request));
                    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { url, inside }
    }

    /// The next webhook.
    pub async fn next(&self) -> Arrived {
        let wait = async {
            loop {
                let arrives = self.inside.1.notified();
                if let Some(arrived) = self.inside.0.lock().unwrap().arrived.pop_front() {
                    return arrived;
                }
                arrives.await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("no webhook came")
    }

    /// The next webhooks, so many.
    pub async fn take(&self, count: usize) -> Vec<Arrived> {
        let mut taken = Vec::new();
        for _ in 0..count {
            taken.push(self.next().await);
        }
        taken
    }

    /// Webhooks that have arrived and were not taken.
    pub fn waiting(&self) -> usize {
        self.inside.0.lock().unwrap().arrived.len()
    }

    /// The next webhooks are answered with these statuses.
    pub fn answer_with(&self, statuses: &[u16]) {
        self.inside.0.lock().unwrap().statuses.extend(statuses);
    }
}

async fn take(inside: Arc<(Mutex<Box>, Notify)>, request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let mut answer = Response::new(Empty::new());
    {
        let mut inside = inside.0.lock().unwrap();
        if let Some(status) = inside.statuses.pop_front() {
            *answer.status_mut() = status.try_into().unwrap();
        }
        inside.arrived.push_back(Arrived { path: head.uri.path().to_owned(), headers: head.headers, body });
    }
    inside.1.notify_one();
    Ok(answer)
}

/// A simulator of its own for one test, and who listens to its webhooks.
pub struct World {
    pub sim: Simulator,
    pub receiver: Receiver,
}

impl World {
    pub async fn new() -> Self {
        Self::with(Options::default()).await
    }

    pub async fn with(options: Options) -> Self {
        let receiver = Receiver::start().await;
        // Retries come a hundred thousand times as fast as the provider's.
        let options = Options { tessera: Some(receiver.url.clone()), retry_shrink: 100_000, ..options };
        Self { sim: sim::start(options).await.unwrap(), receiver }
    }

    /// One request to a path below a dialect's prefix.
    pub async fn send(&self, dialect: Dialect, method: Method, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        self.try_send(dialect, method, path, headers, body, PATIENCE).await.unwrap()
    }

    /// The same, where no answer may come.
    pub async fn try_send(
        &self,
        dialect: Dialect,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
        timeout: Duration,
    ) -> Result<Answer, std::io::Error> {
        Client::default().send(method, &format!("{}{path}", self.sim.at(dialect)), headers, body, timeout).await
    }

    /// One request to a path of the simulator itself, with JSON.
    pub async fn control(&self, method: Method, path: &str, body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let url = format!("{}{path}", self.sim.url());
        Client::default().send(method, &url, &[("content-type", "application/json")], body, PATIENCE).await.unwrap()
    }
}
