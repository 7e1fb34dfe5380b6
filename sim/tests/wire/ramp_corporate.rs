//! Ramp (corporate) over HTTP: the token, transfers under a key, the report, signed webhooks.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::Method;
use serde_json::{Value, json};
use sha2::Sha256;
use sim::bank::MovementKind;
use sim::client::Answer;
use sim::faults::{Fault, Rule};
use sim::providers::Plant;
use sim::{Dialect, RAMP_CLIENT, RAMP_SECRET, RAMP_WEBHOOK_SECRET};

use crate::world::World;

const TRANSFERS: &str = "/developer/v1/transfers";

async fn token(world: &World, client: &str, secret: &str, form: &str) -> Answer {
    let basic = format!("Basic {}", STANDARD.encode(format!("{client}:{secret}")));
    let headers = [("authorization", basic.as_str()), ("content-type", "application/x-www-form-urlencoded")];
    world.send(Dialect::Ramp, Method::POST, "/developer/v1/token", &headers, form.to_owned()).await
}

struct Business {
    world: World,
    bearer: String,
}

impl Business {
    async fn new() -> Self {
        let world = World::new().await;
        let answer = token(&world, RAMP_CLIENT, RAMP_SECRET, "grant_type=client_credentials&scope=transfers:write").await;
        let bearer = format!("Bearer {}", answer.json()["access_token"].as_str().unwrap());
        Self { world, bearer }
    }

    async fn get(&self, path: &str) -> Answer {
        self.world.send(Dialect::Ramp, Method::GET, path, &[("authorization", &self.bearer)], "").await
    }

    async fn transfer(&self, key: &str, body: &Value, fault: &str) -> Answer {
        let headers = [("authorization", self.bearer.as_str()), ("idempotency-key", key), ("x-sim-fault", fault)];
        self.world.send(Dialect::Ramp, Method::POST, TRANSFERS, &headers, body.to_string()).await
    }

    async fn status(&self, id: &Value) -> String {
        self.get(&format!("{TRANSFERS}/{}", id.as_str().unwrap())).await.json()["status"].as_str().unwrap().to_owned()
    }

    fn moved(&self, reference: &str) -> Vec<(MovementKind, i64)> {
        let all = self.world.sim.movements().into_iter().filter(|movement| movement.reference == reference);
        all.map(|movement| (movement.kind, movement.amount_minor)).collect()
    }
}

fn wage(reference: &str, amount: i64) -> Value {
    json!({"amount": {"amount": amount, "currency_code": "USD"}, "reference": reference, "memo": "Wages",
        "recipient": {"bank_code": "021000021", "account_number": "12345678", "account_name": "Ada Obi"}})
}

#[tokio::test]
async fn a_token_needs_the_secret_and_ends_with_its_time() {
    let business = Business::new().await;
    let form = "grant_type=client_credentials&scope=transfers:write";
    assert_eq!(token(&business.world, RAMP_CLIENT, "wrong", form).await.status, 401);
    assert_eq!(token(&business.world, RAMP_CLIENT, RAMP_SECRET, "grant_type=password&scope=x").await.status, 400);
    assert_eq!(token(&business.world, RAMP_CLIENT, RAMP_SECRET, "grant_type=client_credentials").await.status, 400);
    assert_eq!(business.get(TRANSFERS).await.status, 200);
    business.world.sim.advance(Duration::from_secs(864_000));
    let late = business.get(TRANSFERS).await;
    assert_eq!((late.status, late.json()["error_v2"]["error_code"].is_string()), (401, true));
}

