//! The server: accepts connections, bounds them, and ends without dropping what it accepted.
//!
//! It is generic over a hyper service, so that what must be fastest can answer before the router is asked.

mod io;

use std::collections::HashMap;
use std::convert::Infallible;
use std::error::Error;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use futures_util::FutureExt;
use futures_util::task::AtomicWaker;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use crate::proxies::Peer;
use crate::shutdown::ShutdownSignal;
use crate::tls::TlsSetup;

/// What a connection may take.
#[derive(Debug, Clone, Copy)]
pub struct ServerLimits {
    /// The most connections at once; further ones wait in the system's queue.
    pub connections_max: usize,
    /// How long a request's head may take, and how long a connection may stay idle between requests.
    pub header_timeout: Duration,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Duration,
    /// How long a client may refuse to read what we send before it is cut off.
    pub stall_timeout: Duration,
    /// The most bytes of a request's head.
    pub header_bytes_max: usize,
    /// How long a shutdown waits for requests that were accepted.
    pub drain: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            header_timeout: Duration::from_secs(15),
            handshake_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(30),
            header_bytes_max: 32 * 1024,
            drain: Duration::from_secs(20),
        }
    }
}

/// Serves the listener until the shutdown begins, then finishes what it accepted, for at most [`ServerLimits::drain`].
/// `make` gives the service of one connection; it should [`Peer::mark`] requests that go on to a router with a [`Door`](crate::Door).
pub async fn serve<S, B, F>(listener: TcpListener, tls: Option<TlsSetup>, make: F, shutdown: ShutdownSignal, limits: ServerLimits)
where
    F: Fn(Peer) -> S + Send + Sync + 'static,
    S: Service<Request<Incoming>, Response = http::Response<B>> + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let slots = Arc::new(Semaphore::new(limits.connections_max));
    let server = Arc::new(Server { make, tls: tls.clone(), limits, open: Open::default() });
    let reloading = tls.map(|tls| tokio::spawn(async move { tls.watch().await }));
    let mut ending = shutdown.clone();
    let mut ended = pin!(ending.begun());
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut ended => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        server.spawn(accepted);
    }
    // What the system has accepted for us already is served too; after that nobody new gets in.
    while let Some(accepted) = accept(&listener, &slots).now_or_never() {
        server.spawn(accepted);
    }
    drop(listener);
    if let Some(reloading) = reloading {
        reloading.abort();
    }
    server.open.end(ENDING);
    let everyone = u32::try_from(limits.connections_max).unwrap_or(u32::MAX);
    if tokio::time::timeout(limits.drain, slots.acquire_many(everyone)).await.is_err() {
        let left = limits.connections_max - slots.available_permits();
        tracing::warn!(connections = left, "some connections did not end in time and are cut off");
        server.open.end(CUT_OFF);
        let _ = tokio::time::timeout(Duration::from_secs(1), slots.acquire_many(everyone)).await;
    }
}

type Accepted = (TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit);

