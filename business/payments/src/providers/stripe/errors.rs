//! Stripe's refusals in our words: <https://docs.stripe.com/error-codes> and <https://docs.stripe.com/declines/codes>.

use serde_json::Value;

use crate::provider::{ErrorClass, Failure};
use crate::providers::answers::{cut, text};

/// Decline codes, and codes of card errors where no decline code is given. What is not listed may work elsewhere.
const DECLINES: &[(&str, ErrorClass)] = &[
    ("account_closed", ErrorClass::DeclinedHard),
    ("authentication_required", ErrorClass::PayerAction),
    ("card_not_supported", ErrorClass::DeclinedHard),
    ("card_velocity_exceeded", ErrorClass::DeclinedHard),
    ("currency_not_supported", ErrorClass::NotSupported),
    ("do_not_try_again", ErrorClass::DeclinedHard),
    ("expired_card", ErrorClass::DeclinedHard),
    ("fraudulent", ErrorClass::Fraud),
    ("incorrect_address", ErrorClass::PayerAction),
    ("incorrect_cvc", ErrorClass::PayerAction),
    ("incorrect_number", ErrorClass::DeclinedHard),
    ("incorrect_pin", ErrorClass::PayerAction),
    ("incorrect_zip", ErrorClass::PayerAction),
    ("insufficient_funds", ErrorClass::DeclinedHard),
    ("invalid_account", ErrorClass::DeclinedHard),
    ("invalid_cvc", ErrorClass::PayerAction),
    ("invalid_expiry_month", ErrorClass::PayerAction),
    ("invalid_expiry_year", ErrorClass::PayerAction),
    ("invalid_number", ErrorClass::DeclinedHard),
    ("invalid_pin", ErrorClass::PayerAction),
    ("lost_card", ErrorClass::DeclinedHard),
    ("merchant_blacklist", ErrorClass::Fraud),
    ("new_account_information_available", ErrorClass::DeclinedHard),
    ("no_action_taken", ErrorClass::DeclinedHard),
    ("not_permitted", ErrorClass::DeclinedHard),
    ("offline_pin_required", ErrorClass::PayerAction),
    ("online_or_offline_pin_required", ErrorClass::PayerAction),
    ("payment_intent_authentication_failure", ErrorClass::PayerAction),
    ("pickup_card", ErrorClass::Fraud),
    ("pin_try_exceeded", ErrorClass::PayerAction),
    ("restricted_card", ErrorClass::DeclinedHard),
    ("revocation_of_all_authorizations", ErrorClass::DeclinedHard),
    ("revocation_of_authorization", ErrorClass::DeclinedHard),
    ("security_violation", ErrorClass::Fraud),
    ("stolen_card", ErrorClass::Fraud),
    ("stop_payment_order", ErrorClass::DeclinedHard),
    ("transaction_not_allowed", ErrorClass::DeclinedHard),
    ("withdrawal_count_limit_exceeded", ErrorClass::DeclinedHard),
];

/// Codes of requests that were refused for what they asked.
const REFUSALS: &[(&str, ErrorClass)] = &[
    ("account_invalid", ErrorClass::SetUp),
    ("amount_too_large", ErrorClass::NotSupported),
    ("amount_too_small", ErrorClass::NotSupported),
    ("api_key_expired", ErrorClass::SetUp),
    ("country_unsupported", ErrorClass::NotSupported),
    ("currency_not_supported", ErrorClass::NotSupported),
    ("invalid_charge_amount", ErrorClass::NotSupported),
    ("invalid_charge_amount_no_decimal_compatible", ErrorClass::NotSupported),
    ("livemode_mismatch", ErrorClass::SetUp),
    ("lock_timeout", ErrorClass::RateLimited),
    ("payment_method_unactivated", ErrorClass::SetUp),
    ("platform_api_key_expired", ErrorClass::SetUp),
    ("rate_limit", ErrorClass::RateLimited),
    ("secret_key_required", ErrorClass::SetUp),
    ("testmode_charges_only", ErrorClass::SetUp),
];

fn listed(table: &[(&str, ErrorClass)], code: &str) -> Option<ErrorClass> {
    table.iter().find(|(known, _)| *known == code).map(|(_, class)| *class)
}

