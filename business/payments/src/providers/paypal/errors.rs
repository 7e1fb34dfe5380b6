//! PayPal's refusals in our words: <https://developer.paypal.com/api/rest/reference/orders/v2/errors/> and those of payments v2.

use serde_json::Value;

use crate::provider::{ErrorClass, Failure};
use crate::providers::answers::{cut, text};

/// Issues of a request that was understood and not done. What is not listed cannot have been right.
const ISSUES: &[(&str, ErrorClass)] = &[
    ("AMOUNT_CANNOT_BE_SPECIFIED", ErrorClass::InvalidRequest),
    ("AUTH_CAPTURE_NOT_ENABLED", ErrorClass::SetUp),
    ("CANNOT_BE_ZERO_OR_NEGATIVE", ErrorClass::NotSupported),
    ("CARD_CLOSED", ErrorClass::DeclinedHard),
    ("CARD_EXPIRED", ErrorClass::DeclinedHard),
    ("COMPLIANCE_VIOLATION", ErrorClass::DeclinedHard),
    ("COUNTRY_NOT_SUPPORTED_BY_PAYMENT_SOURCE", ErrorClass::NotSupported),
    ("CURRENCY_NOT_SUPPORTED", ErrorClass::NotSupported),
    ("CURRENCY_NOT_SUPPORTED_BY_PAYMENT_SOURCE", ErrorClass::NotSupported),
    ("CURRENCY_NOT_SUPPORTED_FOR_COUNTRY", ErrorClass::NotSupported),
    ("DECIMALS_NOT_SUPPORTED", ErrorClass::NotSupported),
    ("DECIMAL_PRECISION", ErrorClass::NotSupported),
    ("DOMESTIC_TRANSACTION_REQUIRED", ErrorClass::NotSupported),
    ("INSTRUMENT_DECLINED", ErrorClass::DeclinedSoft),
    ("INVALID_ACCOUNT_STATUS", ErrorClass::SetUp),
    ("MAX_NUMBER_OF_PAYMENT_ATTEMPTS_EXCEEDED", ErrorClass::DeclinedHard),
    ("MAX_VALUE_EXCEEDED", ErrorClass::NotSupported),
    ("NOT_ENABLED_FOR_CARD_PROCESSING", ErrorClass::SetUp),
    ("ORDER_EXPIRED", ErrorClass::PayerAction),
    ("ORDER_NOT_APPROVED", ErrorClass::PayerAction),
    ("PAYEE_ACCOUNT_INVALID", ErrorClass::SetUp),
    ("PAYEE_ACCOUNT_LOCKED_OR_CLOSED", ErrorClass::SetUp),
    ("PAYEE_ACCOUNT_RESTRICTED", ErrorClass::SetUp),
    ("PAYEE_BLOCKED_TRANSACTION", ErrorClass::Fraud),
    ("PAYEE_NOT_ENABLED_FOR_CARD_PROCESSING", ErrorClass::SetUp),
    ("PAYER_ACCOUNT_LOCKED_OR_CLOSED", ErrorClass::DeclinedHard),
    ("PAYER_ACCOUNT_RESTRICTED", ErrorClass::DeclinedHard),
    ("PAYER_ACTION_REQUIRED", ErrorClass::PayerAction),
    ("PAYER_CANNOT_PAY", ErrorClass::DeclinedHard),
    ("PAYER_COUNTRY_NOT_SUPPORTED", ErrorClass::NotSupported),
    ("PERMISSION_DENIED", ErrorClass::SetUp),
    ("REDIRECT_PAYER_FOR_ALTERNATE_FUNDING", ErrorClass::DeclinedSoft),
    ("TRANSACTION_BLOCKED_BY_PAYEE", ErrorClass::Fraud),
    ("TRANSACTION_LIMIT_EXCEEDED", ErrorClass::DeclinedHard),
    ("TRANSACTION_RECEIVING_LIMIT_EXCEEDED", ErrorClass::SetUp),
    ("TRANSACTION_REFUSED", ErrorClass::DeclinedHard),
];

/// Issues that say that something of this name was done, or is being done: how it stands is to be asked.
const DONE_BEFORE: &[&str] = &["DUPLICATE_INVOICE_ID", "DUPLICATE_REQUEST_ID", "DUPLICATE_TRANSACTION", "PREVIOUS_REQUEST_IN_PROGRESS"];

/// PayPal's word for what is wrong.
pub(super) fn issue(body: &Value) -> &str {
    let listed = text(body, "/details/0/issue").filter(|issue| issue.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'));
    listed.or_else(|| text(body, "/name")).or_else(|| text(body, "/error")).unwrap_or("no_code")
}

/// The class of an issue, where it stands for a decline.
pub(super) fn class_of(issue: &str) -> ErrorClass {
    ISSUES.iter().find(|(known, _)| *known == issue).map_or(ErrorClass::InvalidRequest, |(_, class)| *class)
}

/// What an answer that is no success says. Only what PayPal surely did not do is a refusal.
pub(super) fn failure(status: u16, body: Option<&Value>) -> Failure {
    let body = body.unwrap_or(&Value::Null);
    let code = cut(issue(body));
    let is_theirs = text(body, "/name").is_some();
    match status {
        429 => Failure::Refused { class: ErrorClass::RateLimited, code },
        401 | 403 => Failure::Refused { class: ErrorClass::SetUp, code },
        400 | 404 | 422 if is_theirs && !DONE_BEFORE.contains(&code.as_str()) => Failure::Refused { class: class_of(&code), code },
        _ => {
            let words = text(body, "/message").unwrap_or("no message");
            Failure::unknown(format!("status {status}, {code}: {}", cut(words)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_surely_was_not_done_is_refused() {
        let with = |issue: &str| json!({"name": "UNPROCESSABLE_ENTITY", "details": [{"issue": issue}]});
        let cases = [
            (422, with("INSTRUMENT_DECLINED"), Some(ErrorClass::DeclinedSoft)),
            (422, with("TRANSACTION_REFUSED"), Some(ErrorClass::DeclinedHard)),
            (422, with("PAYEE_BLOCKED_TRANSACTION"), Some(ErrorClass::Fraud)),
            (422, with("A_NEW_ONE"), Some(ErrorClass::InvalidRequest)),
            (422, with("DUPLICATE_INVOICE_ID"), None),
            (404, json!({"name": "RESOURCE_NOT_FOUND"}), Some(ErrorClass::InvalidRequest)),
            (401, json!({"error": "invalid_token"}), Some(ErrorClass::SetUp)),
            (429, json!({"name": "RATE_LIMIT_REACHED"}), Some(ErrorClass::RateLimited)),
            (409, json!({"name": "RESOURCE_CONFLICT"}), None),
            (500, json!({"name": "INTERNAL_SERVER_ERROR"}), None),
            (422, json!(null), None),
            (404, json!("no"), None),
        ];
        for (status, body, expected) in cases {
            let class = match failure(status, Some(&body)) {
                Failure::Refused { class, .. } => Some(class),
                _ => None,
            };
            assert_eq!(class, expected, "{status} {body}");
        }
    }
}