#[tokio::test]
async fn the_same_key_pays_once_and_with_another_body_never() {
    let business = Business::new().await;
    let first = business.transfer("key-1", &wage("w-1", 1_000), "").await;
    assert_eq!((first.status, &first.json()["status"]), (201, &json!("INITIATED")));
    let again = business.transfer("key-1", &wage("w-1", 1_000), "").await;
    assert_eq!((again.status, again.body), (201, first.body.clone()));
    assert_eq!(business.transfer("key-1", &wage("w-1", 1_001), "").await.status, 422);
    assert_eq!(business.moved("w-1"), [(MovementKind::PaidOut, 1_000)]);
    assert_eq!(business.world.sim.movements()[0].idempotency_key.as_deref(), Some("key-1"));
    assert_eq!(business.status(&first.json()["id"]).await, "COMPLETED");
    let found = business.get(&format!("{TRANSFERS}?reference=w-1")).await.json();
    assert_eq!((found["data"].as_array().unwrap().len(), &found["data"][0]["id"]), (1, &first.json()["id"]));
    // After a day the key is forgotten, as a provider's keys are.
    business.world.sim.advance(Duration::from_secs(86_400));
    business.transfer("key-1", &wage("w-1", 1_000), "").await;
    assert_eq!(business.moved("w-1").len(), 2);
}

#[tokio::test]
async fn an_answer_that_was_lost_is_given_again_under_its_key() {
    let business = Business::new().await;
    let headers = [("authorization", business.bearer.as_str()), ("idempotency-key", "lost"), ("x-sim-fault", "cut")];
    let lost = business
        .world
        .try_send(Dialect::Ramp, Method::POST, TRANSFERS, &headers, wage("w", 500).to_string(), Duration::from_secs(10))
        .await;
    assert!(lost.is_err());
    assert_eq!(business.transfer("lost", &wage("w", 500), "").await.status, 201);
    assert_eq!(business.moved("w"), [(MovementKind::PaidOut, 500)]);
}

#[tokio::test]
async fn a_bad_transfer_is_refused_and_the_field_is_named() {
    let business = Business::new().await;
    for (pointer, value, field) in [
        ("/amount/amount", json!(0), "amount.amount"),
        ("/amount/amount", json!(10.5), "amount.amount"),
        ("/amount/amount", json!("10"), "amount.amount"),
        ("/amount/currency_code", json!("dollar"), "amount.currency_code"),
        ("/recipient/account_number", json!(""), "recipient.account_number"),
        ("/amount/amount", json!(100_000_000_001_i64), "enough"),
    ] {
        let mut body = wage("bad", 1);
        *body.pointer_mut(pointer).unwrap() = value;
        let answer = business.transfer("bad", &body, "").await;
        assert_eq!(answer.status, 422);
        assert!(answer.json()["error_v2"]["message"].as_str().unwrap().contains(field), "{field}");
    }
    let headers = [("authorization", business.bearer.as_str())];
    let keyless = business.world.send(Dialect::Ramp, Method::POST, TRANSFERS, &headers, wage("bad", 1).to_string()).await;
    assert!(keyless.json()["error_v2"]["message"].as_str().unwrap().contains("Idempotency-Key"));
    assert!(business.moved("bad").is_empty());
    assert_eq!(business.get(&format!("{TRANSFERS}/none")).await.status, 404);
}

#[tokio::test]
async fn every_status_can_be_had_and_moves_what_it_says() {
    let business = Business::new().await;
    let paid = (MovementKind::PaidOut, 700);
    for (status, moved) in [
        ("ERROR", vec![]),
        ("CANCELED", vec![]),
        ("NOT_ENOUGH_FUNDS", vec![]),
        ("REJECTED_BY_ODFI", vec![]),
        ("RETURNED_BY_RDFI", vec![paid, (MovementKind::Returned, 700)]),
    ] {
        let answer = business.transfer(status, &wage(status, 700), &format!("decline:{status}")).await.json();
        assert_eq!(business.status(&answer["id"]).await, status);
        assert_eq!(business.moved(status), moved, "{status}");
    }
    let balance = business.get("/developer/v1/business/balance").await.json();
    assert_eq!(balance["available_balances"][0], json!({"amount": 100_000_000_000_i64, "currency_code": "USD"}));
    let waiting = business.transfer("slow", &wage("slow", 700), "decline:SUBMITTED_TO_RDFI").await.json();
    assert_eq!(business.status(&waiting["id"]).await, "SUBMITTED_TO_RDFI");
    assert!(business.moved("slow").is_empty());
    business.world.sim.advance(Duration::from_secs(60));
    assert_eq!(business.status(&waiting["id"]).await, "COMPLETED");
    assert_eq!(business.moved("slow"), [paid]);
}

