//! PayPal's entry in the contract.

use std::time::Duration;

use payments::{Abilities, Destination, Dialect, ErrorClass, Trust};
use serde_json::json;

use super::{Payouts, Promise};

const PAYPAL: Promise = Promise {
    dialect: Dialect::Paypal,
    sim: sim::Dialect::Paypal,
    abilities: Abilities {
        has_pages: true,
        captures_later: true,
        captures_in_parts: true,
        refunds: true,
        refunds_in_parts: true,
        closes_pages: false,
        pays_out: true,
        enquires_names: false,
        tells_float: true,
        reports: true,
        keeps_keys_for: Some(Duration::from_secs(5 * 3_600)),
        trust: Trust::CheckedLater,
    },
    settings: || json!({"webhook_id": sim::PAYPAL_WEBHOOK_ID}),
    secrets: || json!({"client_id": sim::PAYPAL_CLIENT, "client_secret": sim::PAYPAL_SECRET}),
    currency: "USD",
    extra: || json!({}),
    declines: &[
        ("INSTRUMENT_DECLINED", ErrorClass::DeclinedSoft),
        ("TRANSACTION_REFUSED", ErrorClass::DeclinedHard),
        ("PAYER_CANNOT_PAY", ErrorClass::DeclinedHard),
        ("PAYEE_BLOCKED_TRANSACTION", ErrorClass::Fraud),
        ("DECLINED", ErrorClass::DeclinedSoft),
    ],
    is_completed_by_us: true,
    is_found_by_reference: false,
    payouts: Some(Payouts {
        to: || Destination { bank_code: String::new(), account_number: "ada@example.com".to_owned(), account_name: "Ada Obi".to_owned() },
        nobody: None,
        failed: Some("RECEIVER_ACCOUNT_LOCKED"),
        reversed: Some("RETURNED"),
        password: None,
    }),
    // The webhook's identifier is no secret; whose it is, PayPal knows.
    other_secrets: None,
    something_else: br#"{"id":"WH-1","event_type":"CUSTOMER.DISPUTE.CREATED","resource":{"dispute_id":"PP-1"}}"#,
    takes_other_amounts: true,
    is_done_after: Duration::ZERO,
};

super::contract!(PAYPAL);

/// PayPal takes whole forints and dollars of Taiwan only, and tells them so.
#[tokio::test]
async fn each_currency_is_paid_and_given_back_to_the_unit() {
    for (currency, amount_minor) in [("JPY", 501), ("HUF", 123_400), ("TWD", 4_500), ("EUR", 1), ("GBP", 99_999)] {
        super::world::a_payment_in(&PAYPAL, currency, amount_minor).await;
    }
}

/// What was signed for another webhook of the same account is not ours.
#[tokio::test]
async fn a_webhook_that_was_signed_for_another_one_is_not_genuine() {
    let mut world = super::world::World::new(&PAYPAL).await;
    world.paid(world.money(10_000), payments::CaptureMethod::Automatic).await;
    let came = world.webhooks().await;
    assert_eq!(world.check(&came[0]).await, Ok(()));
    world.account.settings["webhook_id"] = json!("WH-ANOTHER");
    assert_eq!(world.check(&came[0]).await, Err(payments::WebhookError::Forged));
    world.account.settings = json!({});
    assert_eq!(world.check(&came[0]).await, Err(payments::WebhookError::SetUp));
}

/// Each refund comes out of a capture that still holds as much.
#[tokio::test]
async fn what_was_captured_in_parts_is_given_back_out_of_the_capture_that_has_it() {
    let world = super::world::World::new(&PAYPAL).await;
    let (opened, _) = world.paid(world.money(10_000), payments::CaptureMethod::Manual).await;
    let provider_ref = opened.provider_ref.clone().unwrap();
    let mut charge_ref = None;
    for (amount_minor, is_last) in [(6_000, false), (4_000, true)] {
        let amount = world.money(amount_minor);
        let order = payments::Order::Capture { reference: world.capture(), provider_ref: provider_ref.clone(), amount, is_last };
        charge_ref = world.observe(&order).await.charge_ref;
    }
    for amount_minor in [5_000, 4_000, 1_000] {
        let order = payments::Order::Refund {
            reference: world.refund(),
            attempt: opened.reference.clone(),
            provider_ref: provider_ref.clone(),
            charge_ref: charge_ref.clone(),
            amount: world.money(amount_minor),
            reason: None,
        };
        let back = world.observe(&order).await;
        assert!(super::world::succeeded(world.money(amount_minor))(&back.seen), "{back:?}");
    }
    assert_eq!(world.moved_minor(sim::bank::MovementKind::Refunded), 10_000);
}
