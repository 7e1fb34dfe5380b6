//! Stripe's entry in the contract.

use std::time::Duration;

use payments::{Abilities, Destination, Dialect, ErrorClass, Trust};
use serde_json::json;

use super::{Payouts, Promise};

const STRIPE: Promise = Promise {
    dialect: Dialect::Stripe,
    sim: sim::Dialect::Stripe,
    abilities: Abilities {
        has_pages: true,
        captures_later: true,
        captures_in_parts: true,
        refunds: true,
        refunds_in_parts: true,
        closes_pages: true,
        pays_out: true,
        enquires_names: false,
        tells_float: true,
        reports: true,
        keeps_keys_for: Some(Duration::from_secs(23 * 3_600)),
        trust: Trust::Signed,
    },
    settings: || json!({}),
    secrets: || json!({"api_key": sim::STRIPE_KEY, "webhook_secret": sim::STRIPE_WEBHOOK_SECRET}),
    currency: "USD",
    extra: || json!({}),
    declines: &[
        ("insufficient_funds", ErrorClass::DeclinedHard),
        ("lost_card", ErrorClass::DeclinedHard),
        ("generic_decline", ErrorClass::DeclinedSoft),
        ("fraudulent", ErrorClass::Fraud),
    ],
    is_completed_by_us: false,
    is_found_by_reference: false,
    payouts: Some(Payouts {
        to: || Destination { bank_code: String::new(), account_number: "default".to_owned(), account_name: "Ours".to_owned() },
        nobody: None,
        failed: Some("account_closed"),
        reversed: None,
        password: None,
    }),
    other_secrets: Some(|| json!({"api_key": sim::STRIPE_KEY, "webhook_secret": ["whsec_another", "whsec_third"]})),
    something_else: br#"{"id":"evt_1","object":"event","type":"customer.created","data":{"object":{"id":"cus_1","object":"customer"}}}"#,
    takes_other_amounts: true,
    is_done_after: Duration::ZERO,
};

super::contract!(STRIPE);
