//! What PayPal's objects say in our words: orders, authorizations, captures, refunds and payout items; and its texts of money.

use kernel::Money;
use serde_json::{Value, json};

use crate::intent::{DisputeState, Observation, Seen};
use crate::provider::{ErrorClass, Failure};
use crate::providers::answers::{cut, one_or_many, owned, text};
use crate::units;

/// Currencies that PayPal takes, with the places that it takes: <https://developer.paypal.com/reference/currency-codes/>.
const PLACES: &[(&str, u32)] = &[
    ("AUD", 2),
    ("BRL", 2),
    ("CAD", 2),
    ("CHF", 2),
    ("CNY", 2),
    ("CZK", 2),
    ("DKK", 2),
    ("EUR", 2),
    ("GBP", 2),
    ("HKD", 2),
    ("HUF", 0),
    ("ILS", 2),
    ("JPY", 0),
    ("MXN", 2),
    ("MYR", 2),
    ("NOK", 2),
    ("NZD", 2),
    ("PHP", 2),
    ("PLN", 2),
    ("SEK", 2),
    ("SGD", 2),
    ("THB", 2),
    ("TWD", 0),
    ("USD", 2),
];

/// The value of an amount as PayPal takes it; refused where it does not take the currency, or no such fraction of it.
pub(super) fn value_of(amount: Money) -> Result<String, Failure> {
    let code = amount.currency.to_string();
    let places = PLACES.iter().find(|(known, _)| *known == code).map(|(_, places)| *places);
    let value = places.and_then(|places| {
        let units = units::rescale(amount.amount_minor, amount.currency.exponent(), places)?;
        Some(units::decimal(units, places))
    });
    value.ok_or_else(|| Failure::Refused { class: ErrorClass::NotSupported, code: "amount_not_exact".to_owned() })
}

/// Money as PayPal takes it.
pub(super) fn money_of(amount: Money) -> Result<Value, Failure> {
    Ok(json!({"currency_code": amount.currency.to_string(), "value": value_of(amount)?}))
}

/// Money as PayPal tells it; payouts name the currency in another field.
pub(super) fn money(value: &Value) -> Option<Money> {
    let currency = value.get("currency_code").or_else(|| value.get("currency"))?;
    units::money(value.get("value")?, currency)
}

fn succeeded(amount: &Value) -> Seen {
    money(amount).map_or(Seen::Pending, |amount| Seen::Succeeded { amount: Some(amount), crypto_amount: None })
}

fn declined(class: ErrorClass, code: &str) -> Seen {
    Seen::Declined { class, code: cut(code) }
}

/// The payments of an order: `captures`, `authorizations` or `refunds`.
pub(super) fn payments<'a>(order: &'a Value, kind: &str) -> Vec<&'a Value> {
    let units = one_or_many(&order["purchase_units"]).iter();
    units.flat_map(|unit| one_or_many(&unit["payments"][kind])).collect()
}

/// Ours, as an order repeats it.
pub(super) fn reference_of(order: &Value) -> Option<String> {
    owned(order, "/purchase_units/0/custom_id").or_else(|| owned(order, "/purchase_units/custom_id"))
}

/// How an order stands, for the attempt that it belongs to.
pub(super) fn order(order: &Value) -> Observation {
    let name = owned(order, "/id");
    let seen = match text(order, "/status") {
        Some("CREATED" | "SAVED" | "PAYER_ACTION_REQUIRED") => Seen::WaitsForPerson,
        Some("APPROVED") => Seen::Approved,
        Some("VOIDED") => Seen::Voided,
        Some("COMPLETED") => {
            let (captures, authorizations) = (payments(order, "captures"), payments(order, "authorizations"));
            // What was authorized is told as such: its captures are told of each by itself.
            return match (authorizations.last(), captures.last()) {
                (Some(held), _) => Observation { provider_ref: name, ..authorization(held) },
                (None, Some(taken)) => Observation { provider_ref: name, ..capture(taken) },
                (None, None) => Observation { seen: Seen::Pending, provider_ref: name, charge_ref: None },
            };
        }
        _ => Seen::Pending,
    };
    Observation { seen, provider_ref: name, charge_ref: None }
}

/// How an authorization stands. Its name is that of its order, where that is told.
pub(super) fn authorization(authorization: &Value) -> Observation {
    let seen = match text(authorization, "/status") {
        Some("CREATED" | "CAPTURED" | "PARTIALLY_CAPTURED") => {
            money(&authorization["amount"]).map_or(Seen::Pending, |amount| Seen::Authorized { amount })
        }
        Some("VOIDED") => Seen::Voided,
        Some("EXPIRED") => Seen::Expired,
        Some("DENIED") => declined(ErrorClass::DeclinedSoft, "DENIED"),
        _ => Seen::Pending,
    };
    Observation { seen, provider_ref: owned(authorization, "/supplementary_data/related_ids/order_id"), charge_ref: None }
}

/// How a capture stands. What was given back of it was taken before.
pub(super) fn capture(capture: &Value) -> Observation {
    let seen = match text(capture, "/status") {
        Some("COMPLETED" | "PARTIALLY_REFUNDED" | "REFUNDED") => succeeded(&capture["amount"]),
        Some(word @ ("DECLINED" | "FAILED")) => declined(ErrorClass::DeclinedSoft, word),
        _ => Seen::Pending,
    };
    Observation { seen, provider_ref: owned(capture, "/supplementary_data/related_ids/order_id"), charge_ref: owned(capture, "/id") }
}

