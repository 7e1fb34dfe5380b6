//! Answers that cannot be read: whatever a provider, or what stands in front of it, sends, the outcome is unknown and nothing falls.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use http::StatusCode;
use payments::{CaptureMethod, Dialect, Done, Failure, Order, Question, Told};

use super::Promise;
use super::world::{World, secrets};

type Said = Arc<Mutex<(u16, Vec<u8>)>>;

/// Somebody who answers everything with the same.
async fn parrot(said: Said) -> String {
    async fn say(State(said): State<Said>) -> (StatusCode, Vec<u8>) {
        let (status, body) = said.lock().unwrap().clone();
        (StatusCode::from_u16(status).unwrap(), body)
    }
    let door = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = door.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(door, Router::new().fallback(say).with_state(said)).await.unwrap() });
    format!("http://{address}")
}

async fn silenced<'a>(promise: &'a Promise) -> (World<'a>, Said) {
    let mut world = World::new(promise).await;
    let said: Said = Arc::default();
    world.account.base_url = parrot(said.clone()).await;
    // Who needs a token has one: what is looked at is the answer itself.
    world.client.keep_token(&world.account, "token", Duration::from_secs(86_400));
    (world, said)
}

/// Every order that the dialect takes.
fn orders(world: &World<'_>) -> Vec<Order> {
    let (abilities, amount) = (world.promise.abilities, world.money(10_000));
    let mut orders = Vec::new();
    let name = || "cs_or_other:1".to_owned();
    if abilities.has_pages {
        orders.push(world.page(&world.attempt(), amount, CaptureMethod::Automatic));
    }
    if world.promise.is_completed_by_us {
        orders.push(Order::Complete { reference: world.attempt(), provider_ref: name(), capture_method: CaptureMethod::Automatic });
    }
    if abilities.closes_pages {
        orders.push(Order::ClosePage { provider_ref: name() });
    }
    if abilities.captures_later {
        for provider_ref in [name(), "pi_1".to_owned()] {
            orders.push(Order::Capture { reference: world.capture(), provider_ref: provider_ref.clone(), amount, is_last: true });
            orders.push(Order::Void { reference: world.attempt(), provider_ref });
        }
    }
    if abilities.refunds {
        orders.push(Order::Refund {
            reference: world.refund(),
            attempt: world.attempt(),
            provider_ref: name(),
            charge_ref: Some("pi_1".to_owned()),
            amount,
            reason: None,
        });
    }
    if let Some(payouts) = &world.promise.payouts {
        orders.push(Order::Payout { reference: world.payout(), amount, destination: (payouts.to)(), narration: "n".to_owned() });
        if payouts.password.is_some() {
            orders.push(Order::ConfirmPayout { reference: world.payout(), otp: "1".to_owned() });
        }
    }
    orders
}

/// Every question that the dialect answers.
fn questions(world: &World<'_>) -> Vec<Question> {
    let abilities = world.promise.abilities;
    let name = || Some("cs_or_other:1".to_owned());
    let mut questions = Vec::new();
    if abilities.has_pages {
        questions.push(Question::Payment { reference: world.attempt(), provider_ref: name() });
    }
    if abilities.captures_later {
        questions.push(Question::Capture { reference: world.capture(), provider_ref: "pi_1".to_owned() });
    }
    if abilities.refunds {
        questions.push(Question::Refund { reference: world.refund(), attempt: world.attempt(), provider_ref: name(), charge_ref: name() });
    }
    if abilities.pays_out {
        questions.push(Question::Payout { reference: world.payout(), provider_ref: name() });
    }
    if abilities.enquires_names {
        questions.push(Question::AccountName { bank_code: "058".to_owned(), account_number: "0123456789".to_owned() });
    }
    if abilities.tells_float {
        questions.push(Question::Float { currency: world.money(0).currency });
    }
    if abilities.reports {
        let now = world.clock.now();
        questions.push(Question::Settled { from: now.minus(Duration::from_secs(3_600)), until: now });
    }
    questions
}

fn answers() -> Vec<(u16, Vec<u8>)> {
    let mut large = b"{\"id\":\"".to_vec();
    large.resize(2 << 20, b'x');
    large.extend_from_slice(b"\"}");
    let html = b"<html><body>We will be back soon</body></html>".to_vec();
    let mut answers = vec![
        (200, b"{\"id\":\"cs_1\",\"ur".to_vec()),
        (200, b"not json".to_vec()),
        (200, html.clone()),
        (200, Vec::new()),
        (200, b"\xff\xfe\x00".to_vec()),
        (200, "[".repeat(10_000).into_bytes()),
        (201, b"{".to_vec()),
        (500, b"{}".to_vec()),
        (200, large),
    ];
    answers.extend([400, 404, 409, 500, 502, 503, 504, 301].map(|status| (status, html.clone())));
    answers
}

