//! Zenith GlobalPay's entry in the contract.

use std::time::Duration;

use payments::{Abilities, CaptureMethod, Dialect, ErrorClass, Failure, Order, Question, Seen, Trust};
use serde_json::json;

use super::Promise;
use super::world::{World, succeeded};

const ZENITH: Promise = Promise {
    dialect: Dialect::Zenith,
    sim: sim::Dialect::Zenith,
    abilities: Abilities {
        has_pages: true,
        captures_later: false,
        captures_in_parts: false,
        refunds: false,
        refunds_in_parts: false,
        closes_pages: false,
        pays_out: false,
        enquires_names: false,
        tells_float: false,
        reports: false,
        keeps_keys_for: None,
        trust: Trust::Hint,
    },
    settings: || json!({}),
    secrets: || json!({"api_key": sim::ZENITH_KEY}),
    currency: "NGN",
    extra: || json!({}),
    declines: &[
        ("Failed", ErrorClass::DeclinedSoft),
        ("Declined", ErrorClass::DeclinedSoft),
        ("Insufficient Funds", ErrorClass::DeclinedHard),
        ("Cancelled", ErrorClass::PayerAction),
    ],
    is_completed_by_us: false,
    is_found_by_reference: true,
    payouts: None,
    other_secrets: None,
    something_else: br#"{"message":"maintenance on Sunday"}"#,
    takes_other_amounts: true,
    is_done_after: Duration::ZERO,
};

super::contract!(ZENITH);

#[tokio::test]
async fn every_form_that_globalpay_writes_is_read_alike_and_a_webhook_only_causes_a_query() {
    // The names of the payload and of the status turn with the number of the payment; every fourth is a list of one.
    let world = World::new(&ZENITH).await;
    for number in 0..8 {
        let amount = world.money(10_050 + number);
        let (opened, seen) = world.paid(amount, CaptureMethod::Automatic).await;
        assert!(succeeded(amount)(&seen.seen), "{number}: {seen:?}");
        let notices: Vec<_> = world.webhooks().await.iter().flat_map(|came| world.read(came)).collect();
        let told: Vec<_> = notices.iter().filter(|notice| notice.reference.as_deref() == Some(&*opened.reference)).collect();
        assert!(!told.is_empty() && told.iter().all(|notice| notice.observation.seen == Seen::Changed), "{number}: {notices:?}");
    }
}

#[tokio::test]
async fn what_globalpay_cannot_do_is_refused_without_asking_it() {
    let mut world = World::new(&ZENITH).await;
    world.account.base_url = "http://127.0.0.1:9".to_owned();
    let refund = Order::Refund {
        reference: world.refund(),
        attempt: world.attempt(),
        provider_ref: "GP1".to_owned(),
        charge_ref: None,
        amount: world.money(1),
        reason: None,
    };
    for order in
        [refund, Order::ClosePage { provider_ref: "GP1".to_owned() }, world.page(&world.attempt(), world.money(100), CaptureMethod::Manual)]
    {
        let refused = world.send(&order).await;
        assert!(matches!(refused, Err(Failure::Refused { class: ErrorClass::NotSupported, .. })), "{refused:?}");
    }
    let now = world.clock.now();
    for question in [Question::Settled { from: now, until: now }, Question::Float { currency: world.money(0).currency }] {
        assert!(matches!(world.ask(&question).await, Err(Failure::Refused { class: ErrorClass::NotSupported, .. })));
    }
}

#[tokio::test]
async fn a_key_that_is_not_ours_is_our_set_up() {
    let mut world = World::new(&ZENITH).await;
    world.account.secrets = json!({"api_key": "another"});
    let refused = world.send(&world.page(&world.attempt(), world.money(10_000), CaptureMethod::Automatic)).await;
    assert!(matches!(refused, Err(Failure::Refused { class: ErrorClass::SetUp, .. })), "{refused:?}");
    world.account.secrets = json!({});
    let refused = world.send(&world.page(&world.attempt(), world.money(10_000), CaptureMethod::Automatic)).await;
    assert_eq!(refused.map_err(|failure| failure.to_string()), Err("refused: the secret api_key is missing".to_owned()));
}
