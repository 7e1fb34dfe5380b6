//! Requests as bytes, so that nothing on our side makes them well-behaved.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What a request should come to. No request may come to 5xx.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    /// 4xx.
    Refused,
    /// This status.
    Is(u16),
    /// 2xx or 3xx: taken, because it is harmless as it is kept or shown.
    Taken,
    /// 4xx, or a connection that is closed without an answer.
    RefusedOrClosed,
    /// Anything below 500, or a closed connection: what matters is what is checked beside it.
    Harmless,
}

/// One hostile request.
#[derive(Debug, Clone)]
pub(super) struct Try {
    pub(super) name: String,
    /// Each piece is sent after its pause.
    pieces: Vec<(Duration, Vec<u8>)>,
    pub(super) want: Want,
    /// Texts that the answer, head and body, must not hold.
    never: Vec<String>,
    /// Texts that it must hold.
    holds: Vec<String>,
    /// How long the first byte of an answer may take.
    patience: Duration,
}

/// What it was answered.
#[derive(Debug, Clone, Default)]
pub(super) struct Got {
    /// None when the connection was closed without an answer, or nothing came.
    pub(super) status: Option<u16>,
    /// The problem's code, or the title of a page.
    pub(super) code: String,
    /// Head and body.
    pub(super) text: String,
    /// Nothing came although there was time.
    pub(super) is_silent: bool,
}

impl Try {
    /// Bytes as they are.
    pub(super) fn raw(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        let pieces = vec![(Duration::ZERO, bytes.into())];
        Self {
            name: name.into(),
            pieces,
            want: Want::RefusedOrClosed,
            never: Vec::new(),
            holds: Vec::new(),
            patience: Duration::from_secs(12),
        }
    }

    /// A request in order, but for what it says. Its length is added.
    pub(super) fn ask(name: impl Into<String>, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Self {
        let mut bytes = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n").into_bytes();
        for (name, value) in headers {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        if !body.is_empty() || method != "GET" {
            bytes.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(body);
        Self { want: Want::Refused, ..Self::raw(name, bytes) }
    }

    /// A JSON body with an API key.
    pub(super) fn json(name: impl Into<String>, method: &str, path: &str, key: &str, body: impl AsRef<[u8]>) -> Self {
        Self::ask(name, method, path, &[("Authorization", key), ("Content-Type", "application/json")], body.as_ref())
    }

    /// One more piece after a pause; the answer may take as long as the longest of the server's own time limits.
    pub(super) fn then(mut self, pause_s: u64, bytes: impl Into<Vec<u8>>) -> Self {
        self.pieces.push((Duration::from_secs(pause_s), bytes.into()));
        self.patience = Duration::from_secs(40);
        self
    }

    pub(super) fn want(self, want: Want) -> Self {
        Self { want, ..self }
    }

    pub(super) fn never(mut self, text: &str) -> Self {
        self.never.push(text.to_lowercase());
        self
    }

    pub(super) fn holds(mut self, text: &str) -> Self {
        self.holds.push(text.to_lowercase());
        self
    }

    /// Sends it on a connection of its own and reads what comes.
    pub(super) async fn send(&self, host: &str) -> Got {
        let Ok(stream) = TcpStream::connect(host).await else { return Got::default() };
        let (mut from, mut to) = stream.into_split();
        let pieces = self.pieces.clone();
        let sending = tokio::spawn(async move {
            for (pause, bytes) in pieces {
                tokio::time::sleep(pause).await;
                if to.write_all(&bytes).await.is_err() {
                    break;
                }
            }
            to
        });
        let (mut bytes, mut buffer, mut is_silent) = (Vec::new(), vec![0_u8; 64 * 1024], false);
        loop {
            let wait = if bytes.is_empty() { self.patience } else { Duration::from_millis(700) };
            match tokio::time::timeout(wait, from.read(&mut buffer)).await {
                Ok(Ok(length @ 1..)) if bytes.len() < 4 << 20 => bytes.extend_from_slice(&buffer[..length]),
                Ok(_) => break,
                Err(_) => {
                    is_silent = bytes.is_empty();
                    break;
                }
            }
        }
        sending.abort();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let status = text.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).and_then(|digits| digits.parse().ok());
        let between =
            |start: &str, end: &str| text.split_once(start).and_then(|(_, rest)| rest.split_once(end)).map(|(found, _)| found.to_owned());
        let code = between("\"code\":\"", "\"").or_else(|| between("<title>", "</title>")).unwrap_or_default();
        // What an echoed code of a taken request says is no problem's.
        let code = if status.is_some_and(|status| status < 400) { String::new() } else { code };
        Got { status, code, text, is_silent }
    }

    /// What is wrong with an answer, in words; none when it is as it should be.
    pub(super) fn verdict(&self, got: &Got) -> Option<String> {
        let text = got.text.to_lowercase();
        if let Some(shown) = self.never.iter().find(|never| text.contains(*never)) {
            return Some(format!("the answer holds {shown:?}"));
        }
        if let Some(missing) = self.holds.iter().find(|wanted| !text.contains(*wanted)) {
            return Some(format!("the answer lacks {missing:?}"));
        }
        // A second answer on the connection may be to a request that was hidden in the first.
        if text.match_indices("http/1.1 5").any(|(at, _)| at == 0 || text[..at].ends_with('\n')) {
            return Some("5xx".into());
        }
        let is_as_wanted = match (self.want, got.status) {
            (_, None) if got.is_silent => false,
            (Want::Refused | Want::RefusedOrClosed, Some(status)) => (400..500).contains(&status),
            (Want::RefusedOrClosed | Want::Harmless, None) => true,
            (Want::Taken, Some(status)) => (200..400).contains(&status),
            (Want::Is(wanted), Some(status)) => status == wanted,
            (Want::Harmless, Some(status)) => status < 500,
            (Want::Refused | Want::Taken | Want::Is(_), None) => false,
        };
        (!is_as_wanted).then(|| format!("wanted {:?}", self.want))
    }
}
