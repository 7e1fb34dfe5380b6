//! Ramp Network over HTTP: the widget, polling, and webhooks signed over another form than the one that is sent.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use k256::ecdsa::signature::Verifier as _;
use k256::ecdsa::{Signature, VerifyingKey};
use k256::pkcs8::DecodePublicKey as _;
use serde_json::{Value, json};
use sim::bank::MovementKind;
use sim::client::Answer;
use sim::faults::{Fault, Rule};
use sim::providers::ramp_network::PUBLIC_KEY;
use sim::{Dialect, RAMP_NETWORK_KEY};

use crate::world::{Arrived, World};

fn widget(fields: &[(&str, &str)]) -> String {
    let known = [
        ("hostApiKey", RAMP_NETWORK_KEY),
        ("swapAsset", "ETH_ETH"),
        ("fiatValue", "100.50"),
        ("fiatCurrency", "EUR"),
        ("userAddress", "0x00000000000000000000000000000000000000aa"),
        ("finalUrl", "https://shop.example/back"),
    ];
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(known.iter().filter(|(name, _)| fields.iter().all(|(other, _)| name != other)));
    query.extend_pairs(fields.iter().filter(|(_, value)| !value.is_empty()));
    format!("/?{}", query.finish())
}

async fn open(world: &World, fields: &[(&str, &str)]) -> Answer {
    world.send(Dialect::RampNetwork, Method::GET, &widget(fields), &[], "").await
}

async fn poll(world: &World, what: &str, id: &str, secret: &str) -> Answer {
    world.send(Dialect::RampNetwork, Method::GET, &format!("/api/host-api/{what}/{id}?secret={secret}"), &[], "").await
}

fn signature(webhook: &Arrived) -> Signature {
    Signature::from_der(&STANDARD.decode(webhook.header("x-body-signature")).unwrap()).unwrap()
}

/// Over the text that the signature covers; what is here has no number that JavaScript prints in another way than `serde_json`.
fn is_genuine(webhook: &Arrived) -> bool {
    let key = VerifyingKey::from_public_key_pem(PUBLIC_KEY).unwrap();
    // Maps of this crate's JSON are sorted, and nothing is written between.
    key.verify(webhook.json().to_string().as_bytes(), &signature(webhook).normalize_s()).is_ok()
}

#[tokio::test]
async fn the_widget_opens_a_page_and_tells_a_token_to_poll_with() {
    let world = World::new().await;
    let answer = open(&world, &[("reference", "rn-1")]).await;
    assert_eq!(answer.status, 303);
    assert_eq!(answer.header("location").unwrap(), world.sim.page("rn-1").unwrap().url(world.sim.url()));
    let created = world.receiver.next().await;
    assert_eq!(created.json()["type"], "CREATED");
    let purchase = created.json()["purchase"].clone();
    let (id, token) = (purchase["id"].as_str().unwrap(), purchase["purchaseViewToken"].as_str().unwrap());
    assert_eq!((&purchase["reference"], &purchase["fiatCurrency"], &purchase["fiatValue"]), (&json!("rn-1"), &json!("EUR"), &json!(100.5)));
    // 2.50 of 100.50 is the fee; 98.00 at 2,000 an ether is 0.049.
    assert_eq!(purchase["cryptoAmount"], "49000000000000000");
    assert_eq!(poll(&world, "purchase", id, token).await.json()["status"], "INITIALIZED");
    for (id, token, status) in [(id, "wrong", 404), ("none", token, 404), (id, "", 404)] {
        assert_eq!(poll(&world, "purchase", id, token).await.status, status);
    }
    let path = format!("/api/host-api/purchase/{id}");
    assert_eq!(world.send(Dialect::RampNetwork, Method::GET, &path, &[], "").await.status, 400);

    assert_eq!(world.sim.pay("rn-1").unwrap().redirect.as_deref(), Some("https://shop.example/back"));
    assert_eq!(world.receiver.next().await.json()["type"], "RELEASED");
    let view = poll(&world, "purchase", id, token).await.json();
    assert_eq!((&view["status"], view["finalTxHash"].as_str().map(str::len)), (&json!("RELEASED"), Some(66)));
    let moved: Vec<_> =
        world.sim.movements().into_iter().map(|moved| (moved.kind, moved.reference, moved.amount_minor, moved.currency)).collect();
    assert_eq!(moved, [(MovementKind::Charged, "rn-1".to_owned(), 10_050, "EUR".to_owned())]);
}

