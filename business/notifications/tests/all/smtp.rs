//! Conversations with mail servers that misbehave at each phase.

use std::sync::Arc;
use std::time::{Duration, Instant};

use notifications::{Envelope, Phase, SmtpConfig, SmtpError, SmtpPool, SmtpTimeouts};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::smtp_server::{Fault, SmtpServer};

const SHORT: Duration = Duration::from_millis(150);

fn config(server: &SmtpServer) -> SmtpConfig {
    let mut config = SmtpConfig::parse(&server.url()).unwrap();
    config.timeouts = SmtpTimeouts { connect: SHORT * 4, greeting: SHORT, command: SHORT, body: SHORT, verdict: SHORT };
    config
}

fn envelope() -> Envelope {
    Envelope { from: "hello@tessera.example".into(), to: "ada@example.org".into() }
}

const MESSAGE: &[u8] = b"Subject: Hi\r\n\r\n.dot\r\n..two\r\nend\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_message_arrives_whole_and_the_connection_is_kept_for_the_next() {
    let server = SmtpServer::start().await;
    let pool = SmtpPool::new(config(&server));
    for _ in 0..3 {
        pool.send(&envelope(), MESSAGE).await.unwrap();
    }
    let received = server.received();
    assert_eq!(received.len(), 3);
    assert_eq!(received[0].from, "MAIL FROM:<hello@tessera.example>");
    assert_eq!(received[0].to, "RCPT TO:<ada@example.org>");
    assert_eq!(received[0].data, "Subject: Hi\r\n\r\n..dot\r\n...two\r\nend\r\n.\r\n");
    assert_eq!(server.state.lock().unwrap().connections, 1);
    assert_eq!(server.state.lock().unwrap().commands.iter().filter(|c| *c == "RSET").count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn to_a_server_that_takes_commands_at_once_they_go_in_one_piece() {
    let server = SmtpServer::start().await;
    server.state.lock().unwrap().abilities = vec!["PIPELINING"];
    let pool = SmtpPool::new(config(&server));
    for _ in 0..3 {
        pool.send(&envelope(), MESSAGE).await.unwrap();
    }
    let received = server.received();
    assert_eq!((received.len(), received[2].to.as_str()), (3, "RCPT TO:<ada@example.org>"));
    assert_eq!(received[2].data, "Subject: Hi\r\n\r\n..dot\r\n...two\r\nend\r\n.\r\n");
    assert_eq!(server.state.lock().unwrap().connections, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_at_any_phase_costs_no_more_than_that_phase_may() {
    for (step, phase) in [
        ("greeting", Phase::Greeting),
        ("EHLO", Phase::Hello),
        ("MAIL", Phase::From),
        ("RCPT", Phase::To),
        ("DATA", Phase::Data),
        ("body", Phase::Body),
    ] {
        for abilities in [vec![], vec!["PIPELINING"]] {
            let server = SmtpServer::start().await;
            server.state.lock().unwrap().abilities = abilities;
            server.fault(step, Fault::Hang);
            let pool = SmtpPool::new(config(&server));
            let began = Instant::now();
            // Larger than the buffers between, so that writing it waits for the reader.
            let message = vec![b'x'; 16 << 20];
            assert_eq!(pool.send(&envelope(), &message).await, Err(SmtpError::TooSlow { phase }), "{step}");
            assert!(began.elapsed() < Duration::from_secs(5), "{step}");
            assert!(server.received().is_empty());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_or_a_cut_after_the_body_is_an_unknown_outcome() {
    for fault in [Fault::Hang, Fault::Drop] {
        let server = SmtpServer::start().await;
        server.fault("verdict", fault);
        let sent = SmtpPool::new(config(&server)).send(&envelope(), MESSAGE).await;
        assert!(matches!(sent, Err(SmtpError::Unknown(_))), "{sent:?}");
        assert_eq!(server.received().len(), 1, "the server has it all the same");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_before_the_body_is_no_delivery() {
    for step in ["greeting", "EHLO", "MAIL", "RCPT", "DATA"] {
        let server = SmtpServer::start().await;
        server.fault(step, Fault::Drop);
        let sent = SmtpPool::new(config(&server)).send(&envelope(), MESSAGE).await;
        assert!(matches!(sent, Err(SmtpError::Lost { .. })), "{step}: {sent:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_4xx_is_for_later_a_5xx_about_the_message_is_for_good_and_one_about_us_is_not() {
    for step in ["MAIL", "RCPT", "DATA", "verdict"] {
        for (words, is_permanent) in [("451-4.3.0 come\r\n451 later", false), ("550 5.1.1 nobody", true), ("421 closing", false)] {
            for abilities in [vec![], vec!["PIPELINING"]] {
                let server = SmtpServer::start().await;
                server.state.lock().unwrap().abilities = abilities;
                server.fault(step, Fault::Say(words));
                let pool = SmtpPool::new(config(&server));
                let error = pool.send(&envelope(), MESSAGE).await.unwrap_err();
                assert_eq!(error.is_permanent(), is_permanent, "{step} {words}: {error}");
                server.heal();
                pool.send(&envelope(), MESSAGE).await.unwrap();
                // Nothing of the refused one is left over for the next.
                assert_eq!(server.received().last().map(|received| received.data.contains("..dot")), Some(true), "{step} {words}");
            }
        }
    }
    for step in ["greeting", "EHLO"] {
        let server = SmtpServer::start().await;
        server.fault(step, Fault::Say("554 not from you"));
        let error = SmtpPool::new(config(&server)).send(&envelope(), MESSAGE).await.unwrap_err();
        assert!(!error.is_permanent(), "{step}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_connection_that_has_died_is_nobodys_failure() {
    let server = SmtpServer::start().await;
    let pool = SmtpPool::new(config(&server));
    pool.send(&envelope(), MESSAGE).await.unwrap();
    for fault in [Fault::Drop, Fault::Hang, Fault::Say("421 closing")] {
        server.fault("RSET", fault);
        pool.send(&envelope(), MESSAGE).await.unwrap();
    }
    assert_eq!(server.received().len(), 4);
    assert_eq!(server.state.lock().unwrap().connections, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_from_the_server_is_refused() {
    for words in ["hello", "2", "999 what", "22x what", "220_what"] {
        let server = SmtpServer::start().await;
        server.fault("greeting", Fault::Say(words));
        assert!(SmtpPool::new(config(&server)).send(&envelope(), MESSAGE).await.is_err(), "{words}");
    }
    let server = SmtpServer::start().await;
    let flood: &'static str = Box::leak("220-x\r\n".repeat(10_000).into_boxed_str());
    server.fault("greeting", Fault::Say(flood));
    assert!(SmtpPool::new(config(&server)).send(&envelope(), MESSAGE).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_given_in_the_way_that_the_server_takes() {
    for (ability, expected) in [("AUTH LOGIN PLAIN", "AUTH PLAIN AGFkYQBwQHNz"), ("AUTH LOGIN", "cEBzcw==")] {
        let server = SmtpServer::start().await;
        server.state.lock().unwrap().abilities = vec![ability];
        let config = SmtpConfig::parse(&format!("smtp://ada:p%40ss@{}?tls=none", server.address)).unwrap();
        SmtpPool::new(config).send(&envelope(), MESSAGE).await.unwrap();
        assert!(server.state.lock().unwrap().commands.iter().any(|c| c == expected), "{ability}");
    }
    let server = SmtpServer::start().await;
    let config = SmtpConfig::parse(&format!("smtp://ada:p%40ss@{}?tls=none", server.address)).unwrap();
    assert!(matches!(SmtpPool::new(config).send(&envelope(), MESSAGE).await, Err(SmtpError::Unusable(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_beyond_ascii_needs_a_server_that_takes_it() {
    let server = SmtpServer::start().await;
    let pool = SmtpPool::new(config(&server));
    let envelope = Envelope { from: "hello@tessera.example".into(), to: "grüße@example.org".into() };
    assert!(pool.send(&envelope, MESSAGE).await.unwrap_err().is_permanent());
    let server = SmtpServer::start().await;
    server.state.lock().unwrap().abilities = vec!["SMTPUTF8", "8BITMIME", "SIZE 1000000"];
    SmtpPool::new(config(&server)).send(&envelope, MESSAGE).await.unwrap();
    assert_eq!(server.received()[0].from, "MAIL FROM:<hello@tessera.example> SIZE=35 BODY=8BITMIME SMTPUTF8");
}

fn certificate() -> (CertificateDer<'static>, TlsAcceptor) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    (certificate, TlsAcceptor::from(Arc::new(config)))
}

#[tokio::test(flavor = "multi_thread")]
async fn starttls_protects_the_password_and_is_never_left_out() {
    let (root, acceptor) = certificate();
    let server = SmtpServer::start_with(Some(acceptor)).await;
    server.state.lock().unwrap().abilities = vec!["STARTTLS", "AUTH PLAIN"];
    let url = format!("smtp://ada:secret@localhost:{}", server.address.port());
    let mut config = SmtpConfig::parse(&url).unwrap();
    config.timeouts.greeting = Duration::from_secs(5);

    let untrusted = SmtpPool::new(config.clone()).send(&envelope(), MESSAGE).await;
    assert!(matches!(untrusted, Err(SmtpError::Lost { phase: Phase::Tls, .. })), "{untrusted:?}");

    config.extra_roots = vec![root];
    SmtpPool::new(config.clone()).send(&envelope(), MESSAGE).await.unwrap();
    let commands = server.state.lock().unwrap().commands.clone();
    let position = |word: &str| commands.iter().rposition(|c| c.starts_with(word)).unwrap();
    assert!(position("STARTTLS") < position("AUTH"));

    // Words in the clear that would be taken for words inside TLS.
    server.state.lock().unwrap().out_of_turn = Some("250 injected");
    assert!(matches!(SmtpPool::new(config.clone()).send(&envelope(), MESSAGE).await, Err(SmtpError::Unusable(_))));

    // A server, or somebody between, that does not offer it.
    server.state.lock().unwrap().abilities = vec!["AUTH PLAIN"];
    assert!(matches!(SmtpPool::new(config).send(&envelope(), MESSAGE).await, Err(SmtpError::Unusable(_))));
    assert_eq!(server.received().len(), 1);
}
