//! TLS: a certificate made on the spot, replaced while connections are open, and plain HTTP on the same port.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use gateway::{Peer, RouterService, ServerLimits, TlsSetup, TlsSource};
use kernel::{Clock, Timestamp};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tessera_tls_{name}_{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn made(folder: &Path, names: &[&str]) -> TlsSource {
    TlsSource::MadeOnTheSpot { folder: folder.to_owned(), names: names.iter().map(|name| (*name).to_owned()).collect() }
}

async fn run(tls: TlsSetup) -> (SocketAddr, gateway::ShutdownTrigger) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (trigger, signal) = gateway::shutdown();
    let router = Router::new().route("/", get(|peer: Peer| async move { format!("tls {}", peer.is_tls) }));
    tokio::spawn(gateway::serve(
        listener,
        Some(tls),
        move |peer| RouterService::new(router.clone(), peer),
        signal,
        ServerLimits::default(),
    ));
    (address, trigger)
}

/// A browser that trusts only the certificate in this file.
async fn fetch(address: SocketAddr, trusted: &Path) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(trusted).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    Ok(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_made_on_the_spot_is_kept_and_renewed() {
    let folder = Folder::new("made");
    let clock = Clock::stopped(Timestamp::parse("2026-01-31T09:30:00Z").unwrap());
    let open = |names: &[&str]| TlsSetup::open(&made(&folder.0, names), &clock).unwrap().fingerprint();
    let first = open(&["localhost", "192.168.1.5"]);
    let mode = std::fs::metadata(folder.0.join("key.pem")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "the key is its owner's alone");
    assert_eq!(open(&["localhost", "192.168.1.5"]), first, "a start keeps it");
    let second = open(&["localhost", "192.168.1.6"]);
    assert_ne!(second, first, "another address needs another one");
    clock.advance(Duration::from_secs(370 * 86_400));
    assert_ne!(open(&["localhost", "192.168.1.6"]), second, "one that is about to expire is renewed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_certificate_is_shown_without_a_restart() {
    let (one, two, live) = (Folder::new("one"), Folder::new("two"), Folder::new("live"));
    for folder in [&one, &two] {
        TlsSetup::open(&made(&folder.0, &["localhost"]), &Clock::system()).unwrap();
    }
    let (certificate, key) = (live.0.join("certificate.pem"), live.0.join("key.pem"));
    let copy = |from: &Folder, name: &str| std::fs::copy(from.0.join(name), live.0.join(name)).unwrap();
    copy(&one, "certificate.pem");
    copy(&one, "key.pem");
    let source = TlsSource::Files { certificate, key };
    let tls = TlsSetup::open(&source, &Clock::system()).unwrap().polled_every(Duration::from_millis(20));
    let (address, _trigger) = run(tls.clone()).await;
    assert!(fetch(address, &one.0.join("certificate.pem")).await.unwrap().ends_with("tls true"));
    // Half a replacement does not fit together: the old pair stays.
    let before = tls.fingerprint();
    copy(&two, "certificate.pem");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(tls.fingerprint(), before);
    assert!(fetch(address, &one.0.join("certificate.pem")).await.is_ok());
    copy(&two, "key.pem");
    for _ in 0..250 {
        if tls.fingerprint() != before {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(fetch(address, &two.0.join("certificate.pem")).await.unwrap().ends_with("tls true"));
    assert!(fetch(address, &one.0.join("certificate.pem")).await.is_err(), "the old one is not shown any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_on_the_secure_port_is_told_where_to_go() {
    let folder = Folder::new("plain");
    let (address, _trigger) = run(TlsSetup::open(&made(&folder.0, &["localhost"]), &Clock::system()).unwrap()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET /a HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 307") && answer.contains(&format!("Location: https://{address}/a\r\n")), "{answer}");
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let folder = Folder::new("wrong");
    let (certificate, key) = (folder.0.join("c.pem"), folder.0.join("k.pem"));
    let open = || {
        TlsSetup::open(&TlsSource::Files { certificate: certificate.clone(), key: key.clone() }, &Clock::system())
            .err()
            .unwrap()
            .to_string()
    };
    assert!(open().contains("c.pem"));
    std::fs::write(&certificate, "no certificate").unwrap();
    assert!(open().contains("holds no certificate"));
}
