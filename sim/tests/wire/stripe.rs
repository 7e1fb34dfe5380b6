//! Stripe over HTTP.

use std::time::Duration;

use http::Method;
use serde_json::Value;
use sim::bank::MovementKind;
use sim::client::Answer;
use sim::faults::Rule;
use sim::providers::Plant;
use sim::providers::stripe::signature;
use sim::{Dialect, STRIPE_KEY, STRIPE_WEBHOOK_SECRET};

use crate::world::World;

const BEARER: (&str, &str) = ("authorization", "Bearer sk_test_simulator");

fn encoded(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

async fn post(world: &World, path: &str, fields: &[(&str, &str)]) -> Answer {
    world.send(Dialect::Stripe, Method::POST, path, &[BEARER], encoded(fields)).await
}

async fn keyed(world: &World, key: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
    world.send(Dialect::Stripe, Method::POST, path, &[BEARER, ("idempotency-key", key)], encoded(fields)).await
}

async fn get(world: &World, path: &str) -> Value {
    let answer = world.send(Dialect::Stripe, Method::GET, path, &[BEARER], "").await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.json());
    answer.json()
}

const CARD: &[(&str, &str)] =
    &[("amount", "2000"), ("currency", "usd"), ("confirm", "true"), ("payment_method", "pm_card_visa"), ("metadata[reference]", "ref-1")];

fn held() -> Vec<(&'static str, &'static str)> {
    CARD.iter().copied().chain([("capture_method", "manual")]).collect()
}

const SESSION: &[(&str, &str)] = &[
    ("mode", "payment"),
    ("line_items[0][price_data][currency]", "usd"),
    ("line_items[0][price_data][unit_amount]", "1250"),
    ("line_items[0][price_data][product_data][name]", "Two tickets"),
    ("line_items[0][quantity]", "2"),
    ("client_reference_id", "ref-1"),
    ("payment_intent_data[metadata][reference]", "ref-1"),
    ("success_url", "https://shop.example/thanks?session={CHECKOUT_SESSION_ID}"),
    ("cancel_url", "https://shop.example/cart"),
];

async fn session(world: &World, more: &[(&str, &str)]) -> Value {
    let fields: Vec<_> = SESSION.iter().chain(more).copied().collect();
    let answer = post(world, "/v1/checkout/sessions", &fields).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    answer.json()
}

fn kinds(world: &World) -> Vec<(MovementKind, i64)> {
    world.sim.movements().iter().map(|movement| (movement.kind, movement.amount_minor)).collect()
}

#[tokio::test]
async fn a_key_that_is_not_the_simulators_is_refused_in_stripes_envelope() {
    let world = World::new().await;
    for headers in [&[][..], &[("authorization", "Bearer sk_live_other")][..]] {
        let answer = world.send(Dialect::Stripe, Method::GET, "/v1/balance", headers, "").await;
        assert_eq!(answer.status, 401);
        assert_eq!(answer.json()["error"]["type"], "invalid_request_error");
    }
    // The key as the user of Basic is Stripe's other way.
    let basic = format!("Basic {}", base64_of(&format!("{STRIPE_KEY}:")));
    let answer = world.send(Dialect::Stripe, Method::GET, "/v1/balance", &[("authorization", &basic)], "").await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("request-id").unwrap().starts_with("req_"));
}

