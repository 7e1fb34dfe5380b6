//! What visitors and programs do at the product's door, over connections that are kept.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::Value;

use crate::paced::{Answer, Connection};

/// A browser's own words, so that a scan is a person's.
pub(crate) const BROWSER: &str =
    "Mozilla/5.0 (Linux; Android 16; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Mobile Safari/537.36";
/// How long an answer may take before it counts as none.
const PATIENCE: Duration = Duration::from_secs(20);
/// A form that comes back sooner is refused as the work of a program.
pub(crate) const FILL_TIME: Duration = Duration::from_millis(1_700);

/// Someone at the door of one address.
pub(crate) struct Client {
    url: String,
    key: String,
    idle: Mutex<Vec<Connection>>,
}

/// A form as its page showed it.
#[derive(Debug, Clone)]
pub(crate) struct Form {
    pub(crate) action: String,
    pub(crate) token: String,
    shown: Instant,
}

impl Client {
    /// At `http://host:port`, with this API key for calls of programs.
    pub(crate) fn new(url: &str, key: &str) -> Self {
        Self { url: url.to_owned(), key: format!("Bearer {key}"), idle: Mutex::default() }
    }

    /// What it says who it is, in the header `authorization`.
    pub(crate) fn authorization(&self) -> &str {
        &self.key
    }

    /// Sends a request over an idle connection or a new one.
    pub(crate) async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Bytes) -> Result<Answer, String> {
        let idle = loop {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            match idle {
                Some(connection) if !connection.is_open() => {}
                other => break other,
            }
        };
        let sent = async {
            let mut connection = match idle {
                Some(connection) => connection,
                None => Connection::open(&self.url).await?,
            };
            let answer = connection.send(method, path, headers, body).await?;
            Ok::<_, String>((answer, connection))
        };
        let (answer, connection) = tokio::time::timeout(PATIENCE, sent).await.map_err(|_| format!("{path}: no answer in time"))??;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        Ok(answer)
    }

    /// A call with the API key; `idempotency` makes it safe to repeat.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        idempotency: Option<&str>,
    ) -> Result<(StatusCode, Value), String> {
        let mut headers = vec![("authorization", self.key.as_str())];
        headers.extend(body.map(|_| ("content-type", "application/json")));
        headers.extend(idempotency.map(|key| ("idempotency-key", key)));
        let bytes = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let answer = self.send(method, path, &headers, bytes).await?;
        Ok((answer.status, serde_json::from_slice(&answer.body).unwrap_or(Value::Null)))
    }

    /// A call whose answer is not JSON.
    pub(crate) async fn call_text(&self, path: &str) -> Result<(StatusCode, String), String> {
        let answer = self.send(Method::GET, path, &[("authorization", self.key.as_str())], Bytes::new()).await?;
        Ok((answer.status, String::from_utf8_lossy(&answer.body).into_owned()))
    }

    /// A call that must succeed.
    pub(crate) async fn must(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, String> {
        let (status, answer) = self.call(method.clone(), path, body, None).await?;
        if status.is_success() { Ok(answer) } else { Err(format!("{method} {path}: {status} {answer}")) }
    }

    /// Every item of a list, page after page.
    pub(crate) async fn all(&self, path: &str) -> Result<Vec<Value>, String> {
        let (mut items, mut after) = (Vec::new(), String::new());
        loop {
            let joint = if path.contains('?') { '&' } else { '?' };
            let mut page = self.must(Method::GET, &format!("{path}{joint}limit=200{after}"), None).await?;
            if let Some(some) = page["items"].as_array_mut() {
                items.append(some);
            }
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return Ok(items),
            }
        }
    }

    /// Opens a page with a form, as a browser.
    pub(crate) async fn form(&self, path: &str, address: &str) -> Result<Form, String> {
        let answer = self.send(Method::GET, path, &[("user-agent", BROWSER), ("x-forwarded-for", address)], Bytes::new()).await?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let between =
            |start: &str| text.split_once(start).and_then(|(_, rest)| rest.split_once('"')).map(|(value, _)| value.replace("&amp;", "&"));
        match (between("<form method=\"post\" action=\""), between("name=\"form_token\" value=\"")) {
            (Some(action), Some(token)) => Ok(Form { action, token, shown: Instant::now() }),
            _ => Err(format!("{path}: {} without a form", answer.status)),
        }
    }

    /// Sends a form with these details, not before a person could have filled it.
    pub(crate) async fn submit(&self, form: &Form, address: &str, name: &str, email: &str) -> Result<StatusCode, String> {
        tokio::time::sleep_until((form.shown + FILL_TIME).into()).await;
        let email = email.replace('@', "%40");
        let body = format!("name={name}&email={email}&message=Please+call+me&consent=on&form_token={}", form.token);
        let headers = [("user-agent", BROWSER), ("x-forwarded-for", address), ("content-type", "application/x-www-form-urlencoded")];
        Ok(self.send(Method::POST, &form.action, &headers, Bytes::from(body)).await?.status)
    }
}

/// A different address for each number, from the block for benchmarks and beyond.
pub(crate) fn address(number: u64) -> String {
    format!("{}.{}.{}.{}", 20 + (number >> 24) % 100, (number >> 16) & 255, (number >> 8) & 255, number & 255)
}