#[tokio::test]
async fn a_widget_opened_twice_can_be_paid_twice() {
    let world = World::new().await;
    for _ in 0..2 {
        open(&world, &[("reference", "twice")]).await;
    }
    world.sim.pay("twice").unwrap();
    world.sim.pay("twice").unwrap();
    assert!(world.sim.pay("twice").is_err());
    assert_eq!(world.sim.movements().len(), 2);
}

#[tokio::test]
async fn a_widget_that_lacks_something_is_refused_with_its_name() {
    let world = World::new().await;
    for (field, value, status) in [
        ("hostApiKey", "", 400),
        ("hostApiKey", "wrong", 403),
        ("swapAsset", "", 400),
        ("swapAsset", "DOGE_NONE", 400),
        ("fiatValue", "0", 400),
        ("fiatValue", "ten", 400),
        ("fiatValue", "90000000000000000", 400),
        ("fiatCurrency", "euro", 400),
        ("userAddress", "", 400),
    ] {
        let answer = open(&world, &[("reference", "bad"), (field, value)]).await;
        assert_eq!(answer.status, status, "{field}={value}");
        let error = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(error.contains(field) || error.contains("DOGE_NONE"), "{error}");
    }
    assert!(world.sim.page("bad").is_none());
}

#[tokio::test]
async fn a_webhook_goes_to_the_widgets_address_and_its_reference_may_stand_there() {
    let world = World::new().await;
    let url = format!("{}/hooks/rn?reference=in-the-address", world.receiver.url);
    open(&world, &[("webhookStatusUrl", &url)]).await;
    let created = world.receiver.next().await;
    assert_eq!((created.path.as_str(), &created.json()["purchase"]["reference"]), ("/hooks/rn", &json!("in-the-address")));
    assert!(world.sim.page("in-the-address").is_some());
}

#[tokio::test]
async fn the_signature_covers_the_sorted_form_whatever_was_sent_and_a_forged_one_does_not() {
    let world = World::new().await;
    open(&world, &[("reference", "signed")]).await;
    let genuine = world.receiver.next().await;
    let sorted = genuine.json().to_string();
    assert_ne!(genuine.body, sorted.as_bytes());
    assert!(is_genuine(&genuine));
    let mut changed = genuine.clone();
    changed.body = sorted.replace("100.5", "900.5").into();
    assert!(!is_genuine(&changed));
    world.sim.add_fault(Rule::always(Dialect::RampNetwork, "pay", Fault::ForgedWebhook)).unwrap();
    world.sim.pay("signed").unwrap();
    assert!(!is_genuine(&world.receiver.next().await));
}

#[tokio::test]
async fn a_signature_may_have_the_high_value_that_wallets_refuse() {
    let world = World::new().await;
    open(&world, &[("reference", "high")]).await;
    let created = world.receiver.next().await;
    world.sim.pay("high").unwrap();
    for (webhook, word, is_high) in [(created, "CREATED", false), (world.receiver.next().await, "RELEASED", true)] {
        assert_eq!(webhook.json()["type"], word);
        assert!(is_genuine(&webhook));
        assert_eq!(signature(&webhook).normalize_s() != signature(&webhook), is_high);
    }
}

#[tokio::test]
async fn a_lost_webhook_comes_four_times_more_and_then_never() {
    let world = World::new().await;
    world.receiver.answer_with(&[500, 500, 503, 404, 500, 500]);
    open(&world, &[("reference", "lost")]).await;
    let attempts = world.receiver.take(5).await;
    assert!(attempts.iter().all(|attempt| attempt.body == attempts[0].body && is_genuine(attempt)));
    // The next thing that comes is another webhook, answered with the sixth status; it is not the first one again.
    world.sim.pay("lost").unwrap();
    assert_eq!(world.receiver.next().await.json()["type"], "RELEASED");
    let lost = world.sim.deliveries().into_iter().filter(|delivery| delivery.event == "CREATED");
    assert_eq!(lost.map(|delivery| delivery.attempt).max(), Some(5));
}

