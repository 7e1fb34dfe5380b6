//! What stands between the money and those who would like to have it: addresses inside, one person with two hats, forged webhooks.

use serde_json::{Value, json};

use crate::client::{Client, PUBLIC_URL};
use crate::world::World;

fn stripe(base_url: &str) -> Value {
    let secrets = json!({ "api_key": "sk_test", "webhook_secret": "whsec_test" });
    json!({ "name": "stripe", "dialect": "stripe", "base_url": base_url, "settings": {}, "secrets": secrets })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_is_not_sent_to_an_address_inside() {
    let world = World::new().await;
    let (_, mut ada) = world.founded("Analytical Engines", "ada@engines.example", "Ada Lovelace").await;
    for inside in ["https://10.0.0.1", "https://169.254.169.254/latest", "https://[::1]", "https://0x0a000001", "http://8.8.8.8"] {
        let refused = ada.post("/v1/payment-providers", stripe(inside)).await.expect(422);
        assert_eq!(refused.at("/errors/0/field"), "base_url", "{inside}: {}", refused.text());
        assert!(refused.text().contains("--provider-allow"), "{}", refused.text());
    }
    let mut ramp = stripe("https://app.rampnetwork.com");
    (ramp["dialect"], ramp["settings"]) = (json!("ramp_network"), json!({ "api_url": "https://192.168.1.1" }));
    assert_eq!(ada.post("/v1/payment-providers", ramp).await.expect(422).at("/errors/0/field"), "settings.api_url");
    let added = ada.post("/v1/payment-providers", stripe("https://api.stripe.com")).await.expect(201);
    let path = format!("/v1/payment-providers/{}", added.at("/id"));
    let moved = json!({ "version": 1, "base_url": "https://10.0.0.1", "secrets": { "api_key": "sk_test" } });
    assert_eq!(ada.patch(&path, moved).await.expect(422).at("/errors/0/field"), "base_url");
    let settings = json!({ "version": 1, "settings": { "api_url": "https://127.0.0.2" } });
    assert_eq!(ada.patch(&path, settings).await.expect(422).at("/errors/0/field"), "settings.api_url");
}

async fn key_of(client: &mut Client) -> Client {
    let scopes = ["payments:pay_out", "payments:approve", "payments:read"];
    let made = client.post("/v1/keys", json!({ "name": "payroll", "scopes": scopes })).await.expect(201);
    client.with_key(&made.at("/key"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_and_their_keys_are_one_person_where_two_are_wanted() {
    let world = World::new().await;
    let (_, mut ada) = world.founded("Analytical Engines", "ada@engines.example", "Ada Lovelace").await;
    let mut grace = world.join(&mut ada, "grace@engines.example", "admin").await;
    let mut edsger = world.join(&mut ada, "edsger@engines.example", "admin").await;
    ada.post("/v1/payment-providers", stripe("https://api.stripe.com")).await.expect(201);
    let account = json!({ "account_name": "Jide Balogun", "account_number": "ba_0123456789" });
    let jide = edsger.post("/v1/beneficiaries", account).await.expect(201).at("/id");
    let wanted = json!({ "beneficiary": jide, "amount_minor": 125_000, "currency": "EUR" });
    let mut key = key_of(&mut ada).await;
    let by_key = key.post("/v1/payouts", wanted.clone()).await.expect(201).at("/id");
    let by_ada = ada.post("/v1/payouts", wanted).await.expect(201).at("/id");
    let mut other_key = key_of(&mut ada).await;
    for payout in [&by_key, &by_ada] {
        let approve = format!("/v1/payouts/{payout}/approve");
        assert_eq!(ada.post(&approve, json!({})).await.expect(409).problem(), "own_request");
        assert_eq!(other_key.post(&approve, json!({})).await.expect(403).problem(), "not_a_person");
        assert_eq!(grace.post(&approve, json!({})).await.expect(200).at("/state"), "risk_review");
        // Who the key belongs to is known also when the key is gone.
        if *payout == by_key {
            let keys = ada.get("/v1/keys").await.expect(200).json();
            for known in keys["items"].as_array().unwrap() {
                ada.delete(&format!("/v1/keys/{}", known["id"].as_str().unwrap())).await.expect(204);
            }
            assert_eq!(ada.post(&approve, json!({})).await.expect(409).problem(), "own_request");
            other_key = key_of(&mut ada).await;
        }
        assert_eq!(edsger.post(&approve, json!({})).await.expect(200).at("/state"), "approved");
        ada.post(&format!("/v1/payouts/{payout}/cancel"), json!({})).await.expect(200);
    }
    world.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_webhook_leaves_nothing_behind_and_a_large_one_is_not_read() {
    let world = World::new().await;
    let (_, mut ada) = world.founded("Analytical Engines", "ada@engines.example", "Ada Lovelace").await;
    let added = ada.post("/v1/payment-providers", stripe("https://api.stripe.com")).await.expect(201);
    let path = added.at("/webhook_url").strip_prefix(PUBLIC_URL).unwrap().to_owned();
    world.drain().await;
    let rows = async || store::Reads::row(&mut world.store().read(), &COUNTS, store::params![], |row| row.get::<i64>(0)).await.unwrap();
    let before = rows().await;
    let mut stranger = world.stranger();
    for number in 0..50 {
        let forged = stranger
            .request("POST", &path)
            .header("content-type", "application/json")
            .header("stripe-signature", format!("t={number},v1={}", "ab".repeat(32)))
            .body(json!({ "id": format!("evt_{number}"), "type": "payment_intent.succeeded" }).to_string().into())
            .unwrap();
        stranger.send(forged).await.expect(401);
    }
    let nobody = format!("/v1/payments/webhooks/{}", kernel::RawId::from_bits(7).bits());
    stranger.post(&nobody, json!({})).await.expect(404);
    assert_eq!(rows().await, before, "no row, no job, no record of a change");
    assert!(ada.get("/v1/payment-webhooks").await.expect(200).json()["items"].as_array().unwrap().is_empty());
    // The length that is announced is enough: nothing of the body is sent here, and nobody waits for it.
    let large = stranger.request("POST", &path).header("content-length", "10000000").body(axum::body::Body::from_stream(Never)).unwrap();
    stranger.send(large).await.expect(413);
}

store::statements! {
    COUNTS = "select (select count(*) from payments_webhooks) + (select count(*) from outbox_log) + (select count(*) from outbox_waiting)
        + (select count(*) from audit_log)";
}

/// A body that never comes.
struct Never;

impl futures_util::Stream for Never {
    type Item = Result<bytes::Bytes, std::io::Error>;

    fn poll_next(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<Option<Self::Item>> {
        std::task::Poll::Pending
    }
}
