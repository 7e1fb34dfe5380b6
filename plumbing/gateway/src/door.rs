//! The door: one layer around the router that does for every request what every request needs, in one pass.
//!
//! On the way in: who is connected, a request id, the length of the address, card numbers in the address and the headers,
//! cross-site requests, the allowance of the address. Around the handler: the deadline and panics. On the way out: problems written and logged, security headers,
//! metrics, one line of log without personal data.

use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use kernel::Entropy;

use crate::call::{Doorkeeper, Entry, bearer, cookie, csrf, is_same_origin, is_unsafe, session_cookie_name};
use crate::card_numbers::{self, CardNumberRules};
use crate::extract::{method_not_allowed, not_found, text_header};
use crate::limits::{Class, LimitSettings, Limits};
use crate::meter::Meter;
use crate::problem::ProblemPage;
use crate::proxies::{Peer, Proxies};
use crate::shutdown::ShutdownSignal;
use crate::{Problem, page};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest address that is looked at: path and query in bytes.
const ADDRESS_MAX: usize = 8 * 1024;

/// How the door behaves; the defaults are those of the table of limits.
#[derive(Clone)]
pub struct DoorSettings {
    /// How long a handler may take before the caller gets 503. A stream counts only until it begins.
    pub deadline: Duration,
    /// How long a request's body may take before the caller gets 408; shorter than the deadline.
    pub body_time: Duration,
    /// Whose forwarding headers are believed.
    pub proxies: Proxies,
    /// How often callers and addresses may knock.
    pub limits: LimitSettings,
    /// Whether browsers are told to use https for a year once they came over https.
    pub has_hsts: bool,
    /// Routes that other people's machines call, from few addresses and often: each address counts there like a known caller.
    pub machine_routes: Vec<&'static str>,
    /// Where card numbers are redacted instead of refused, and where numbers are declared.
    pub card_numbers: CardNumberRules,
    /// Writes problems as pages for browsers.
    pub problem_page: Option<ProblemPage>,
}

impl Default for DoorSettings {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(30),
            body_time: Duration::from_secs(20),
            proxies: Proxies::default(),
            limits: LimitSettings::default(),
            has_hsts: true,
            machine_routes: Vec::new(),
            card_numbers: CardNumberRules::default(),
            problem_page: None,
        }
    }
}

/// The door of one server. Cheap to clone.
#[derive(Clone)]
pub struct Door(Arc<Inside>);

struct Inside {
    settings: DoorSettings,
    doorkeeper: Arc<dyn Doorkeeper>,
    limits: Arc<Limits>,
    shutdown: ShutdownSignal,
    meter: Meter,
    /// Request ids are this random beginning and a number, which costs no system call per request.
    id_start: String,
    id_next: AtomicU64,
}

impl Door {
    /// A door with these settings, whose doorkeeper knows the callers.
    pub fn new(settings: DoorSettings, doorkeeper: Arc<dyn Doorkeeper>, entropy: &Entropy, shutdown: ShutdownSignal) -> Self {
        let limits = Arc::new(Limits::new(settings.limits));
        let id_start = format!("{:012x}", u64::from_le_bytes(entropy.bytes()) >> 16);
        Self(Arc::new(Inside { settings, doorkeeper, limits, shutdown, meter: Meter::default(), id_start, id_next: AtomicU64::new(1) }))
    }

    /// Puts the door around a router: problems for unknown addresses and methods, and this door's layer around every route.
    pub fn around(&self, router: Router) -> Router {
        router.fallback(not_found).method_not_allowed_fallback(method_not_allowed).layer(self.clone())
    }

    /// The allowances, for whoever draws on them outside of a handler.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }
}

impl<S> tower::Layer<S> for Door {
    type Service = Doorway<S>;
    fn layer(&self, inner: S) -> Doorway<S> {
        Doorway { door: Arc::clone(&self.0), inner }
    }
}

/// A route with the door in front of it.
#[derive(Clone)]
pub struct Doorway<S> {
    door: Arc<Inside>,
    inner: S,
}

impl<S> tower::Service<Request> for Doorway<S>
where
    S: tower::Service<Request, Response = Response, Error = Infallible> + Send,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let begun = Instant::now();
        let door = Arc::clone(&self.door);
        let entry = door.enter(&request);
        let is_page = wants_page(request.headers());
        let admitted = door.admit(&entry, &request).map(|allowance| {
            request.extensions_mut().insert(Arc::clone(&entry));
            (allowance, self.inner.call(request))
        });
        Box::pin(async move {
            let (allowance, mut response) = match admitted {
                Ok((allowance, handler)) => (Some(allowance), guarded(handler, door.settings.deadline).await),
                Err(problem) => (None, problem.into_response()),
            };
            if let Some(problem) = response.extensions_mut().remove::<Problem>() {
                door.write_problem(&entry, &problem, is_page, &mut response);
            }
            if let Some(allowance) = entry.allowance.get().or(allowance.as_ref()) {
                allowance.write(response.headers_mut());
            }
            door.secure(&entry, response.headers_mut());
            let took = begun.elapsed();
            let (route, status) = (entry.route(), response.status().as_u16());
            door.meter.record(route, &entry.method, status, took);
            tracing::info!(
                target: "gateway::access",
                method = %entry.method, route, status, micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX), request_id = %entry.request_id
            );
            Ok(response)
        })
    }
}

