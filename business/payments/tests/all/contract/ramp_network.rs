//! Ramp Network's entry in the contract.

use std::time::Duration;

use payments::{Abilities, Dialect, ErrorClass, Trust};
use serde_json::json;

use super::Promise;

const RAMP_NETWORK: Promise = Promise {
    dialect: Dialect::RampNetwork,
    sim: sim::Dialect::RampNetwork,
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
        keeps_keys_for: Some(Duration::from_secs(365 * 86_400)),
        trust: Trust::Signed,
    },
    settings: || {
        json!({"host_api_key": sim::RAMP_NETWORK_KEY, "swap_asset": "ETH_USDC", "public_key_pem": sim::providers::ramp_network::PUBLIC_KEY,
            "user_address": "0x71C7656EC7ab88b098defB751B7401B5f6d8976F"})
    },
    secrets: || json!({}),
    currency: "EUR",
    extra: || json!({}),
    declines: &[
        ("PAYMENT_FAILED", ErrorClass::DeclinedSoft),
        ("REVIEW_REJECTED", ErrorClass::Fraud),
        ("CANCELLED", ErrorClass::PayerAction),
    ],
    is_completed_by_us: false,
    is_found_by_reference: false,
    payouts: None,
    other_secrets: None,
    something_else: br#"{"id":"1","type":"RELEASED","mode":"OFFRAMP","payload":{"id":"s-1"}}"#,
    takes_other_amounts: true,
    is_done_after: Duration::ZERO,
};

super::contract!(RAMP_NETWORK);
