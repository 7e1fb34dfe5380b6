//! Requests at a chosen rate, each timed from when it was due: a server that stalls cannot hide it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// An open connection.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

impl Connection {
    /// Connects to `http://host:port`.
    pub(crate) async fn open(url: &str) -> Result<Self, String> {
        let host = url.trim_start_matches("http://").to_owned();
        let stream = TcpStream::connect(&host).await.map_err(|e| e.to_string())?;
        stream.set_nodelay(true).map_err(|e| e.to_string())?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
        tokio::spawn(connection);
        Ok(Self { sender, host })
    }

    /// Whether the other end has not closed it.
    pub(crate) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn send(&mut self, method: Method, path: &str, headers: &[(&str, &str)], body: Bytes) -> Result<Answer, String> {
        self.sender.ready().await.map_err(|e| e.to_string())?;
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, &self.host);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).map_err(|e| e.to_string())?;
        let response = self.sender.send_request(request).await.map_err(|e| e.to_string())?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(|e| e.to_string())?.to_bytes();
        let headers =
            parts.headers.iter().map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
        Ok(Answer { status: parts.status, headers: headers.collect(), body })
    }
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Bytes,
}

/// One GET on a connection of its own.
pub(crate) async fn get(url: &str, path: &str) -> Result<(StatusCode, String), String> {
    let answer = Connection::open(url).await?.send(Method::GET, path, &[], Bytes::new()).await?;
    Ok((answer.status, String::from_utf8_lossy(&answer.body).into_owned()))
}

/// How long answers took.
pub(crate) struct Latency {
    micros: Vec<u64>,
    pub(crate) answered: u64,
    pub(crate) failed: u64,
}

impl Latency {
    /// From durations in microseconds.
    pub(crate) fn of(mut micros: Vec<u64>, failed: u64) -> Self {
        micros.sort_unstable();
        Self { answered: micros.len() as u64, micros, failed }
    }

    /// The time within which this share of the answers came, in milliseconds.
    pub(crate) fn quantile_ms(&self, share: f64) -> f64 {
        let at = ((self.micros.len() as f64 * share) as usize).min(self.micros.len().saturating_sub(1));
        self.micros.get(at).map_or(0.0, |micros| *micros as f64 / 1000.0)
    }
}

/// GETs of `paths` in turn at `rate` a second over `connections`, for `time`.
pub(crate) async fn gets(url: &str, paths: &[String], rate: f64, time: Duration, connections: usize) -> Result<Latency, String> {
    let paths: Arc<[String]> = paths.into();
    let start = Instant::now() + Duration::from_millis(200);
    let pause = Duration::from_secs_f64(connections as f64 / rate);
    let tasks: Vec<_> = (0..connections)
        .map(|lane| {
            let (url, paths) = (url.to_owned(), Arc::clone(&paths));
            tokio::spawn(async move {
                let mut connection = Connection::open(&url).await?;
                let agent = [(
                    "user-agent",
                    "Mozilla/5.0 (Linux; Android 16; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Mobile Safari/537.36",
                )];
                let (mut micros, mut failed, mut number) = (Vec::new(), 0, 0_u32);
                loop {
                    let due = start + pause.mul_f64(lane as f64 / connections as f64) + pause * number;
                    if due >= start + time {
                        return Ok::<_, String>((micros, failed));
                    }
                    tokio::time::sleep_until(due.into()).await;
                    let path = &paths[(lane * 7_919 + number as usize * connections) % paths.len()];
                    match connection.send(Method::GET, path, &agent, Bytes::new()).await {
                        Ok(answer) if answer.status.as_u16() < 400 => micros.push(due.elapsed().as_micros() as u64),
                        _ => failed += 1,
                    }
                    number += 1;
                }
            })
        })
        .collect();
    let (mut micros, mut failed) = (Vec::new(), 0);
    for task in tasks {
        let (some, none) = task.await.map_err(|e| e.to_string())??;
        micros.extend(some);
        failed += none;
    }
    Ok(Latency::of(micros, failed))
}
