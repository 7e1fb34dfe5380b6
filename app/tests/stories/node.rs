//! The built binary, as processes of their own.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The binary, told nothing by the environment.
pub fn tessera() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tessera"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TESSERA_")) {
        command.env_remove(name);
    }
    command
}

/// A process of the built binary.
pub struct Node {
    child: Child,
    listen: String,
    key: String,
}

impl Node {
    /// Starts it on PostgreSQL, or on a file in its data folder, with an address and a key of its own.
    pub fn start(database: Option<&str>, data: &Path, secret: &Path) -> Self {
        let mut command = tessera();
        command.args(["--json", "--listen", "127.0.0.1:0", "--webhook-allow", "127.0.0.1/32"]);
        if let Some(database) = database {
            command.args(["--database", database]);
        }
        command.arg("--data").arg(data).arg("--secret-key").arg(secret).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let greeting: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no greeting: {line:?}"));
        let text = |name: &str| greeting[name].as_str().unwrap_or_default().to_owned();
        Self { child, listen: text("listen"), key: text("api_key") }
    }

    /// Sends STOP, CONT or KILL.
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args(["-s", signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Status, head and body of one request on a connection of its own.
    pub async fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, String, String) {
        let mut connection = tokio::net::TcpStream::connect(&self.listen).await.unwrap();
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            self.listen,
            self.key,
            body.len()
        );
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no answer: {answer:?}"));
        (status, head.to_lowercase(), body.to_owned())
    }

    /// The answer to a request that is not refused.
    pub async fn json(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, _, text) = self.ask(method, path, &body).await;
        assert!((200..300).contains(&status), "{method} {path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