/// The next connection, once there is room for it. Errors of accepting (too many open files) pass; trying at once would spin.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> Accepted {
    let permit = loop {
        if let Ok(permit) = Arc::clone(slots).acquire_owned().await {
            break permit;
        }
    };
    loop {
        match listener.accept().await {
            Ok((stream, address)) => return (stream, address, permit),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// How far the shutdown is.
const ENDING: u8 = 1;
const CUT_OFF: u8 = 2;

/// The open connections and what they are to do. Each looks at a flag when it is polled anyway and is woken once when the
/// flag changes, which costs a request less than listening to a channel.
#[derive(Default)]
struct Open {
    is_ending: AtomicBool,
    is_cut_off: AtomicBool,
    wakers: Mutex<(u64, HashMap<u64, Arc<AtomicWaker>>)>,
}

impl Open {
    fn enter(&self) -> (u64, Arc<AtomicWaker>) {
        let mut wakers = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        wakers.0 += 1;
        let number = wakers.0;
        let waker = Arc::new(AtomicWaker::new());
        wakers.1.insert(number, Arc::clone(&waker));
        (number, waker)
    }

    fn leave(&self, number: u64) {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner).1.remove(&number);
    }

    fn end(&self, how: u8) {
        self.is_ending.store(true, Ordering::SeqCst);
        self.is_cut_off.store(how == CUT_OFF, Ordering::SeqCst);
        for waker in self.wakers.lock().unwrap_or_else(PoisonError::into_inner).1.values() {
            waker.wake();
        }
    }
}

struct Server<F> {
    make: F,
    tls: Option<TlsSetup>,
    limits: ServerLimits,
    open: Open,
}

impl<S, B, F> Server<F>
where
    F: Fn(Peer) -> S + Send + Sync + 'static,
    S: Service<Request<Incoming>, Response = http::Response<B>> + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    fn spawn(self: &Arc<Self>, (stream, address, permit): Accepted) {
        let server = Arc::clone(self);
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            server.connection(stream, address).await;
            drop(permit);
        });
    }

    async fn connection(&self, mut stream: TcpStream, address: SocketAddr) {
        let peer = Peer { address, is_tls: self.tls.is_some() };
        let Some(tls) = &self.tls else { return self.speak(stream, peer).await };
        let shaken = tokio::time::timeout(self.limits.handshake_timeout, async {
            let mut first = [0];
            // A TLS handshake begins with the byte 22; anything else is a browser that was given http:// for this port.
            if stream.peek(&mut first).await? == 1 && first[0] != 22 {
                point_to_https(&mut stream).await?;
                return Ok(None);
            }
            TlsAcceptor::from(tls.config()).accept(stream).await.map(Some)
        });
        match shaken.await {
            Ok(Ok(Some(stream))) => self.speak(stream, peer).await,
            Ok(Ok(None)) => {}
            // Scanners and browsers that do not know a self-signed certificate: no fault of ours.
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
    }

    async fn speak<T: AsyncRead + AsyncWrite + Unpin + Send>(&self, stream: T, peer: Peer) {
        let stream = TokioIo::new(io::Unstalled::new(stream, self.limits.stall_timeout));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.header_timeout)
            .max_header_size(self.limits.header_bytes_max)
            .max_buf_size(self.limits.header_bytes_max.max(64 * 1024))
            .serve_connection(stream, (self.make)(peer));
        let mut connection = pin!(connection);
        let (number, waker) = self.open.enter();
        let mut is_ending = false;
        let outcome = poll_fn(|context| {
            waker.register(context.waker());
            if self.open.is_cut_off.load(Ordering::SeqCst) {
                return Poll::Ready(Ok(()));
            }
            if !is_ending && self.open.is_ending.load(Ordering::SeqCst) {
                is_ending = true;
                connection.as_mut().graceful_shutdown();
            }
            connection.as_mut().poll(context)
        })
        .await;
        self.open.leave(number);
        if let Err(error) = outcome {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}

/// Answers plain HTTP on the TLS port: where the request names a host, with the way to the https address.
async fn point_to_https(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut head = Vec::with_capacity(1024);
    while head.len() < 8 * 1024 && !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            break;
        }
    }
    let location = https_address(&head).map(|address| format!("Location: {address}\r\n"));
    let status = if location.is_some() { "307 Temporary Redirect" } else { "400 Bad Request" };
    let text = "This port speaks https.\n";
    let answer = format!(
        "HTTP/1.1 {status}\r\n{}Content-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
        location.unwrap_or_default(),
        text.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

fn https_address(head: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(head).ok()?;
    let mut lines = text.split("\r\n");
    let path = lines.next()?.split(' ').nth(1).filter(|path| path.starts_with('/') && !path.contains(char::is_control))?;
    let host =
        lines.find_map(|line| line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("host")).map(|(_, host)| host.trim()))?;
    let is_host = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b));
    is_host.then(|| format!("https://{host}{path}"))
}

/// A router as the service of a connection: marks each request with its peer for the door.
#[derive(Clone)]
pub struct RouterService {
    router: Router,
    peer: Peer,
}

impl RouterService {
    /// The router for one connection.
    pub fn new(router: Router, peer: Peer) -> Self {
        Self { router, peer }
    }
}

impl Service<Request<Incoming>> for RouterService {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        self.peer.mark(&mut request);
        let mut router = self.router.clone();
        Box::pin(tower::Service::call(&mut router, request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_pointed_to_https_only_where_the_host_is_plain() {
        let head = |text: &str| https_address(text.as_bytes());
        assert_eq!(head("GET /a?b=1 HTTP/1.1\r\nHost: go.example:8443\r\n\r\n").unwrap(), "https://go.example:8443/a?b=1");
        assert_eq!(head("GET / HTTP/1.1\r\n\r\n"), None);
        assert_eq!(head("GET / HTTP/1.1\r\nHost: evil\"><script>\r\n\r\n"), None);
        assert_eq!(head("GET http://x/ HTTP/1.1\r\nHost: a\r\n\r\n"), None);
        assert_eq!(https_address(&[0xFF, 0x00]), None);
    }
}
