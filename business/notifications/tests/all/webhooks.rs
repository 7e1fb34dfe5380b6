//! The webhook client against endpoints that misbehave, and against names that lie.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use gateway::{AllowedNetworks, Exit, Resolve};
use kernel::Timestamp;
use notifications::{Outcome, WebhookClient, WebhookLimits};

use super::web_server::WebServer;

pub fn limits() -> WebhookLimits {
    let short = Duration::from_millis(500);
    WebhookLimits { timeout: short, connect_timeout: short, body_timeout: Duration::from_millis(200), ..WebhookLimits::default() }
}

pub fn local_client() -> WebhookClient {
    WebhookClient::new(Exit::by_system(AllowedNetworks::parse(["127.0.0.1"]).unwrap()), &[], limits())
}

async fn post(client: &WebhookClient, url: &str) -> Outcome {
    client.post(url, &[("webhook-id", "msg_1".into())], "{}".into(), Timestamp::from_seconds(0)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_told_with_its_status_and_its_beginning() {
    let server = WebServer::start().await;
    let client = local_client();
    let status_of = |outcome: Outcome| match outcome {
        Outcome::Answered { status, retry_after, snippet } => (status, retry_after, snippet),
        Outcome::Failed { reason, .. } => panic!("{reason}"),
    };
    assert_eq!(status_of(post(&client, &server.url("/ok?a=1")).await), (200, None, "thanks".into()));
    let hit = &server.hits("/ok")[0];
    assert_eq!((hit.path.as_str(), hit.body.as_str(), hit.header("webhook-id")), ("/ok?a=1", "{}", "msg_1"));
    assert_eq!(hit.header("host"), server.address.to_string());
    assert_eq!(status_of(post(&client, &server.url("/busy")).await).1, Some(Duration::from_secs(3600)));
    assert_eq!(status_of(post(&client, &server.url("/broken")).await), (500, None, "oops  [31m".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_an_answer_and_nobody_follows_it() {
    let server = WebServer::start().await;
    assert!(matches!(post(&local_client(), &server.url("/redirect")).await, Outcome::Answered { status: 302, .. }));
    assert!(server.hits("/ok").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_hangs_or_never_ends_costs_no_more_than_the_limits() {
    let server = WebServer::start().await;
    let client = local_client();
    let began = Instant::now();
    assert!(matches!(post(&client, &server.url("/hang")).await, Outcome::Failed { is_refused: false, .. }));
    match post(&client, &server.url("/huge")).await {
        Outcome::Answered { status: 200, snippet, .. } => assert_eq!(snippet.len(), 500),
        other => panic!("{other:?}"),
    }
    assert!(matches!(post(&client, &server.url("/endless")).await, Outcome::Answered { status: 200, .. }));
    assert!(began.elapsed() < Duration::from_secs(3));
}

/// A name server that gives the first answer once and the second one ever after.
struct Rebinding {
    asked: AtomicUsize,
    answers: [IpAddr; 2],
}

impl Resolve for Rebinding {
    fn resolve<'a>(&'a self, _: &'a str, _: u16) -> Pin<Box<dyn Future<Output = std::io::Result<Vec<IpAddr>>> + Send + 'a>> {
        let answer = self.answers[self.asked.fetch_add(1, Ordering::SeqCst).min(1)];
        Box::pin(async move { Ok(vec![answer]) })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_changes_its_answer_between_two_look_ups_gains_nothing() {
    let server = WebServer::start().await;
    let (outside, inside): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "127.0.0.1".parse().unwrap());
    // The first answer stands for a public address (permitted here, and nobody answers at it); the second one is inside.
    let resolver = Arc::new(Rebinding { asked: AtomicUsize::new(0), answers: [outside, inside] });
    let exit = Exit::new(resolver.clone(), AllowedNetworks::parse(["192.0.2.1"]).unwrap());
    let client = WebhookClient::new(exit, &[], limits());
    let url = format!("http://rebinding.example:{}/ok", server.address.port());
    assert!(matches!(post(&client, &url).await, Outcome::Failed { is_refused: false, .. }), "it went to the address that was judged");
    assert_eq!(resolver.asked.load(Ordering::SeqCst), 1, "one look-up a delivery");
    assert!(matches!(post(&client, &url).await, Outcome::Failed { is_refused: true, .. }), "the next delivery judges again");
    assert!(server.hits("/ok").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_an_address_inside_is_connected_to() {
    let server = WebServer::start().await;
    let client = WebhookClient::new(Exit::by_system(AllowedNetworks::default()), &[], limits());
    let port = server.address.port();
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "localhost",
        "0.0.0.0",
    ] {
        match post(&client, &format!("http://{host}:{port}/ok")).await {
            Outcome::Failed { is_refused: true, .. } => {}
            other => panic!("{host}: {other:?}"),
        }
    }
    assert!(server.hits("/ok").is_empty());
}
