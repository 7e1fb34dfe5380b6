//! People of the workspace who decide about payouts: a key that asks for one never may.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::Client;

/// Somebody who is signed in.
pub(super) struct Person {
    client: Arc<Client>,
    cookie: String,
}

impl Person {
    /// Somebody who accepted an invitation; the letter is read where the product keeps its mail.
    pub(super) async fn invited(client: &Arc<Client>, data: &Path, email: &str) -> Result<Self, String> {
        client.must(Method::POST, "/v1/invitations", Some(&json!({ "email": email, "role": "admin" }))).await?;
        let token = token_to(data, email).await?;
        let body = json!({ "token": token, "name": "Grace Hopper" });
        let headers = [("content-type", "application/json"), ("sec-fetch-site", "same-origin")];
        let answer = client.send(Method::POST, "/v1/invitations/accept", &headers, Bytes::from(body.to_string())).await?;
        let cookie = answer.headers.get("set-cookie").and_then(|cookie| cookie.split(';').next());
        let cookie = cookie.ok_or_else(|| format!("the invitation of {email} was answered {}", answer.status))?;
        Ok(Self { client: Arc::clone(client), cookie: cookie.to_owned() })
    }

    /// A call with the session; `key` makes it safe to repeat.
    pub(super) async fn call(&self, path: &str, body: Option<&Value>, key: &str) -> Result<(StatusCode, Value), String> {
        let mut headers = vec![("cookie", self.cookie.as_str()), ("sec-fetch-site", "same-origin"), ("idempotency-key", key)];
        headers.extend(body.map(|_| ("content-type", "application/json")));
        let bytes = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let answer = self.client.send(Method::POST, path, &headers, bytes).await?;
        Ok((answer.status, serde_json::from_slice(&answer.body).unwrap_or(Value::Null)))
    }
}

/// What stands after the last slash of the link in the newest letter to `email`.
async fn token_to(data: &Path, email: &str) -> Result<String, String> {
    let folder = data.join("mail");
    for _ in 0..200 {
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let letters = entries.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
        let read = letters.filter_map(|path| serde_json::from_slice::<Value>(&std::fs::read(path).ok()?).ok());
        let found = read.filter(|letter| letter["to"] == email).find_map(|letter| {
            let text = letter["text"].as_str()?;
            let link = text.split_whitespace().find(|word| word.starts_with("http"))?;
            link.rsplit('/').next().map(str::to_owned)
        });
        if let Some(token) = found {
            return Ok(token);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(format!("no letter to {email} within ten seconds"))
}
