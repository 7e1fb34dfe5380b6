//! The operator's addresses.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use gateway::{Ops, Peer, ShutdownSignal, ShutdownTrigger, ops_routes, private_blocks};
use http::Request;
use tower::ServiceExt;

fn routes(is_ready: bool) -> (Router, ShutdownTrigger) {
    let (trigger, shutdown): (_, ShutdownSignal) = gateway::shutdown();
    let ops = Ops {
        ready: Arc::new(move || Box::pin(async move { if is_ready { Ok(()) } else { Err("the disk is full".to_owned()) } })),
        metrics: Arc::new(|| "http_requests_total 1\n".to_owned()),
        metrics_for: private_blocks(),
        shutdown,
    };
    (ops_routes(ops), trigger)
}

async fn get(router: &Router, path: &str, from: &str, header: Option<(&str, &str)>) -> u16 {
    let request = header.into_iter().fold(Request::get(path), |request, (name, value)| request.header(name, value));
    let mut request = request.body(Body::empty()).unwrap();
    Peer { address: from.parse().unwrap(), is_tls: false }.mark(&mut request);
    router.clone().oneshot(request).await.unwrap().status().as_u16()
}

#[tokio::test]
async fn readiness_follows_the_database_and_ends_with_the_shutdown() {
    let (broken, _trigger) = routes(false);
    assert_eq!(get(&broken, "/readyz", "127.0.0.1:1", None).await, 503);
    assert_eq!(get(&broken, "/healthz", "127.0.0.1:1", None).await, 200);
    let (fine, trigger) = routes(true);
    assert_eq!(get(&fine, "/readyz", "127.0.0.1:1", None).await, 200);
    trigger.begin();
    assert_eq!(get(&fine, "/readyz", "127.0.0.1:1", None).await, 503);
    assert_eq!(get(&fine, "/healthz", "127.0.0.1:1", None).await, 200);
}

#[tokio::test]
async fn metrics_are_for_the_private_network_only() {
    let (router, _trigger) = routes(true);
    assert_eq!(get(&router, "/metrics", "127.0.0.1:1", None).await, 200);
    assert_eq!(get(&router, "/metrics", "[::1]:1", None).await, 200);
    assert_eq!(get(&router, "/metrics", "192.168.3.4:1", None).await, 200);
    assert_eq!(get(&router, "/metrics", "203.0.113.4:1", None).await, 404);
    assert_eq!(get(&router, "/metrics", "127.0.0.1:1", Some(("x-forwarded-for", "203.0.113.4"))).await, 404);
}