/// The class and the provider's word of a card error, as it stands in an answer or in `last_payment_error`.
pub(super) fn decline(error: &Value) -> (ErrorClass, String) {
    let code = text(error, "/decline_code").or_else(|| text(error, "/code")).unwrap_or("card_declined");
    (listed(DECLINES, code).unwrap_or(ErrorClass::DeclinedSoft), cut(code))
}

/// What an answer that is no success says. Only what Stripe surely did not do is a refusal.
pub(super) fn failure(status: u16, body: Option<&Value>) -> Failure {
    let error = body.and_then(|body| body.get("error")).unwrap_or(&Value::Null);
    let kind = text(error, "/type").unwrap_or_default();
    let code = cut(text(error, "/code").unwrap_or(if kind.is_empty() { "no_code" } else { kind }));
    let unknown = || {
        let words = text(error, "/message").unwrap_or("no message");
        Failure::unknown(format!("status {status}, {code}: {}", cut(words)))
    };
    match (status, kind) {
        // The first request of this key may have been done, with other parameters or a moment ago.
        (_, "idempotency_error") => unknown(),
        (429, _) => Failure::Refused { class: ErrorClass::RateLimited, code },
        (401 | 403, _) => Failure::Refused { class: ErrorClass::SetUp, code },
        (400..=499, "card_error") => {
            let (class, code) = decline(error);
            Failure::Refused { class, code }
        }
        // Of these, Stripe says so in an envelope of its own; anything else in between does not speak for it.
        (400 | 404, "invalid_request_error") => {
            let class = listed(REFUSALS, &code).unwrap_or(ErrorClass::InvalidRequest);
            Failure::Refused { class, code }
        }
        _ => unknown(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn class_of(status: u16, error: &Value) -> Option<ErrorClass> {
        match failure(status, Some(&json!({"error": error}))) {
            Failure::Refused { class, .. } => Some(class),
            _ => None,
        }
    }

    #[test]
    fn only_what_surely_was_not_done_is_refused() {
        let cases = [
            (
                402,
                json!({"type": "card_error", "code": "card_declined", "decline_code": "insufficient_funds"}),
                Some(ErrorClass::DeclinedHard),
            ),
            (402, json!({"type": "card_error", "code": "card_declined", "decline_code": "fraudulent"}), Some(ErrorClass::Fraud)),
            (402, json!({"type": "card_error", "code": "expired_card"}), Some(ErrorClass::DeclinedHard)),
            (402, json!({"type": "card_error", "code": "card_declined"}), Some(ErrorClass::DeclinedSoft)),
            (402, json!({"type": "card_error", "decline_code": "a_new_one"}), Some(ErrorClass::DeclinedSoft)),
            (400, json!({"type": "invalid_request_error", "code": "amount_too_small"}), Some(ErrorClass::NotSupported)),
            (400, json!({"type": "invalid_request_error", "code": "parameter_missing"}), Some(ErrorClass::InvalidRequest)),
            (404, json!({"type": "invalid_request_error", "code": "resource_missing"}), Some(ErrorClass::InvalidRequest)),
            (429, json!({"type": "invalid_request_error", "code": "rate_limit"}), Some(ErrorClass::RateLimited)),
            (401, json!({"type": "invalid_request_error"}), Some(ErrorClass::SetUp)),
            (400, json!({"type": "idempotency_error"}), None),
            (409, json!({"type": "idempotency_error", "code": "idempotency_key_in_use"}), None),
            (500, json!({"type": "api_error"}), None),
            (400, json!({"type": "api_error"}), None),
            (400, json!(null), None),
            (404, json!("not found"), None),
            (402, json!(null), None),
            (503, json!(null), None),
            (302, json!(null), None),
        ];
        for (status, error, expected) in cases {
            assert_eq!(class_of(status, &error), expected, "{status} {error}");
        }
    }

    #[test]
    fn a_long_message_is_cut() {
        let body = json!({"error": {"type": "api_error", "message": "x".repeat(10_000)}});
        assert!(failure(500, Some(&body)).to_string().len() < 300);
    }
}
