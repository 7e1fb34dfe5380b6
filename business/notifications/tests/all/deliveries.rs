//! Whole deliveries: from the verb through the outbox to a server, with faults on the way.

use std::time::{Duration, Instant};

use kernel::Timestamp;
use notifications::{
    AttemptOutcome, EndpointDisabled, EndpointState, MailTransport, MessageState, SmtpConfig, SmtpPool, SmtpTimeouts, sign,
};
use serde_json::json;

use super::smtp_server::{Fault, SmtpServer};
use super::web_server::WebServer;
use super::world::{World, lead_mail, until};

fn mail_to(server: &SmtpServer) -> MailTransport {
    let mut config = SmtpConfig::parse(&server.url()).unwrap();
    let short = Duration::from_millis(200);
    config.timeouts = SmtpTimeouts { connect: short, greeting: short, command: short, body: short, verdict: short };
    MailTransport::Smtp(SmtpPool::new(config))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_whose_outcome_is_unknown_is_repeated_under_the_same_message_id() {
    let server = SmtpServer::start().await;
    let world = World::with_mail(mail_to(&server)).await;
    let id = world.send(lead_mail("Grace")).await.unwrap();
    server.fault("verdict", Fault::Drop);
    world.drain().await;
    assert_eq!(world.messages().await[0].state, MessageState::Queued);
    server.heal();
    world.store.clock().advance(Duration::from_secs(10));
    world.drain().await;
    assert_eq!(world.messages().await[0].state, MessageState::Sent);
    let received = server.received();
    assert_eq!(received.len(), 2);
    assert_eq!(received[0], received[1], "byte for byte the same mail");
    assert!(received[0].data.contains(&format!("Message-ID: <{id}@tessera.example>")));
    world.store.clock().advance(Duration::from_secs(3600));
    world.drain().await;
    assert_eq!(server.received().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_mail_is_given_up_with_its_reason_and_a_deferred_one_is_not() {
    let server = SmtpServer::start().await;
    let world = World::with_mail(mail_to(&server)).await;
    server.fault("RCPT", Fault::Say("450 greylisted"));
    world.send(lead_mail("Grace")).await.unwrap();
    world.drain().await;
    let listed = &world.messages().await[0];
    assert_eq!(listed.state, MessageState::Queued);
    assert!(listed.reason.as_ref().unwrap().contains("greylisted"));
    server.fault("RCPT", Fault::Say("550 nobody here"));
    world.store.clock().advance(Duration::from_secs(10));
    world.drain().await;
    let listed = &world.messages().await[0];
    assert_eq!(listed.state, MessageState::Failed);
    assert!(listed.reason.as_ref().unwrap().contains("nobody here"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_signed_recorded_and_its_endpoint_verifies_it() {
    let server = WebServer::start().await;
    let world = World::new().await;
    let (endpoint, secret) = world.endpoint(&server.url("/ok")).await;
    world.emit("lead.captured", json!({"lead": "lead_1"}), "evt_1").await.unwrap();
    world.drain().await;
    let hits = server.hits("/ok");
    assert_eq!(hits.len(), 1);
    assert_eq!(hits[0].body, r#"{"data":{"lead":"lead_1"},"timestamp":"2026-01-31T09:30:00Z","type":"lead.captured"}"#);
    let at = Timestamp::from_seconds(hits[0].header("webhook-timestamp").parse().unwrap());
    assert_eq!(at, world.store.clock().now());
    assert_eq!(hits[0].header("webhook-id"), "evt_1");
    assert_eq!(hits[0].header("webhook-signature"), sign(&[secret], "evt_1", at, hits[0].body.as_bytes()));
    let attempts = world.attempts(endpoint).await;
    assert_eq!((attempts.len(), attempts[0].outcome, attempts[0].status), (1, AttemptOutcome::Delivered, Some(200)));
    assert_eq!(attempts[0].answer, "thanks");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_webhook_is_repeated_under_its_id_on_schedule_and_given_up_in_the_end() {
    let server = WebServer::start().await;
    let world = World::new().await;
    let (endpoint, _) = world.endpoint(&server.url("/redirect")).await;
    world.emit("lead.captured", json!({}), "evt_1").await.unwrap();
    let mut seen = 0;
    for _ in 0..200 {
        world.drain().await;
        seen = server.hits("/redirect").len();
        if world.attempts(endpoint).await.first().is_some_and(|a| a.outcome == AttemptOutcome::GivenUp) {
            break;
        }
        world.store.clock().advance(Duration::from_secs(3600));
    }
    assert_eq!(seen, 12);
    assert!(server.hits("/redirect").iter().all(|hit| hit.header("webhook-id") == "evt_1"));
    let attempts = world.attempts(endpoint).await;
    assert_eq!(attempts.iter().filter(|a| a.outcome == AttemptOutcome::Retried).count(), 11);
    let found = notifications::endpoint(&mut world.store.read(), world.workspace, endpoint).await.unwrap();
    assert!(matches!(found.state, EndpointState::Enabled { failing_since: Some(_) }));

    // Replayed once the endpoint is well again, which ends its failing.
    let change = notifications::EndpointChange { url: Some(server.url("/ok")), ..Default::default() };
    let unit = world.store.write(&world.owner, (endpoint, change), |tx, (id, change)| {
        Box::pin(async move {
            notifications::update_endpoint(tx, &super::world::local(), id, change).await?;
            notifications::replay(tx, id, "evt_1").await
        })
    });
    unit.await.unwrap();
    world.drain().await;
    assert_eq!(server.hits("/ok").len(), 1);
    assert_eq!(server.hits("/ok")[0].header("webhook-id"), "evt_1");
    let found = notifications::endpoint(&mut world.store.read(), world.workspace, endpoint).await.unwrap();
    assert_eq!(found.state, EndpointState::Enabled { failing_since: None });
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_is_honoured() {
    let server = WebServer::start().await;
    let world = World::new().await;
    world.endpoint(&server.url("/busy")).await;
    world.emit("lead.captured", json!({}), "evt_1").await.unwrap();
    world.drain().await;
    world.store.clock().advance(Duration::from_secs(3_500));
    world.drain().await;
    assert_eq!(server.hits("/busy").len(), 1);
    world.store.clock().advance(Duration::from_secs(101));
    world.drain().await;
    assert_eq!(server.hits("/busy").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_gone_or_fails_for_five_days_is_disabled_and_that_is_a_fact() {
    let server = WebServer::start().await;
    let world = World::new().await;
    let state = async |id| notifications::endpoint(&mut world.store.read(), world.workspace, id).await.unwrap().state;
    let (gone, _) = world.endpoint_for(&server.url("/gone"), &["a"]).await.unwrap();
    world.emit("a", json!({}), "evt_1").await.unwrap();
    world.drain().await;
    assert_eq!(state(gone).await, EndpointState::Disabled { reason: "gone".into() });
    let (failing, _) = world.endpoint_for(&server.url("/broken"), &["b"]).await.unwrap();
    for day in 0..6 {
        world.emit("b", json!({}), &format!("evt_b{day}")).await.unwrap();
        world.drain().await;
        world.store.clock().advance(Duration::from_secs(24 * 3600));
    }
    world.drain().await;
    assert_eq!(state(failing).await, EndpointState::Disabled { reason: "failing".into() });
    let facts =
        outbox::facts_after(&mut world.store.read(), world.workspace, outbox::Position::default(), "notifications.", 50).await.unwrap();
    let told: Vec<_> = facts.iter().filter_map(|f| f.decode::<EndpointDisabled>()).map(|f| (f.endpoint, f.reason)).collect();
    assert_eq!(told, [(gone, "gone".to_owned()), (failing, "failing".to_owned())]);
    let before = server.hits("/broken").len();
    world.store.clock().advance(Duration::from_secs(24 * 3600));
    world.drain().await;
    assert_eq!(server.hits("/broken").len(), before, "what was on its way ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_rotation_both_secrets_sign_until_the_old_one_ends() {
    let server = WebServer::start().await;
    let world = World::new().await;
    let (endpoint, old) = world.endpoint(&server.url("/ok")).await;
    let new = notifications::Secret::generate(world.store.entropy());
    let sealed = world.store.vault().seal(new.as_bytes(), &endpoint.to_string());
    let unit = world.store.write(&world.owner, (endpoint, sealed), |tx, (id, sealed)| {
        Box::pin(notifications::rotate_secret(tx, id, sealed, Duration::from_secs(3600)))
    });
    unit.await.unwrap();
    for event in ["evt_1", "evt_2"] {
        world.emit("a", json!({}), event).await.unwrap();
        world.drain().await;
        world.store.clock().advance(Duration::from_secs(3600));
    }
    let hits = server.hits("/ok");
    let expected = |hit: &super::web_server::Hit, secrets: &[notifications::Secret]| {
        let at = Timestamp::from_seconds(hit.header("webhook-timestamp").parse().unwrap());
        sign(secrets, hit.header("webhook-id"), at, hit.body.as_bytes())
    };
    assert_eq!(hits[0].header("webhook-signature"), expected(&hits[0], &[new.clone(), old]));
    assert_eq!(hits[1].header("webhook-signature"), expected(&hits[1], &[new]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_event_goes_to_one_endpoint_whatever_it_listens_to() {
    let server = WebServer::start().await;
    let world = World::new().await;
    let (endpoint, _) = world.endpoint_for(&server.url("/ok/1"), &["lead.*"]).await.unwrap();
    world.endpoint(&server.url("/ok/2")).await;
    let unit = world.store.write(&world.owner, endpoint, |tx, id| Box::pin(notifications::send_test_event(tx, id)));
    let event = unit.await.unwrap();
    world.drain().await;
    assert_eq!(server.hits("/ok/1")[0].header("webhook-id"), event);
    assert!(server.hits("/ok/2").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_hung_endpoint_and_a_hung_mail_server_leave_twenty_others_as_they_were() {
    let mails = SmtpServer::start().await;
    mails.fault("greeting", Fault::Hang);
    let web = WebServer::start().await;
    let world = World::by_itself(Some(mail_to(&mails))).await;
    let (hung, _) = world.endpoint_for(&web.url("/hang"), &["a"]).await.unwrap();
    for number in 0..20 {
        world.endpoint_for(&web.url(&format!("/ok/{number}")), &["b"]).await.unwrap();
    }
    for number in 0..40 {
        world.emit("a", json!({}), &format!("evt_a{number}")).await.unwrap();
        world.send(lead_mail("Grace")).await.unwrap();
    }
    let began = Instant::now();
    for number in 0..5 {
        world.emit("b", json!({}), &format!("evt_b{number}")).await.unwrap();
    }
    until("all hundred deliveries", async || (0..20).all(|n| web.hits(&format!("/ok/{n}")).len() == 5)).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    // Counted as arrivals: each delivery to the hung endpoint holds its slot for the timeout of half a second.
    let arrivals = web.hits("/hang").len();
    let windows = began.elapsed().as_millis() / 500 + 2;
    assert!(arrivals as u128 <= 4 * windows, "{arrivals} in {:?}", began.elapsed());
    assert!(world.attempts(hung).await.iter().all(|a| a.outcome == AttemptOutcome::Retried));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_link_does_not_wait_behind_bulk() {
    let mails = SmtpServer::start().await;
    let world = World::by_itself(Some(mail_to(&mails))).await;
    let link = notifications::Message::email(
        notifications::TemplateKey::SignInLink,
        super::world::ada(),
        json!({"link": "https://tessera.example/s/1"}),
    );
    // In one unit, the link last, so that all wait at the same moment.
    let unit = world.store.write(&world.system, (world.workspace, link.urgent()), |tx, (workspace, link)| {
        Box::pin(async move {
            for _ in 0..300 {
                notifications::send(tx, workspace, lead_mail("Grace")).await?;
            }
            notifications::send(tx, workspace, link).await
        })
    });
    unit.await.unwrap();
    until("the link", async || mails.received().iter().any(|mail| mail.data.contains("Your sign-in link"))).await;
    let before = mails.received().iter().position(|mail| mail.data.contains("Your sign-in link")).unwrap();
    assert!(before < 100, "{before} mails came first");
    until("the rest", async || mails.received().len() == 301).await;
}
