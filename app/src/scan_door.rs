//! The fast door: answers scans before the router is asked, and hands everything else on.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::response::IntoResponse;
use bytes::Bytes;
use codes::scan::{Outcome, ScanRequest, Scanner};
use gateway::{Peer, Proxies};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Frame;
use hyper::body::Incoming;
use hyper::service::Service;

use crate::pages::scan::ScanPages;

/// Every public code has this many characters; other paths go to the router unseen.
const CODE_CHARS: usize = codes::LENGTH;

/// What the door needs of the installation, once.
pub struct ScanDoor {
    /// Answers codes.
    pub scanner: Scanner,
    /// Whose forwarding headers are believed.
    pub proxies: Proxies,
    /// The header with the visitor's country, from a trusted proxy.
    pub country_header: Option<HeaderName>,
    /// Renders what a code opens.
    pub pages: ScanPages,
    /// Everything else.
    pub router: axum::Router,
}

/// The door of one connection.
#[derive(Clone)]
pub struct ScanService {
    door: Arc<ScanDoor>,
    peer: Peer,
}

impl ScanDoor {
    /// The service of one connection.
    pub fn service(self: &Arc<Self>, peer: Peer) -> ScanService {
        ScanService { door: Arc::clone(self), peer }
    }

    fn code_in(path: &str) -> Option<&str> {
        let code = path.strip_prefix('/')?;
        let code = code.strip_suffix('/').unwrap_or(code);
        (code.len() == CODE_CHARS && !code.contains('/')).then_some(code).filter(|code| codes::PublicCode::parse(code.as_bytes()).is_ok())
    }

    /// Answers a request that another kind of server received, for tests of the whole way.
    pub async fn answer<B>(self: &Arc<Self>, peer: Peer, request: Request<B>) -> Response<DoorBody>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if let Some(scan) = Scan::of(self, peer, &request) {
            let session = session(request.headers(), scan.is_https);
            let outcome = match self.scanner.scan(&scan.request(request.headers())) {
                Some(outcome) => outcome,
                None => self.scanner.scan_slowly(&scan.request(request.headers())).await,
            };
            return self.respond(outcome, scan.is_get, session).await;
        }
        let mut request = request.map(Body::new);
        peer.mark(&mut request);
        let mut router = self.router.clone();
        match tower::Service::call(&mut router, request).await {
            Ok(response) => response.map(DoorBody::Router),
            Err(never) => match never {},
        }
    }

    async fn respond(&self, outcome: Outcome, is_get: bool, session: Option<String>) -> Response<DoorBody> {
        let mut response = match outcome {
            Outcome::Redirect(location) => return redirect(location),
            Outcome::Open(target) => self.pages.open(&target, session.as_deref()).await,
            Outcome::Closed(target, why) => self.pages.closed(&target, why).await,
            Outcome::NotFound => self.pages.unknown(),
            Outcome::Busy => self.pages.busy(),
        };
        if !is_get {
            response = response.map(|_| Body::empty());
        }
        response.map(DoorBody::Router)
    }
}

/// What of a request is kept while it waits for the database.
struct Scan {
    code: String,
    query: Option<String>,
    place: Option<[u8; 2]>,
    address: std::net::IpAddr,
    is_get: bool,
    is_https: bool,
}

impl Scan {
    fn of<B>(door: &ScanDoor, peer: Peer, request: &Request<B>) -> Option<Self> {
        let is_get = request.method() == Method::GET;
        if !is_get && request.method() != Method::HEAD {
            return None;
        }
        let code = ScanDoor::code_in(request.uri().path())?;
        let origin = door.proxies.resolve(peer, request.headers());
        Some(Self {
            code: code.to_owned(),
            query: request.uri().query().map(str::to_owned),
            place: place(door, origin.is_forwarded, request.headers()),
            address: origin.address,
            is_get,
            is_https: origin.is_https,
        })
    }

    fn request<'a>(&'a self, headers: &'a HeaderMap) -> ScanRequest<'a> {
        ScanRequest {
            code: &self.code,
            query: self.query.as_deref(),
            is_get: self.is_get,
            headers,
            address: self.address,
            place: self.place.as_ref().map(<[u8; 2]>::as_slice),
        }
    }
}

/// The visitor's country, which only a trusted proxy can know.
fn place(door: &ScanDoor, is_forwarded: bool, headers: &HeaderMap) -> Option<[u8; 2]> {
    let name = door.country_header.as_ref().filter(|_| is_forwarded)?;
    <[u8; 2]>::try_from(headers.get(name)?.as_bytes()).ok()
}

/// The session of whoever scans, if they are signed in here.
fn session(headers: &HeaderMap, is_https: bool) -> Option<String> {
    gateway::session_token_in(headers, is_https).map(str::to_owned)
}

fn redirect(location: HeaderValue) -> Response<DoorBody> {
    let mut response = Response::new(DoorBody::Empty);
    *response.status_mut() = StatusCode::FOUND;
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, location);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

impl Service<Request<Incoming>> for ScanService {
    type Response = Response<DoorBody>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        let is_get = request.method() == Method::GET;
        if (is_get || request.method() == Method::HEAD)
            && let Some(code) = ScanDoor::code_in(request.uri().path())
        {
            // A code that memory knows and that leads elsewhere is answered here and now.
            let origin = self.door.proxies.resolve(self.peer, request.headers());
            let place = place(&self.door, origin.is_forwarded, request.headers());
            let scan = ScanRequest {
                code,
                query: request.uri().query(),
                is_get,
                headers: request.headers(),
                address: origin.address,
                place: place.as_ref().map(<[u8; 2]>::as_slice),
            };
            match self.door.scanner.scan(&scan) {
                Some(Outcome::Redirect(location)) => return Answering::Now(Some(redirect(location))),
                Some(outcome) => {
                    let (door, session) = (Arc::clone(&self.door), session(request.headers(), origin.is_https));
                    return Answering::Later(Box::pin(async move { door.respond(outcome, is_get, session).await }));
                }
                None => {}
            }
        }
        let (door, peer) = (Arc::clone(&self.door), self.peer);
        Answering::Later(Box::pin(async move { door.answer(peer, request).await }))
    }
}

/// The future of an answer, which is mostly there already.
pub enum Answering {
    /// It is there.
    Now(Option<Response<DoorBody>>),
    /// It is being made.
    Later(Pin<Box<dyn Future<Output = Response<DoorBody>> + Send>>),
}

impl Future for Answering {
    type Output = Result<Response<DoorBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Now(response) => {
                Poll::Ready(Ok(response.take().unwrap_or_else(|| StatusCode::INTERNAL_SERVER_ERROR.into_response().map(DoorBody::Router))))
            }
            Self::Later(response) => response.as_mut().poll(context).map(Ok),
        }
    }
}

/// The body of an answer.
pub enum DoorBody {
    /// Of a redirect.
    Empty,
    /// Of a page or of the router.
    Router(Body),
}

impl http_body::Body for DoorBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Router(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Router(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match self {
            Self::Empty => http_body::SizeHint::with_exact(0),
            Self::Router(body) => body.size_hint(),
        }
    }
}