pub async fn an_answer_that_cannot_be_read_leaves_the_outcome_unknown(promise: &Promise) {
    let (world, said) = silenced(promise).await;
    for (status, body) in answers() {
        let begin = String::from_utf8_lossy(&body[..body.len().min(20)]).into_owned();
        *said.lock().unwrap() = (status, body);
        for order in orders(&world) {
            let ended = world.send(&order).await;
            let is_right = match &ended {
                // What came of a look before the order was sent left nothing done.
                Err(Failure::Unknown { .. } | Failure::NotSent { .. }) => true,
                // A page that is only an address is made without asking anybody.
                Ok(Done::Page { .. }) => promise.dialect == Dialect::RampNetwork && matches!(order, Order::OpenPage { .. }),
                _ => false,
            };
            assert!(is_right, "{status} {begin}: {order:?} ended with {ended:?}");
        }
        for question in questions(&world) {
            let told = world.ask(&question).await;
            let is_right = matches!(told, Err(Failure::Unknown { .. } | Failure::NotSent { .. }) | Ok(Told::NotFound));
            assert!(is_right, "{status} {begin}: {question:?} was answered with {told:?}");
            assert!(status != 200 || told != Ok(Told::NotFound), "{begin}: {question:?}");
        }
    }
}

pub async fn a_provider_that_never_answers_leaves_the_outcome_unknown(promise: &Promise) {
    let mut world = World::new(promise).await;
    let door = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    world.account.base_url = format!("http://{}", door.local_addr().unwrap());
    tokio::spawn(async move {
        let mut silent = Vec::new();
        while let Ok((connection, _)) = door.accept().await {
            silent.push(connection);
        }
    });
    world.client.keep_token(&world.account, "token", Duration::from_secs(86_400));
    world.client = world.client.clone().with_deadline(Duration::from_millis(50));
    for order in orders(&world) {
        let ended = world.send(&order).await;
        let is_address = matches!((&ended, &order), (Ok(Done::Page { .. }), Order::OpenPage { .. }));
        assert!(is_address || matches!(ended, Err(Failure::Unknown { .. } | Failure::NotSent { .. })), "{order:?}: {ended:?}");
    }
    for question in questions(&world) {
        let told = world.ask(&question).await;
        assert!(matches!(told, Err(Failure::Unknown { .. } | Failure::NotSent { .. }) | Ok(Told::NotFound)), "{question:?}: {told:?}");
    }
}

pub async fn a_wrong_or_missing_secret_is_our_own_set_up(promise: &Promise) {
    let mut world = World::new(promise).await;
    let names: Vec<String> = world.account.secrets.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
    let is_set_up = |ended: &Result<Done, Failure>| matches!(ended, Err(Failure::Refused { class: payments::ErrorClass::SetUp, .. }));
    for secrets in [serde_json::json!({}), names.iter().map(|name| (name.clone(), serde_json::Value::from("not-the-right-one"))).collect()]
    {
        world.account.secrets = secrets;
        for order in orders(&world) {
            let ended = world.send(&order).await;
            let is_address = matches!((&ended, &order), (Ok(Done::Page { .. }), Order::OpenPage { .. }));
            assert!(is_address || is_set_up(&ended), "{order:?}: {ended:?}");
        }
    }
    assert!(world.sim.movements().is_empty());
}

pub async fn nothing_secret_is_in_a_failure(promise: &Promise) {
    let (world, said) = silenced(promise).await;
    let secrets = secrets(&world.account.secrets);
    // A provider that repeats what it was sent.
    let echo = format!(
        "{{\"error\":{{\"message\":\"{0}\",\"type\":\"{0}\"}},\"message\":\"{0}\",\"responseMessage\":\"{0}\"}}",
        "long ".repeat(1_000)
    );
    for status in [200, 400, 401, 403, 404, 422, 429, 500] {
        *said.lock().unwrap() = (status, echo.clone().into_bytes());
        for order in orders(&world) {
            if let Err(failure) = world.send(&order).await {
                let told = format!("{failure} {failure:?}");
                assert!(told.len() < 1_500, "{} bytes", told.len());
                assert!(!secrets.iter().any(|secret| told.contains(secret)), "{told}");
            }
        }
    }
    let shown = format!("{:?}", world.account);
    assert!(!secrets.iter().any(|secret| shown.contains(secret)), "{shown}");
}