fn base64_of(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[tokio::test]
async fn a_confirmed_intent_is_charged_once_and_tells_so_in_signed_events() {
    let world = World::new().await;
    let answer = keyed(&world, "key-1", "/v1/payment_intents", CARD).await;
    let intent = answer.json();
    assert_eq!((answer.status, &intent["status"]), (200, &"succeeded".into()), "{intent}");
    assert_eq!((&intent["amount_received"], &intent["currency"]), (&2000.into(), &"usd".into()));
    let movements = world.sim.movements();
    assert_eq!(movements.len(), 1);
    assert_eq!((movements[0].kind, movements[0].amount_minor, movements[0].currency.as_str()), (MovementKind::Charged, 2_000, "USD"));
    assert_eq!((movements[0].reference.as_str(), movements[0].idempotency_key.as_deref()), ("ref-1", Some("key-1")));
    assert_eq!(intent["latest_charge"], movements[0].provider_id);

    let mut events = Vec::new();
    for _ in 0..3 {
        let webhook = world.receiver.next().await;
        assert_eq!(webhook.path, "/v1/payments/webhooks/demo-stripe");
        let header = webhook.header("stripe-signature").to_owned();
        let at: i64 = header.strip_prefix("t=").unwrap().split(',').next().unwrap().parse().unwrap();
        assert_eq!(header, signature(STRIPE_WEBHOOK_SECRET, &webhook.body, at));
        events.push(webhook.json()["type"].as_str().unwrap().to_owned());
    }
    events.sort();
    assert_eq!(events, ["charge.succeeded", "payment_intent.created", "payment_intent.succeeded"]);
    assert_eq!(get(&world, &format!("/v1/payment_intents/{}", intent["id"].as_str().unwrap())).await, intent);
}

#[tokio::test]
async fn the_signature_is_the_one_of_stripes_own_libraries() {
    // Computed with `openssl dgst -sha256 -hmac whsec_test` over `1492774577.{"a":1}`.
    let header = signature("whsec_test", br#"{"a":1}"#, 1_492_774_577);
    assert_eq!(header, "t=1492774577,v1=2a55874e33dedb30da6fac02873208f53a243141599a71c0d52a1d5b89656823");
    assert_ne!(header, signature("whsec_test", br#"{"a":1}"#, 1_492_774_578));
    assert_ne!(header, signature("whsec_other", br#"{"a":1}"#, 1_492_774_577));
}

#[tokio::test]
async fn the_same_key_gives_the_same_answer_and_one_charge() {
    let world = World::new().await;
    let first = keyed(&world, "key-1", "/v1/payment_intents", CARD).await;
    let second = keyed(&world, "key-1", "/v1/payment_intents", CARD).await;
    assert_eq!(first.json(), second.json());
    assert_eq!((first.header("idempotent-replayed"), second.header("idempotent-replayed")), (None, Some("true")));
    assert_eq!(second.header("original-request"), first.header("request-id"));
    assert_eq!(kinds(&world), [(MovementKind::Charged, 2_000)]);
}

#[tokio::test]
async fn the_same_key_with_other_parameters_or_another_address_is_an_idempotency_error() {
    let world = World::new().await;
    keyed(&world, "key-1", "/v1/payment_intents", CARD).await;
    let other: Vec<_> = CARD.iter().copied().chain([("description", "x")]).collect();
    for (path, fields) in [("/v1/payment_intents", other.as_slice()), ("/v1/refunds", CARD)] {
        let answer = keyed(&world, "key-1", path, fields).await;
        assert_eq!((answer.status, &answer.json()["error"]["type"]), (400, &"idempotency_error".into()), "{path}");
    }
    assert_eq!(kinds(&world), [(MovementKind::Charged, 2_000)]);
}

#[tokio::test]
async fn a_key_is_forgotten_after_a_day_and_then_charges_again() {
    let world = World::new().await;
    keyed(&world, "key-1", "/v1/payment_intents", CARD).await;
    world.sim.advance(Duration::from_secs(24 * 60 * 60 - 60));
    keyed(&world, "key-1", "/v1/payment_intents", CARD).await;
    assert_eq!(kinds(&world).len(), 1);
    world.sim.advance(Duration::from_secs(120));
    keyed(&world, "key-1", "/v1/payment_intents", CARD).await;
    assert_eq!(kinds(&world).len(), 2);
}

#[tokio::test]
async fn a_decline_is_kept_under_its_key_and_a_mistake_in_the_parameters_is_not() {
    let world = World::new().await;
    let declined: Vec<_> = CARD
        .iter()
        .map(|(key, value)| (*key, if *key == "payment_method" { "pm_card_chargeDeclinedInsufficientFunds" } else { *value }))
        .collect();
    for _ in 0..2 {
        let answer = keyed(&world, "key-1", "/v1/payment_intents", &declined).await;
        let error = &answer.json()["error"];
        assert_eq!(
            (answer.status, &error["type"], &error["code"], &error["decline_code"]),
            (402, &"card_error".into(), &"card_declined".into(), &"insufficient_funds".into())
        );
        assert_eq!(error["payment_intent"]["status"], "requires_payment_method");
    }
    assert_eq!(get(&world, "/v1/payment_intents").await["data"].as_array().unwrap().len(), 1);
    let broken = keyed(&world, "key-2", "/v1/payment_intents", &[("amount", "x"), ("currency", "usd")]).await;
    assert_eq!((broken.status, &broken.json()["error"]["param"]), (400, &"amount".into()));
    assert_eq!(keyed(&world, "key-2", "/v1/payment_intents", CARD).await.status, 200);
    assert_eq!(kinds(&world), [(MovementKind::Charged, 2_000)]);
}

#[tokio::test]
async fn what_stripe_does_not_know_is_refused_by_name() {
    let world = World::new().await;
    let answer = post(&world, "/v1/payment_intents", &[("amount", "100"), ("currency", "usd"), ("colour", "red")]).await;
    let error = &answer.json()["error"];
    assert_eq!((answer.status, &error["code"], &error["param"]), (400, &"parameter_unknown".into(), &"colour".into()));
    assert_eq!(world.send(Dialect::Stripe, Method::GET, "/v1/payment_intents/pi_none", &[BEARER], "").await.status, 404);
    assert_eq!(post(&world, "/v1/unknown", &[]).await.status, 404);
}

#[tokio::test]
async fn a_hold_is_captured_in_part_and_the_rest_is_let_go() {
    let world = World::new().await;
    let intent = post(&world, "/v1/payment_intents", &held()).await.json();
    assert_eq!((&intent["status"], &intent["amount_capturable"]), (&"requires_capture".into(), &2000.into()));
    let path = format!("/v1/payment_intents/{}/capture", intent["id"].as_str().unwrap());
    let much = post(&world, &path, &[("amount_to_capture", "2001")]).await;
    assert_eq!((much.status, &much.json()["error"]["code"]), (400, &"amount_too_large".into()));
    let captured = post(&world, &path, &[("amount_to_capture", "1500")]).await.json();
    assert_eq!(
        (&captured["status"], &captured["amount_received"], &captured["amount_capturable"]),
        (&"succeeded".into(), &1500.into(), &0.into())
    );
    assert_eq!(kinds(&world), [(MovementKind::Authorized, 2_000), (MovementKind::Charged, 1_500), (MovementKind::Voided, 500)]);
    let again = post(&world, &path, &[]).await;
    assert_eq!((again.status, &again.json()["error"]["code"]), (400, &"payment_intent_unexpected_state".into()));
}

#[tokio::test]
async fn a_hold_that_stays_open_is_captured_in_several_parts() {
    let world = World::new().await;
    let intent = post(&world, "/v1/payment_intents", &held()).await.json();
    let path = format!("/v1/payment_intents/{}/capture", intent["id"].as_str().unwrap());
    let part = post(&world, &path, &[("amount_to_capture", "500"), ("final_capture", "false")]).await.json();
    assert_eq!((&part["status"], &part["amount_capturable"]), (&"requires_capture".into(), &1500.into()));
    let rest = post(&world, &path, &[]).await.json();
    assert_eq!((&rest["status"], &rest["amount_received"]), (&"succeeded".into(), &2000.into()));
}

#[tokio::test]
async fn a_canceled_hold_is_let_go_and_cannot_be_captured() {
    let world = World::new().await;
    let intent = post(&world, "/v1/payment_intents", &held()).await.json();
    let path = format!("/v1/payment_intents/{}", intent["id"].as_str().unwrap());
    let canceled = post(&world, &format!("{path}/cancel"), &[("cancellation_reason", "abandoned")]).await.json();
    assert_eq!((&canceled["status"], &canceled["cancellation_reason"]), (&"canceled".into(), &"abandoned".into()));
    assert_eq!(post(&world, &format!("{path}/capture"), &[]).await.status, 400);
    assert_eq!(post(&world, &format!("{path}/cancel"), &[]).await.status, 400);
    assert_eq!(kinds(&world), [(MovementKind::Authorized, 2_000), (MovementKind::Voided, 2_000)]);
}

#[tokio::test]
async fn an_intent_is_confirmed_later_or_by_the_payers_bank() {
    let world = World::new().await;
    let intent =
        post(&world, "/v1/payment_intents", &[("amount", "100"), ("currency", "eur"), ("metadata[reference]", "ref-3ds")]).await.json();
    assert_eq!(intent["status"], "requires_payment_method");
    let path = format!("/v1/payment_intents/{}/confirm", intent["id"].as_str().unwrap());
    assert_eq!(post(&world, &path, &[]).await.json()["error"]["param"], "payment_method");
    let asked = post(&world, &path, &[("payment_method", "pm_card_authenticationRequired"), ("return_url", "https://shop.example/back")])
        .await
        .json();
    assert_eq!(asked["status"], "requires_action");
    assert!(asked["next_action"]["redirect_to_url"]["url"].as_str().unwrap().starts_with(world.sim.url()));
    let decided = world.sim.pay("ref-3ds").unwrap();
    assert!(decided.redirect.unwrap().starts_with("https://shop.example/back?payment_intent=pi_"));
    assert_eq!(kinds(&world), [(MovementKind::Charged, 100)]);
}

#[tokio::test]
async fn amounts_are_in_stripes_units_and_movements_in_iso_units() {
    let world = World::new().await;
    let charge = async |amount: &str, currency: &str| {
        post(
            &world,
            "/v1/payment_intents",
            &[("amount", amount), ("currency", currency), ("confirm", "true"), ("payment_method", "pm_card_visa")],
        )
        .await
    };
    for (amount, currency) in [("500", "jpy"), ("5120", "kwd"), ("500", "isk"), ("500", "mga")] {
        assert_eq!(charge(amount, currency).await.status, 200, "{currency}");
    }
    let moved: Vec<_> = world.sim.movements().into_iter().map(|movement| (movement.amount_minor, movement.currency)).collect();
    assert_eq!(moved, [(500, "JPY".to_owned()), (5_120, "KWD".to_owned()), (5, "ISK".to_owned()), (50_000, "MGA".to_owned())]);
    // Three places, of which cards take two; a whole currency written with two; and eight digits at most.
    for (amount, currency) in [("5124", "kwd"), ("501", "isk"), ("100000000", "usd"), ("0", "usd"), ("-5", "usd"), ("1.5", "usd")] {
        assert_eq!(charge(amount, currency).await.status, 400, "{amount} {currency}");
    }
}

#[tokio::test]
async fn a_session_is_paid_on_its_page_and_leads_back_to_the_shop() {
    let world = World::new().await;
    let session = session(&world, &[]).await;
    assert_eq!(
        (&session["amount_total"], &session["status"], &session["payment_status"]),
        (&2500.into(), &"open".into(), &"unpaid".into())
    );
    assert!(session["payment_intent"].is_null(), "the intent is made when the payer pays");
    let decided = world.sim.pay("ref-1").unwrap();
    let id = session["id"].as_str().unwrap();
    assert_eq!(decided.redirect.unwrap(), format!("https://shop.example/thanks?session={id}"));
    let paid = get(&world, &format!("/v1/checkout/sessions/{id}")).await;
    assert_eq!((&paid["status"], &paid["payment_status"]), (&"complete".into(), &"paid".into()));
    let intent = paid["payment_intent"].as_str().unwrap();
    assert_eq!(get(&world, &format!("/v1/payment_intents/{intent}")).await["metadata"]["reference"], "ref-1");
    let expanded = get(&world, &format!("/v1/checkout/sessions/{id}?expand%5B%5D=payment_intent")).await;
    assert_eq!(expanded["payment_intent"]["status"], "succeeded");
    assert_eq!(get(&world, &format!("/v1/checkout/sessions?payment_intent={intent}")).await["data"][0]["id"], id);
    let moved = world.sim.movements();
    assert_eq!((moved.len(), moved[0].amount_minor, moved[0].reference.as_str()), (1, 2_500, "ref-1"));
    let types: Vec<_> = world.receiver.take(3).await.iter().map(|webhook| webhook.json()["type"].clone()).collect();
    assert!(types.contains(&"checkout.session.completed".into()) && types.contains(&"payment_intent.succeeded".into()), "{types:?}");
    assert!(world.sim.pay("ref-1").unwrap_err().contains("paid already"));
}

#[tokio::test]
async fn a_session_with_manual_capture_holds_the_amount_and_is_not_paid_yet() {
    let world = World::new().await;
    let session = session(&world, &[("payment_intent_data[capture_method]", "manual")]).await;
    world.sim.pay("ref-1").unwrap();
    let held = get(&world, &format!("/v1/checkout/sessions/{}", session["id"].as_str().unwrap())).await;
    assert_eq!((&held["status"], &held["payment_status"]), (&"complete".into(), &"unpaid".into()));
    assert_eq!(kinds(&world), [(MovementKind::Authorized, 2_500)]);
    let path = format!("/v1/payment_intents/{}/capture", held["payment_intent"].as_str().unwrap());
    assert_eq!(post(&world, &path, &[]).await.json()["status"], "succeeded");
}

#[tokio::test]
async fn after_a_decline_or_a_walk_away_the_session_can_still_be_paid() {
    let world = World::new().await;
    session(&world, &[]).await;
    assert_eq!(world.sim.decline("ref-1", "insufficient_funds").unwrap().redirect, None);
    assert_eq!(world.sim.abandon("ref-1").unwrap().redirect.as_deref(), Some("https://shop.example/cart"));
    assert!(kinds(&world).is_empty());
    world.sim.pay("ref-1").unwrap();
    assert_eq!(kinds(&world), [(MovementKind::Charged, 2_500)]);
}

#[tokio::test]
async fn an_expired_session_cannot_be_paid_and_only_an_open_one_expires() {
    let world = World::new().await;
    let path = format!("/v1/checkout/sessions/{}/expire", session(&world, &[]).await["id"].as_str().unwrap());
    assert_eq!(post(&world, &path, &[]).await.json()["status"], "expired");
    assert!(world.sim.pay("ref-1").is_err());
    assert_eq!(post(&world, &path, &[]).await.status, 400);
    assert_eq!(world.receiver.next().await.json()["type"], "checkout.session.expired");
    assert!(kinds(&world).is_empty());
}

#[tokio::test]
async fn a_session_expires_when_it_said_and_between_half_an_hour_and_a_day() {
    let world = World::new().await;
    let created = session(&world, &[]).await["created"].as_i64().unwrap();
    for seconds in [60, 100_000] {
        let at = (created + seconds).to_string();
        let fields: Vec<_> = SESSION.iter().copied().chain([("expires_at", at.as_str())]).collect();
        assert_eq!(post(&world, "/v1/checkout/sessions", &fields).await.json()["error"]["param"], "expires_at");
    }
    let at = (created + 3_600).to_string();
    let id = session(&world, &[("expires_at", &at)]).await["id"].as_str().unwrap().to_owned();
    world.sim.advance(Duration::from_secs(3_700));
    assert!(world.sim.pay("ref-1").is_ok(), "the older session has a day");
    assert!(world.sim.decide_page(Dialect::Stripe, &id, &sim::pages::Decision::Pay).is_err());
    assert_eq!(get(&world, &format!("/v1/checkout/sessions/{id}")).await["status"], "expired");
}

#[tokio::test]
async fn two_sessions_of_one_reference_can_both_be_paid() {
    let world = World::new().await;
    let first = session(&world, &[]).await["id"].as_str().unwrap().to_owned();
    session(&world, &[]).await;
    world.sim.pay("ref-1").unwrap();
    world.sim.decide_page(Dialect::Stripe, &first, &sim::pages::Decision::Pay).unwrap();
    assert_eq!(kinds(&world), [(MovementKind::Charged, 2_500), (MovementKind::Charged, 2_500)]);
    assert_eq!(world.sim.pages("ref-1").len(), 2);
}

#[tokio::test]
async fn intents_are_found_by_metadata() {
    let world = World::new().await;
    let intent = post(&world, "/v1/payment_intents", CARD).await.json();
    post(&world, "/v1/payment_intents", &[("amount", "100"), ("currency", "usd"), ("metadata[reference]", "ref-2")]).await;
    let search = async |query: &str| {
        let path = format!("/v1/payment_intents/search?{}", encoded(&[("query", query)]));
        world.send(Dialect::Stripe, Method::GET, &path, &[BEARER], "").await
    };
    for query in
        ["metadata['reference']:'ref-1'", "metadata[\"reference\"]:\"ref-1\"", "metadata['reference']:'ref-1' AND status:'succeeded'"]
    {
        let found = search(query).await.json();
        assert_eq!(found["object"], "search_result");
        assert_eq!((found["data"].as_array().unwrap().len(), &found["data"][0]["id"]), (1, &intent["id"]), "{query}");
    }
    assert_eq!(search("metadata['reference']:'ref-3'").await.json()["data"], Value::Array(Vec::new()));
    assert_eq!(search("metadata['reference']:'ref-1' AND status:'canceled'").await.json()["data"], Value::Array(Vec::new()));
    assert_eq!(search("nonsense").await.status, 400);
}

#[tokio::test]
async fn refunds_add_up_to_the_charge_and_no_further() {
    let world = World::new().await;
    let intent = post(&world, "/v1/payment_intents", CARD).await.json()["id"].as_str().unwrap().to_owned();
    let refund =
        async |key: &str, amount: &str| keyed(&world, key, "/v1/refunds", &[("payment_intent", &intent), ("amount", amount)]).await;
    let first = refund("r-1", "500").await.json();
    assert_eq!((&first["status"], &first["amount"], &first["payment_intent"]), (&"succeeded".into(), &500.into(), &intent.as_str().into()));
    assert_eq!(refund("r-1", "500").await.json(), first);
    assert_eq!(refund("r-2", "1501").await.json()["error"]["param"], "amount");
    let rest = post(&world, "/v1/refunds", &[("payment_intent", &intent)]).await.json();
    assert_eq!(rest["amount"], 1500);
    assert_eq!(refund("r-3", "1").await.json()["error"]["code"], "charge_already_refunded");
    assert_eq!(get(&world, &format!("/v1/refunds/{}", first["id"].as_str().unwrap())).await, first);
    assert_eq!(get(&world, &format!("/v1/refunds?payment_intent={intent}")).await["data"].as_array().unwrap().len(), 2);
    assert_eq!(kinds(&world), [(MovementKind::Charged, 2_000), (MovementKind::Refunded, 500), (MovementKind::Refunded, 1_500)]);
    assert_eq!(world.sim.movements()[1].reference, "ref-1");
}

#[tokio::test]
async fn a_refund_can_fail_and_moves_nothing_then() {
    let world = World::new().await;
    let intent = post(&world, "/v1/payment_intents", CARD).await.json()["id"].as_str().unwrap().to_owned();
    world.sim.add_fault(Rule::always(Dialect::Stripe, "refund", "decline:lost_or_stolen_card".parse().unwrap()).times(1)).unwrap();
    let failed = post(&world, "/v1/refunds", &[("payment_intent", &intent)]).await.json();
    assert_eq!((&failed["status"], &failed["failure_reason"]), (&"failed".into(), &"lost_or_stolen_card".into()));
    assert_eq!(post(&world, "/v1/refunds", &[("payment_intent", &intent)]).await.json()["status"], "succeeded");
    assert_eq!(kinds(&world), [(MovementKind::Charged, 2_000), (MovementKind::Refunded, 2_000)]);
}

#[tokio::test]
async fn a_payout_is_pending_then_paid_and_leaves_the_balance() {
    let world = World::new().await;
    let available = async || {
        get(&world, "/v1/balance").await["available"].as_array().unwrap().iter().find(|sum| sum["currency"] == "usd").unwrap()["amount"]
            .as_i64()
            .unwrap()
    };
    let before = available().await;
    let payout = post(&world, "/v1/payouts", &[("amount", "700"), ("currency", "usd"), ("metadata[reference]", "out-1")]).await.json();
    assert_eq!(payout["status"], "pending");
    assert_eq!(get(&world, &format!("/v1/payouts/{}", payout["id"].as_str().unwrap())).await["status"], "paid");
    assert_eq!(available().await, before - 700);
    let moved = world.sim.movements();
    assert_eq!((moved.len(), moved[0].kind, moved[0].reference.as_str()), (1, MovementKind::PaidOut, "out-1"));
}

#[tokio::test]
async fn a_payout_fails_or_comes_back() {
    let world = World::new().await;
    for (code, moves) in [("account_closed", vec![]), ("returned", vec![(MovementKind::PaidOut, 700), (MovementKind::Returned, 700)])] {
        let fault = format!("decline:{code}");
        let headers = [BEARER, ("x-sim-fault", fault.as_str())];
        let answer =
            world.send(Dialect::Stripe, Method::POST, "/v1/payouts", &headers, encoded(&[("amount", "700"), ("currency", "usd")])).await;
        let stored = get(&world, &format!("/v1/payouts/{}", answer.json()["id"].as_str().unwrap())).await;
        assert_eq!((&stored["status"], &stored["failure_code"]), (&"failed".into(), &"account_closed".into()));
        assert_eq!(kinds(&world), moves);
    }
    // The account holds ten million; Stripe takes eight digits of one amount, so JPY shows the end of it.
    let poor = post(&world, "/v1/payouts", &[("amount", "1000000001"), ("currency", "jpy")]).await;
    assert_eq!((poor.status, &poor.json()["error"]["code"]), (400, &"balance_insufficient".into()));
}

#[tokio::test]
async fn a_settlement_pays_what_is_left_after_fees_and_lists_its_lines_page_by_page() {
    let world = World::new().await;
    let mut intents = Vec::new();
    for place in 0..12 {
        let reference = format!("ref-{place}");
        let fields: Vec<_> =
            CARD.iter().map(|(key, value)| (*key, if *key == "metadata[reference]" { reference.as_str() } else { *value })).collect();
        intents.push(post(&world, "/v1/payment_intents", &fields).await.json());
    }
    post(&world, "/v1/refunds", &[("payment_intent", intents[0]["id"].as_str().unwrap()), ("amount", "300")]).await;
    let payouts = world.sim.settle(Dialect::Stripe, Plant::default()).unwrap();
    assert_eq!(payouts.len(), 1);
    // 2.9 % of 2,000 and 30: 88 a charge.
    let net = 12 * (2_000 - 88) - 300;
    let payout = get(&world, &format!("/v1/payouts/{}", payouts[0])).await;
    assert_eq!((&payout["amount"], &payout["automatic"], &payout["status"]), (&net.into(), &true.into(), &"paid".into()));
    let (mut lines, mut after) = (Vec::new(), String::new());
    loop {
        let page = get(&world, &format!("/v1/balance_transactions?payout={}&limit=5{after}", payouts[0])).await;
        lines.extend(page["data"].as_array().unwrap().clone());
        if page["has_more"] == false {
            break;
        }
        after = format!("&starting_after={}", lines.last().unwrap()["id"].as_str().unwrap());
    }
    assert_eq!(lines.len(), 14);
    for line in &lines {
        assert_eq!(line["amount"].as_i64().unwrap() - line["fee"].as_i64().unwrap(), line["net"].as_i64().unwrap());
    }
    let without: i64 = lines.iter().filter(|line| line["type"] != "payout").map(|line| line["net"].as_i64().unwrap()).sum();
    assert_eq!(without, net);
    let expanded = get(&world, &format!("/v1/balance_transactions?payout={}&type=charge&limit=1&expand[]=data.source", payouts[0])).await;
    assert_eq!(expanded["data"][0]["source"]["object"], "charge");
    assert_eq!(world.sim.movements().last().unwrap().kind, MovementKind::Settled);
    assert!(world.sim.settle(Dialect::Stripe, Plant::default()).is_err(), "nothing is settled twice");
}

#[tokio::test]
async fn faults_planted_in_a_settlement_are_exactly_those() {
    let world = World::new().await;
    for _ in 0..10 {
        post(&world, "/v1/payment_intents", CARD).await;
    }
    let plant = Plant { missing_lines: 1, extra_lines: 1, wrong_amounts: 1 };
    let payout = world.sim.settle(Dialect::Stripe, plant).unwrap().remove(0);
    let lines =
        get(&world, &format!("/v1/balance_transactions?payout={payout}&type=charge&limit=100")).await["data"].as_array().unwrap().clone();
    let charged: Vec<_> =
        world.sim.movements().into_iter().filter(|moved| moved.kind == MovementKind::Charged).map(|moved| moved.provider_id).collect();
    let known = |line: &Value| charged.iter().any(|id| line["source"] == *id);
    assert_eq!(lines.len(), 10);
    assert_eq!(lines.iter().filter(|line| !known(line)).count(), 1, "one extra");
    assert_eq!(lines.iter().filter(|line| known(line) && line["amount"] != 2000).count(), 1, "one wrong");
    assert_eq!(charged.iter().filter(|id| !lines.iter().any(|line| line["source"] == ***id)).count(), 1, "one missing");
}

#[tokio::test]
async fn a_wrong_amount_or_currency_is_really_taken() {
    let world = World::new().await;
    for (fault, amount, currency) in [("wrong_amount", 1_999, "USD"), ("wrong_currency", 2_000, "EUR")] {
        let headers = [BEARER, ("x-sim-fault", fault)];
        let intent = world.send(Dialect::Stripe, Method::POST, "/v1/payment_intents", &headers, encoded(CARD)).await.json();
        assert_eq!(intent["amount_received"], amount);
        let moved = world.sim.movements().pop().unwrap();
        assert_eq!((moved.amount_minor, moved.currency.as_str()), (amount, currency));
    }
}

#[tokio::test]
async fn events_can_be_asked_for_as_they_were_sent() {
    let world = World::new().await;
    post(&world, "/v1/payment_intents", CARD).await;
    let sent = world.receiver.take(3).await;
    let list = get(&world, "/v1/events?limit=2").await;
    assert_eq!((list["data"].as_array().unwrap().len(), &list["has_more"]), (2, &true.into()));
    let succeeded = get(&world, "/v1/events?type=payment_intent.succeeded").await["data"][0].clone();
    assert_eq!(get(&world, &format!("/v1/events/{}", succeeded["id"].as_str().unwrap())).await, succeeded);
    assert!(sent.iter().any(|webhook| webhook.json() == succeeded));
}

#[tokio::test]
async fn a_debit_from_a_bank_account_is_processing_before_it_succeeds() {
    let world = World::new().await;
    let fields = [
        ("amount", "900"),
        ("currency", "usd"),
        ("confirm", "true"),
        ("payment_method", "pm_usBankAccount"),
        ("metadata[reference]", "ref-1"),
    ];
    let intent = post(&world, "/v1/payment_intents", &fields).await.json();
    let path = format!("/v1/payment_intents/{}", intent["id"].as_str().unwrap());
    assert_eq!(intent["status"], "processing");
    assert_eq!(post(&world, &format!("{path}/cancel"), &[]).await.status, 400);
    assert_eq!((get(&world, &path).await["status"].clone(), kinds(&world)), ("processing".into(), vec![]));
    world.sim.advance(Duration::from_secs(61));
    assert_eq!(kinds(&world), [(MovementKind::Charged, 900)]);
    assert_eq!(get(&world, &path).await["status"], "succeeded");
    world.sim.advance(Duration::from_secs(61));
    assert_eq!(kinds(&world).len(), 1);
    let types: Vec<_> = world.receiver.take(4).await.iter().map(|webhook| webhook.json()["type"].as_str().unwrap().to_owned()).collect();
    assert!(types.contains(&"payment_intent.processing".to_owned()) && types.contains(&"payment_intent.succeeded".to_owned()), "{types:?}");
}

#[tokio::test]
async fn a_session_that_runs_out_tells_so_by_itself() {
    let world = World::new().await;
    session(&world, &[]).await;
    world.sim.advance(Duration::from_secs(86_401));
    assert_eq!(world.receiver.next().await.json()["type"], "checkout.session.expired");
}
