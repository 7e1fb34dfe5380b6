//! Addresses for those who run an installation: is it alive, may it get requests, how is it doing.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderValue, StatusCode, header};

use crate::proxies::{Block, Peer, Proxies};
use crate::shutdown::ShutdownSignal;

/// Whether requests can be served; `Err` says why not, in words for the operator.
pub type Readiness = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// What the operator's addresses need.
#[derive(Clone)]
pub struct Ops {
    /// Looks whether the database answers.
    pub ready: Arc<dyn Fn() -> Readiness + Send + Sync>,
    /// Renders the metrics in Prometheus's text format.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// Who may read the metrics; see [`private_blocks`].
    pub metrics_for: Vec<Block>,
    /// Readiness ends when the shutdown begins.
    pub shutdown: ShutdownSignal,
}

/// This machine and private networks.
pub fn private_blocks() -> Vec<Block> {
    let blocks = ["127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"];
    blocks.iter().filter_map(|block| block.parse().ok()).collect()
}

/// `/healthz`, `/readyz` and `/metrics`. They stand beside the door, not behind it, so that they answer when it is busy.
/// Metrics are shown only to direct connections from the named blocks: what a proxy brings from outside has forwarding headers.
pub fn ops_routes(ops: Ops) -> Router {
    let readiness = ops.clone();
    Router::new()
        .route("/healthz", get(|| async { text(StatusCode::OK, "alive\n".to_owned()) }))
        .route("/readyz", get(move || ready(readiness)))
        .route("/metrics", get(move |request: Request| metrics(ops, request)))
}

async fn ready(ops: Ops) -> Response {
    if ops.shutdown.is_begun() {
        return text(StatusCode::SERVICE_UNAVAILABLE, "shutting down\n".to_owned());
    }
    match tokio::time::timeout(Duration::from_secs(2), (ops.ready)()).await {
        Ok(Ok(())) => text(StatusCode::OK, "ready\n".to_owned()),
        Ok(Err(reason)) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
        Err(_) => text(StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n".to_owned()),
    }
}

async fn metrics(ops: Ops, request: Request) -> Response {
    let forwarded = ["x-forwarded-for", "forwarded", "x-real-ip"].iter().any(|name| request.headers().contains_key(*name));
    let readers = Proxies::of(ops.metrics_for.iter().copied());
    let may = request.extensions().get::<Peer>().is_none_or(|peer| readers.holds(peer.address.ip()));
    if forwarded || !may {
        return crate::Problem::not_found().into_response();
    }
    let mut response = text(StatusCode::OK, (ops.metrics)());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    response
}

fn text(status: StatusCode, text: String) -> Response {
    let headers = [(header::CACHE_CONTROL, "no-store"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (status, headers, text).into_response()
}