/// How a refund stands.
pub(super) fn refund(refund: &Value) -> Observation {
    let seen = match text(refund, "/status") {
        Some("COMPLETED") => succeeded(&refund["amount"]),
        Some(word @ ("FAILED" | "CANCELLED")) => declined(ErrorClass::DeclinedHard, word),
        _ => Seen::Pending,
    };
    Observation { seen, provider_ref: owned(refund, "/id"), charge_ref: None }
}

/// A capture that PayPal took back because of a dispute or a bank: told as the capture itself, or as a reversal below it.
pub(super) fn reversal(reversal: &Value) -> Option<Observation> {
    let links = one_or_many(&reversal["links"]).iter();
    let above = links.filter(|link| text(link, "/rel") == Some("up")).find_map(|link| text(link, "/href")?.rsplit_once("/captures/"));
    let capture = above.map(|(_, id)| cut(id)).or_else(|| owned(reversal, "/id"))?;
    Some(about(capture, money(&reversal["amount"]), DisputeState::Withdrawn))
}

/// What an event says of a dispute. That the money went is told by [`reversal`]; a dispute that the payer won says nothing more.
pub(super) fn dispute(dispute: &Value, event: &str) -> Option<Observation> {
    let to = match (event, text(dispute, "/dispute_outcome/outcome_code")) {
        ("CUSTOMER.DISPUTE.CREATED", _) => DisputeState::Open,
        ("CUSTOMER.DISPUTE.RESOLVED", Some("RESOLVED_SELLER_FAVOUR" | "CANCELED_BY_BUYER")) => DisputeState::Returned,
        ("CUSTOMER.DISPUTE.RESOLVED", _) => DisputeState::Closed,
        _ => return None,
    };
    let capture = one_or_many(&dispute["disputed_transactions"]).first().and_then(|of| owned(of, "/seller_transaction_id"))?;
    Some(about(capture, money(&dispute["dispute_amount"]), to))
}

fn about(capture: String, amount: Option<Money>, to: DisputeState) -> Observation {
    let seen = Seen::Disputed { case: capture.clone(), amount, to };
    Observation { seen, provider_ref: None, charge_ref: Some(capture) }
}

/// How the one item of a payout stands; its batch, where no item is shown yet.
pub(super) fn payout(batch: &Value) -> Observation {
    let name = owned(batch, "/batch_header/payout_batch_id");
    match one_or_many(&batch["items"]).first() {
        Some(item) => Observation { provider_ref: name.or_else(|| owned(item, "/payout_batch_id")), ..payout_item(item) },
        None => {
            let seen = match text(batch, "/batch_header/batch_status") {
                Some(word @ ("DENIED" | "CANCELED")) => declined(ErrorClass::DeclinedHard, word),
                _ => Seen::Pending,
            };
            Observation { seen, provider_ref: name, charge_ref: None }
        }
    }
}

/// How an item of a payout stands.
pub(super) fn payout_item(item: &Value) -> Observation {
    let code = |word: &str| text(item, "/errors/name").unwrap_or(word).to_owned();
    let seen = match text(item, "/transaction_status") {
        Some("SUCCESS") => succeeded(&item["payout_item"]["amount"]),
        Some(word @ ("FAILED" | "BLOCKED" | "DENIED" | "CANCELED")) => declined(ErrorClass::DeclinedHard, &code(word)),
        Some("RETURNED" | "REFUNDED" | "REVERSED") => Seen::Reversed,
        // `PENDING`, `ONHOLD`, `UNCLAIMED`, and what PayPal has not thought of yet.
        _ => Seen::Pending,
    };
    Observation { seen, provider_ref: owned(item, "/payout_batch_id"), charge_ref: owned(item, "/transaction_id") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::Currency;

    fn of(amount_minor: i64, currency: &str) -> Money {
        Money::new(amount_minor, Currency::parse(currency).unwrap())
    }

    #[test]
    fn amounts_have_the_places_that_paypal_takes_or_are_refused() {
        let cases = [
            (of(1_099, "EUR"), Some("10.99")),
            (of(500, "JPY"), Some("500")),
            (of(1_200, "HUF"), Some("12")),
            (of(1_250, "HUF"), None),
            (of(1_000, "KWD"), None),
            (of(1_000, "NGN"), None),
        ];
        for (amount, value) in cases {
            assert_eq!(value_of(amount).ok().as_deref(), value, "{amount}");
            if let Some(value) = value {
                assert_eq!(money(&json!({"currency_code": amount.currency.to_string(), "value": value})), Some(amount));
            }
        }
    }

    #[test]
    fn a_word_that_paypal_has_not_used_yet_means_pending() {
        for object in [json!({"status": "NEW"}), json!({}), json!(null), json!({"status": "COMPLETED"}), json!([1])] {
            assert_eq!(order(&object).seen, Seen::Pending);
            assert_eq!(capture(&object).seen, Seen::Pending);
            assert_eq!(authorization(&object).seen, Seen::Pending);
            assert_eq!(refund(&object).seen, Seen::Pending);
            assert_eq!(payout(&object).seen, Seen::Pending);
        }
    }

    #[test]
    fn one_purchase_unit_stands_in_a_list_or_alone() {
        let unit = json!({"custom_id": "pat_1", "payments": {"captures": {"id": "C", "status": "COMPLETED", "amount": {"currency_code": "USD", "value": "1.00"}}}});
        for units in [json!([unit]), unit] {
            let whole = json!({"id": "O", "status": "COMPLETED", "purchase_units": units});
            assert_eq!(order(&whole).seen, Seen::Succeeded { amount: Some(of(100, "USD")), crypto_amount: None });
            assert_eq!(reference_of(&whole).as_deref(), Some("pat_1"));
        }
    }
}
