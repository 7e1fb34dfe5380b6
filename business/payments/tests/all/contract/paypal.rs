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
