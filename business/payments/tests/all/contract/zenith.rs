//! Zenith GlobalPay's entry in the contract.

use std::time::Duration;

use payments::{Abilities, Dialect, ErrorClass, Trust};
use serde_json::json;

use super::Promise;

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
