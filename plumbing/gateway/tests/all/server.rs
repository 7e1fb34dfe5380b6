//! The server on real sockets: slow clients, many clients, and an end that loses nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::response::sse::{Event, Sse};
use axum::routing::get;
use futures_util::StreamExt;
use gateway::{RouterService, ServerLimits, ShutdownSignal, ShutdownTrigger};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

struct Running {
    address: SocketAddr,
    trigger: ShutdownTrigger,
    ended: JoinHandle<()>,
}

async fn run(router: impl Fn(ShutdownSignal) -> Router, limits: ServerLimits) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (trigger, signal) = gateway::shutdown();
    let router = router(signal.clone());
    let make = move |peer| RouterService::new(router.clone(), peer);
    let ended = tokio::spawn(gateway::serve(listener, None, make, signal, limits));
    Running { address, trigger, ended }
}

fn plain(_: ShutdownSignal) -> Router {
    Router::new().route("/", get(|| async { "hello" })).route(
        "/slow",
        get(|| async {
            tokio::time::sleep(Duration::from_millis(400)).await;
            "finished"
        }),
    )
}

/// Sends bytes and reads until the server closes.
async fn talk(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

const CLOSE: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_dribbles_its_headers_is_cut_off() {
    let limits = ServerLimits { header_timeout: Duration::from_millis(300), ..ServerLimits::default() };
    let running = run(plain, limits).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let begun = Instant::now();
    let dribble = async {
        for byte in b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".iter() {
            if stream.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        rest
    };
    let answer = tokio::time::timeout(Duration::from_secs(10), dribble).await.expect("it is cut off");
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
    assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
    assert!(talk(running.address, CLOSE).await.ends_with("hello"), "others are served");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_too_long_is_refused() {
    let running = run(plain, ServerLimits::default()).await;
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Long: {}\r\n\r\n", "x".repeat(40_000));
    assert!(talk(running.address, head.as_bytes()).await.starts_with("HTTP/1.1 431"));
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X-A: 1\r\n".repeat(200));
    assert!(talk(running.address, many.as_bytes()).await.starts_with("HTTP/1.1 431"));
    assert!(talk(running.address, b"\x16\x03\x01 nonsense\r\n\r\n").await.starts_with("HTTP/1.1 400"));
}

#[tokio::test(flavor = "multi_thread")]
async fn strange_requests_get_an_answer_and_never_a_5xx() {
    let behind_the_door = |signal: ShutdownSignal| {
        let door =
            gateway::Door::new(gateway::DoorSettings::default(), Arc::new(gateway::NobodyKnown), &kernel::Entropy::seeded(1), signal);
        door.around(plain(ShutdownSignal::never()))
    };
    let running = run(behind_the_door, ServerLimits::default()).await;
    for (request, status) in [
        ("CONNECT a:80 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "40"),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "40"),
        ("GET http://other/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "200"),
        ("GET /../../etc/passwd HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "404"),
        ("GET /%2e%2e/%00 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "404"),
        ("GET // HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "404"),
        ("GET /?%ff%00 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "200"),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n", "400"),
        ("BREW / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "405"),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", "400"),
        ("GET / HTTP/9.9\r\nHost: a\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", "400"),
    ] {
        let answer = tokio::time::timeout(Duration::from_secs(5), talk(running.address, request.as_bytes())).await.expect(request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request:?} -> {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_connections_than_allowed_wait_their_turn() {
    let running = run(plain, ServerLimits { connections_max: 1, ..ServerLimits::default() }).await;
    let mut first = TcpStream::connect(running.address).await.unwrap();
    first.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut buffer = [0; 1024];
    assert!(first.read(&mut buffer).await.unwrap() > 0);
    let second = tokio::spawn(talk(running.address, CLOSE));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!second.is_finished(), "there is no room yet");
    drop(first);
    assert!(second.await.unwrap().ends_with("hello"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_finishes_what_was_accepted_and_takes_nobody_new() {
    let running = run(plain, ServerLimits::default()).await;
    let idle = TcpStream::connect(running.address).await.unwrap();
    let slow = tokio::spawn(talk(running.address, b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n"));
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(idle);
    running.trigger.begin();
    let answer = slow.await.unwrap();
    assert!(answer.contains("finished") && answer.contains("connection: close"), "{answer}");
    tokio::time::timeout(Duration::from_secs(5), running.ended).await.expect("the server ends").unwrap();
    assert!(TcpStream::connect(running.address).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_ends_live_streams() {
    let streams = |signal: ShutdownSignal| {
        let events = move || {
            let mut signal = signal.clone();
            async move {
                let ticks = futures_util::stream::unfold((), |()| async {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    Some((Ok::<_, std::convert::Infallible>(Event::default().data("tick")), ()))
                });
                Sse::new(ticks.take_until(async move { signal.begun().await }))
            }
        };
        Router::new().route("/live", get(events))
    };
    let running = run(streams, ServerLimits::default()).await;
    let live = tokio::spawn(talk(running.address, b"GET /live HTTP/1.1\r\nHost: a\r\n\r\n"));
    tokio::time::sleep(Duration::from_millis(200)).await;
    running.trigger.begin();
    let heard = tokio::time::timeout(Duration::from_secs(5), live).await.expect("the stream ends").unwrap();
    assert!(heard.contains("data: tick") && heard.ends_with("0\r\n\r\n"), "{heard}");
    tokio::time::timeout(Duration::from_secs(5), running.ended).await.expect("the server ends").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_end_in_time_is_cut_off() {
    let endless = |_: ShutdownSignal| Router::new().route("/", get(|| async { tokio::time::sleep(Duration::from_secs(600)).await }));
    let running = run(endless, ServerLimits { drain: Duration::from_millis(200), ..ServerLimits::default() }).await;
    let stuck = tokio::spawn(talk(running.address, CLOSE));
    tokio::time::sleep(Duration::from_millis(100)).await;
    running.trigger.begin();
    tokio::time::timeout(Duration::from_secs(5), running.ended).await.expect("the server ends").unwrap();
    assert_eq!(stuck.await.unwrap(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_nothing_is_cut_off() {
    let big = |_: ShutdownSignal| Router::new().route("/", get(|| async { vec![b'x'; 64 << 20] }));
    let running = run(big, ServerLimits { stall_timeout: Duration::from_millis(300), connections_max: 1, ..ServerLimits::default() }).await;
    let mut lazy = TcpStream::connect(running.address).await.unwrap();
    lazy.write_all(CLOSE).await.unwrap();
    // With room for one connection the next is served only once the lazy one is gone.
    let next = tokio::time::timeout(Duration::from_secs(10), talk(running.address, CLOSE)).await.expect("the lazy one is cut off");
    assert!(next.len() > 64 << 20);
}