impl Inside {
    fn enter(&self, request: &Request) -> Arc<Entry> {
        // Without a server in front (a test that calls the router) the request comes from this machine.
        let nobody = Peer { address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0), is_tls: false };
        let peer = request.extensions().get::<Peer>().copied().unwrap_or(nobody);
        let headers = request.headers();
        let origin = self.settings.proxies.resolve(peer, headers);
        let given = headers.get(&REQUEST_ID).filter(|_| origin.is_forwarded).and_then(|value| value.to_str().ok());
        let request_id = match given {
            Some(id)
                if (1..=100).contains(&id.len())
                    && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
                    && card_numbers::find(id).is_none() =>
            {
                id.to_owned()
            }
            _ => format!("{}-{:08x}", self.id_start, self.id_next.fetch_add(1, Ordering::Relaxed)),
        };
        Arc::new(Entry {
            request_id,
            address: origin.address,
            is_https: origin.is_https,
            host: origin.host,
            method: request.method().clone(),
            route: request.extensions().get::<MatchedPath>().cloned(),
            uri: request.uri().clone(),
            doorkeeper: Arc::clone(&self.doorkeeper),
            limits: Arc::clone(&self.limits),
            shutdown: self.shutdown.clone(),
            card_numbers: self.settings.card_numbers.clone(),
            body_time: self.settings.body_time,
            body: OnceLock::new(),
            allowance: OnceLock::new(),
        })
    }

    fn admit(&self, entry: &Entry, request: &Request) -> Result<crate::limits::Allowance, Problem> {
        let class = if self.settings.machine_routes.contains(&entry.route()) { Class::Caller } else { Class::Address };
        let allowance = self.limits.limit_address(class, entry.address)?;
        let headers = request.headers();
        if headers.get_all(header::HOST).iter().nth(1).is_some() {
            return Err(Problem::new(StatusCode::BAD_REQUEST, "several_hosts").with_detail("send one Host header"));
        }
        if request.uri().path_and_query().is_some_and(|address| address.as_str().len() > ADDRESS_MAX) {
            return Err(Problem::new(StatusCode::URI_TOO_LONG, "address_too_long")
                .with_detail(format!("the address may have at most {ADDRESS_MAX} bytes")));
        }
        card_numbers::refuse_head(&self.settings.card_numbers, entry.route(), request.uri(), headers)?;
        // A key in a header cannot be sent by another site's page; a cookie can.
        if is_unsafe(request.method())
            && cookie(headers, session_cookie_name(entry.is_https)).is_some()
            && bearer(headers)?.is_none()
            && !is_same_origin(headers, entry.host(), entry.is_https)
        {
            return Err(csrf());
        }
        Ok(allowance)
    }

    /// Writes the problem again with the request's id, as a page for a browser, and logs once what is our own fault.
    fn write_problem(&self, entry: &Entry, problem: &Problem, is_page: bool, response: &mut Response) {
        if let Some(chain) = problem.chain() {
            let (route, request_id, code) = (entry.route(), entry.request_id.as_str(), problem.code());
            match problem.status() {
                StatusCode::INTERNAL_SERVER_ERROR => tracing::error!(route, request_id, code, error = %chain, "a request failed"),
                _ => tracing::warn!(route, request_id, code, error = %chain, "a request was put off"),
            }
        }
        let page = if is_page { self.settings.problem_page.and_then(|page| page(problem, &entry.request_id)) } else { None };
        let (kind, text) = match page {
            Some(html) => ("text/html; charset=utf-8", html),
            None => ("application/problem+json", problem.json(Some(&entry.request_id))),
        };
        response.headers_mut().remove(header::CONTENT_LENGTH);
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        *response.body_mut() = Body::from(text);
    }

    fn secure(&self, entry: &Entry, headers: &mut HeaderMap) {
        headers.insert(REQUEST_ID, text_header(&entry.request_id));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.entry(header::REFERRER_POLICY).or_insert(HeaderValue::from_static("same-origin"));
        headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(page::POLICY));
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        if entry.is_https && self.settings.has_hsts {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
        }
    }
}

/// The handler's answer, or a problem when it panics or takes too long.
async fn guarded(handler: impl Future<Output = Result<Response, Infallible>>, deadline: Duration) -> Response {
    match tokio::time::timeout(deadline, AssertUnwindSafe(handler).catch_unwind()).await {
        Ok(Ok(Ok(response))) => response,
        Ok(Ok(Err(never))) => match never {},
        Ok(Err(panic)) => {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned()).or_else(|| panic.downcast_ref::<String>().cloned());
            Problem::internal(format!("a handler panicked: {}", text.unwrap_or_default())).into_response()
        }
        Err(_) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "deadline")
            .with_detail("this took too long and its outcome is unknown: repeat the request with the same idempotency key")
            .with_retry_after(1)
            .into_response(),
    }
}

/// Whether the request wants HTML more than anything else, as browsers do when they open an address.
fn wants_page(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT).is_some_and(|accept| accept.as_bytes().trim_ascii_start().starts_with(b"text/html"))
}