#[tokio::test]
async fn a_webhook_is_signed_over_its_bytes_and_keeps_its_id_over_retries() {
    let business = Business::new().await;
    let mac = |body: &[u8]| -> String {
        let mac = Hmac::<Sha256>::new_from_slice(RAMP_WEBHOOK_SECRET.as_bytes()).unwrap().chain_update(body);
        mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    };
    business.world.receiver.answer_with(&[500, 500]);
    business.transfer("key", &wage("told", 900), "").await;
    let attempts = business.world.receiver.take(3).await;
    for attempt in &attempts {
        let body = attempt.json();
        assert_eq!(attempt.header("x-ramp-signature"), mac(&attempt.body));
        assert_eq!(attempt.header("x-ramp-webhook-id"), body["id"].as_str().unwrap());
        assert_eq!((&body["type"], &body["object"]["status"]), (&json!("payments.updated"), &json!("COMPLETED")));
    }
    assert_eq!(attempts.iter().map(|attempt| attempt.header("x-ramp-webhook-id")).collect::<BTreeSet<_>>().len(), 1);
    business.world.sim.add_fault(Rule::always(Dialect::Ramp, "payout", Fault::ForgedWebhook)).unwrap();
    business.transfer("other", &wage("forged", 900), "").await;
    let forged = business.world.receiver.next().await;
    assert_ne!(forged.header("x-ramp-signature"), mac(&forged.body));
}

#[tokio::test]
async fn a_statement_lists_what_cleared_with_exactly_the_planted_faults() {
    let business = Business::new().await;
    for number in 0..9_i64 {
        business.transfer(&format!("k-{number}"), &wage(&format!("t-{number}"), 100 + number), "").await;
    }
    let statements = business.world.sim.settle(Dialect::Ramp, Plant { missing_lines: 2, extra_lines: 1, wrong_amounts: 1 }).unwrap();
    let mut lines = Vec::new();
    let mut path = format!("/developer/v1/transactions?from_date=2020-01-01&page_size=3&statement_id={}", statements[0]);
    loop {
        let page = business.get(&path).await.json();
        lines.extend(page["data"].as_array().unwrap().clone());
        assert!(lines.len() < 100);
        let Some(next) = page["page"]["next"].as_str() else { break };
        path = next.strip_prefix(&business.world.sim.at(Dialect::Ramp)).unwrap().to_owned();
    }
    let told: Vec<_> =
        lines.iter().map(|line| (line["reference"].as_str().unwrap().to_owned(), line["amount"]["amount"].as_i64().unwrap())).collect();
    assert_eq!(told.len(), 8);
    let truth: Vec<_> = (0..9).map(|number| (format!("t-{number}"), 100 + number)).collect();
    assert_eq!(truth.iter().filter(|(reference, _)| told.iter().all(|(known, _)| known != reference)).count(), 2);
    assert_eq!(told.iter().filter(|(reference, _)| truth.iter().all(|(known, _)| known != reference)).count(), 1);
    assert_eq!(
        told.iter().filter(|(reference, amount)| truth.iter().any(|(known, gross)| known == reference && gross != amount)).count(),
        1
    );
    assert_eq!(business.get("/developer/v1/transactions?from_date=2999-01-01").await.json()["data"], json!([]));
    assert_eq!(business.get("/developer/v1/transactions?from_date=soon").await.status, 422);
    assert!(business.world.sim.settle(Dialect::Ramp, Plant::default()).is_err());
}