#[tokio::test]
async fn a_decline_takes_nothing_and_a_return_gives_back() {
    let world = World::new().await;
    for word in ["PAYMENT_FAILED", "CANCELLED", "EXPIRED", "REVIEW_REJECTED"] {
        open(&world, &[("reference", word)]).await;
        let purchase = world.receiver.next().await.json()["purchase"].clone();
        world.sim.decline(word, word).unwrap();
        let view = poll(&world, "purchase", purchase["id"].as_str().unwrap(), purchase["purchaseViewToken"].as_str().unwrap()).await.json();
        assert_eq!(view["status"], word);
    }
    assert!(world.sim.movements().is_empty());
    open(&world, &[("reference", "back")]).await;
    assert_eq!(world.receiver.next().await.json()["type"], "CREATED");
    world.sim.decline("back", "RETURNED").unwrap();
    assert_eq!(world.receiver.next().await.json()["type"], "RETURNED");
    let moved: Vec<_> = world.sim.movements().into_iter().map(|moved| (moved.kind, moved.amount_minor)).collect();
    assert_eq!(moved, [(MovementKind::Charged, 10_050), (MovementKind::Refunded, 10_050)]);
}

#[tokio::test]
async fn a_fault_takes_another_amount_and_the_purchase_says_so() {
    let world = World::new().await;
    world.sim.add_fault(Rule::always(Dialect::RampNetwork, "pay", Fault::WrongAmount)).unwrap();
    open(&world, &[("reference", "less"), ("swapAsset", "MATIC_USDC")]).await;
    world.receiver.next().await;
    world.sim.pay("less").unwrap();
    let released = world.receiver.next().await;
    assert!(is_genuine(&released));
    assert_eq!(released.json()["purchase"]["fiatValue"], json!(100.49));
    assert_eq!(released.json()["purchase"]["cryptoAmount"], "97990000");
    assert_eq!(world.sim.movements()[0].amount_minor, 10_049);
}

#[tokio::test]
async fn a_sale_pays_out_or_expires_and_is_told_in_its_own_shape() {
    let world = World::new().await;
    let url = format!("{}/hooks/sale", world.receiver.url);
    for reference in ["sell-1", "sell-2"] {
        let fields =
            [("defaultFlow", "OFFRAMP"), ("offrampAsset", "USDC"), ("offrampWebhookV3Url", url.as_str()), ("reference", reference)];
        assert_eq!(open(&world, &fields).await.status, 303);
        let created = world.receiver.next().await;
        assert!(is_genuine(&created));
        let event = created.json();
        assert_eq!(
            (&event["type"], &event["mode"], &event["payload"]["reference"]),
            (&json!("CREATED"), &json!("OFFRAMP"), &json!(reference))
        );
        assert!(event["payload"]["crypto"]["amount"].as_str().unwrap().bytes().all(|byte| byte.is_ascii_digit()));
        assert_eq!(
            event["payload"]["fiat"],
            json!({"amount": "98.00", "currencySymbol": "EUR", "status": "not-started", "payoutMethod": "SEPA"})
        );
    }
    world.sim.pay("sell-1").unwrap();
    let event: Value = world.receiver.next().await.json();
    assert_eq!(event["type"], "RELEASED");
    let (id, token) = (event["payload"]["id"].as_str().unwrap(), event["payload"]["saleViewToken"].as_str().unwrap());
    assert_eq!(poll(&world, "offramp/sale", id, token).await.json()["fiat"]["status"], "completed");
    world.sim.abandon("sell-2").unwrap();
    assert_eq!(world.receiver.next().await.json()["type"], "EXPIRED");
    let moved: Vec<_> = world.sim.movements().into_iter().map(|moved| (moved.kind, moved.amount_minor)).collect();
    assert_eq!(moved, [(MovementKind::PaidOut, 9_800)]);
}
