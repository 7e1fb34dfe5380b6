//! Outside parties: a receiver of webhooks, and the tools that nobody here wrote.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use sha2::Sha256;

/// Receives webhooks on loopback and remembers them.
#[derive(Clone)]
pub struct Receiver {
    address: SocketAddr,
    hits: Arc<Mutex<Vec<Hit>>>,
}

/// A webhook that came.
#[derive(Debug, Clone)]
pub struct Hit {
    headers: HeaderMap,
    body: String,
}

impl Hit {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Checks the signature as the Standard Webhooks specification says, with nothing of our own.
    pub fn is_signed_with(&self, secret: &str) -> bool {
        let key = BASE64.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        mac.update(format!("{}.{}.{}", self.header("webhook-id"), self.header("webhook-timestamp"), self.body).as_bytes());
        let wanted = format!("v1,{}", BASE64.encode(mac.finalize().into_bytes()));
        self.header("webhook-signature").split(' ').any(|given| given == wanted)
    }
}

impl Receiver {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self { address: listener.local_addr().unwrap(), hits: Arc::default() };
        let app = Router::new().fallback(receive).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        receiver
    }

    pub fn url(&self) -> String {
        format!("http://{}/hooks", self.address)
    }

    /// What came of this type, in the order of arrival.
    pub fn hits(&self, event_type: &str) -> Vec<Hit> {
        self.hits.lock().unwrap().iter().filter(|hit| hit.json()["type"] == event_type).cloned().collect()
    }
}

async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
    receiver.hits.lock().unwrap().push(Hit { headers, body: String::from_utf8(body.to_vec()).unwrap() });
    StatusCode::NO_CONTENT
}

/// Whether a tool is there; where it must be and is not, the test fails.
pub fn has_tool(path: &str, package: &str) -> bool {
    if std::path::Path::new(path).exists() {
        return true;
    }
    let is_required = std::env::var("TESSERA_TEST_TOOLS").is_ok_and(|wanted| wanted == "required");
    assert!(!is_required, "{path} is not installed (Debian: {package})");
    println!("skipped: {} (Debian: {package})", path.rsplit('/').next().unwrap_or(path));
    false
}
