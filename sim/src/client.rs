//! A small HTTP client for `http://` addresses: it delivers webhooks, and tests speak to the simulator with it.

use std::collections::HashMap;
use std::io::{Error, ErrorKind};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 16 * 1_024 * 1_024;

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON; `Null` where it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Keeps one connection per address.
#[derive(Debug, Default)]
pub struct Client {
    open: HashMap<String, SendRequest<Full<Bytes>>>,
}

impl Client {
    /// Sends one request and reads the answer; all of it within the time. Redirects are not followed.
    ///
    /// # Errors
    /// Addresses that are not `http://host:port/…`, connections that fail or are closed without an answer, and the time running out
    /// (`TimedOut`).
    pub async fn send(
        &mut self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
        timeout: Duration,
    ) -> Result<Answer, Error> {
        let body = body.into();
        match tokio::time::timeout(timeout, self.exchange(method, url, headers, body)).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::new(ErrorKind::TimedOut, format!("no answer within {} ms", timeout.as_millis()))),
        }
    }

    async fn exchange(&mut self, method: Method, url: &str, headers: &[(&str, &str)], body: Bytes) -> Result<Answer, Error> {
        let uri: Uri = url.parse().map_err(|_| Error::new(ErrorKind::InvalidInput, format!("{url:?} is no address")))?;
        let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http"));
        let authority = authority.ok_or_else(|| Error::new(ErrorKind::InvalidInput, format!("{url:?} does not begin with http://host")))?;
        let host = authority.as_str().to_owned();
        let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned();
        let mut request = Request::builder().method(method).uri(path).header("host", &host);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).map_err(|error| Error::new(ErrorKind::InvalidInput, error))?;
        let mut kept = self.open.remove(&host);
        if let Some(sender) = &mut kept
            && sender.ready().await.is_err()
        {
            // The other side has closed it meanwhile.
            kept = None;
        }
        let mut sender = match kept {
            Some(sender) => sender,
            None => connect(&host).await?,
        };
        let answer = sender.send_request(request).await.map_err(Error::other)?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(Error::other)?.to_bytes();
        self.open.insert(host, sender);
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }
}

async fn connect(host: &str) -> Result<SendRequest<Full<Bytes>>, Error> {
    let address = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(Error::other)?;
    // It ends when the sender is dropped or the other side closes.
    tokio::spawn(connection);
    Ok(sender)
}
