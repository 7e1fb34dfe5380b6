//! What Stripe's objects say in our words: sessions, payment intents, refunds and payouts; and its units of money.

use kernel::{Currency, Money};
use serde_json::Value;

use super::errors;
use crate::intent::{DisputeState, Observation, Seen};
use crate::provider::{ErrorClass, Failure};
use crate::providers::answers::{cut, owned, text};
use crate::units;

/// Places of Stripe's units where they are not a hundredth: <https://docs.stripe.com/currencies>. Króna and shilling of
/// Uganda have no fraction and are still told in hundredths; the ariary is told whole.
const PLACES: &[(&str, u32)] = &[
    ("BHD", 3),
    ("BIF", 0),
    ("CLP", 0),
    ("DJF", 0),
    ("GNF", 0),
    ("ISK", 2),
    ("JOD", 3),
    ("JPY", 0),
    ("KMF", 0),
    ("KRW", 0),
    ("KWD", 3),
    ("MGA", 0),
    ("OMR", 3),
    ("PYG", 0),
    ("RWF", 0),
    ("TND", 3),
    ("UGX", 2),
    ("VND", 0),
    ("VUV", 0),
    ("XAF", 0),
    ("XOF", 0),
    ("XPF", 0),
];

/// How many places Stripe's units of a currency have; None where Stripe does not take it and nothing is known.
pub(super) fn places(currency: Currency) -> Option<u32> {
    let code = currency.to_string();
    let listed = PLACES.iter().find(|(known, _)| *known == code).map(|(_, places)| *places);
    listed.or_else(|| (currency.exponent() == 2).then_some(2))
}

/// An amount in Stripe's units, for what is sent.
pub(super) fn units_of(amount: Money) -> Result<i64, Failure> {
    let places = places(amount.currency);
    let units = places.and_then(|places| units::rescale(amount.amount_minor, amount.currency.exponent(), places));
    // Of three places the last must be zero, for the card networks' sake.
    let units = units.filter(|units| places != Some(3) || units % 10 == 0);
    units.ok_or_else(|| Failure::Refused { class: ErrorClass::NotSupported, code: "amount_not_exact".to_owned() })
}

/// Stripe's units and currency as money; None where they are missing or cannot be told exactly.
pub(super) fn money(units: &Value, currency: &Value) -> Option<Money> {
    let currency = units::currency_of(currency)?;
    let units = units::minor_of(units, 0)?;
    Some(Money::new(units::rescale(units, places(currency)?, currency.exponent())?, currency))
}

fn money_at(object: &Value, field: &str) -> Option<Money> {
    money(&object[field], &object["currency"])
}

/// An identifier, or that of the expanded object in its place.
pub(super) fn id_at(object: &Value, field: &str) -> Option<String> {
    owned(object, &format!("/{field}")).or_else(|| owned(object, &format!("/{field}/id")))
}

/// Captures of ours that a payment intent carries: reference and amount in Stripe's units.
fn captures(intent: &Value) -> Vec<(&str, i64)> {
    let metadata = intent.get("metadata").and_then(Value::as_object);
    let own = metadata.into_iter().flatten().filter(|(name, _)| name.starts_with("pcp_"));
    own.filter_map(|(name, units)| Some((name.as_str(), units::minor_of(units, 0)?))).collect()
}

fn pending() -> Seen {
    Seen::Pending
}

/// How a session of Checkout stands.
pub(super) fn session(session: &Value) -> Observation {
    let payment = &session["payment_intent"];
    let seen = match text(session, "/status") {
        Some("open") => match payment.get("last_payment_error").filter(|error| error.is_object()) {
            Some(_) => payment_intent(payment).seen,
            None => Seen::WaitsForPerson,
        },
        Some("expired") => Seen::Expired,
        Some("complete") if payment.is_object() => payment_intent(payment).seen,
        Some("complete") => match (text(session, "/payment_status"), money_at(session, "amount_total")) {
            (Some("paid"), Some(amount)) => Seen::Succeeded { amount: Some(amount), crypto_amount: None },
            // Authorized, or on its way: the session alone does not say.
            _ => Seen::Changed,
        },
        _ => pending(),
    };
    Observation { seen, provider_ref: owned(session, "/id"), charge_ref: id_at(session, "payment_intent") }
}

/// How a payment intent stands, for the attempt that it belongs to.
pub(super) fn payment_intent(intent: &Value) -> Observation {
    let seen = match text(intent, "/status") {
        Some("requires_payment_method") => match intent.get("last_payment_error").filter(|error| error.is_object()) {
            Some(error) => {
                let (class, code) = errors::decline(error);
                Seen::Declined { class, code }
            }
            None => Seen::WaitsForPerson,
        },
        Some("requires_confirmation" | "requires_action") => Seen::WaitsForPerson,
        Some("requires_capture") => {
            let both = money_at(intent, "amount_capturable").zip(money_at(intent, "amount_received"));
            let whole = both.and_then(|(left, taken)| left.plus(taken).ok()).or_else(|| money_at(intent, "amount_capturable"));
            whole.map_or_else(pending, |amount| Seen::Authorized { amount })
        }
        // What was taken by captures of ours is told of each of them; the attempt itself was authorized.
        Some("succeeded") if !captures(intent).is_empty() => {
            money_at(intent, "amount").map_or_else(pending, |amount| Seen::Authorized { amount })
        }
        Some("succeeded") => match money_at(intent, "amount_received") {
            Some(amount) => Seen::Succeeded { amount: Some(amount), crypto_amount: None },
            None => pending(),
        },
        Some("canceled") => Seen::Voided,
        _ => pending(),
    };
    Observation { seen, provider_ref: None, charge_ref: owned(intent, "/id") }
}

/// How a capture of ours stands, by the payment intent that it belongs to; None where that does not know it. What this one
/// took is what was taken in all, less what the others were to take.
pub(super) fn capture(intent: &Value, reference: &str) -> Option<Observation> {
    let captures = captures(intent);
    captures.iter().find(|(name, _)| *name == reference)?;
    let others = captures.iter().filter(|(name, _)| *name != reference).try_fold(0_i64, |sum, (_, units)| sum.checked_add(*units))?;
    let taken = units::minor_of(&intent["amount_received"], 0).and_then(|all| all.checked_sub(others));
    let amount = taken.and_then(|taken| money(&Value::from(taken), &intent["currency"]));
    let seen = match (text(intent, "/status"), amount) {
        // What was taken stays taken where the rest was released.
        (Some("succeeded" | "requires_capture" | "canceled"), Some(amount)) if amount.amount_minor > 0 => {
            Seen::Succeeded { amount: Some(amount), crypto_amount: None }
        }
        (Some("canceled"), _) => Seen::Declined { class: ErrorClass::InvalidRequest, code: "canceled".to_owned() },
        _ => pending(),
    };
    Some(Observation { seen, provider_ref: None, charge_ref: owned(intent, "/id") })
}

/// The captures of ours that a payment intent tells of, each with how it stands.
pub(super) fn all_captures(intent: &Value) -> Vec<(String, Observation)> {
    let references = captures(intent).into_iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>();
    references.into_iter().filter_map(|name| capture(intent, &name).map(|observation| (name, observation))).collect()
}

/// How a refund stands.
pub(super) fn refund(refund: &Value) -> Observation {
    let seen = match text(refund, "/status") {
        Some("succeeded") => match money_at(refund, "amount") {
            Some(amount) => Seen::Succeeded { amount: Some(amount), crypto_amount: None },
            None => pending(),
        },
        Some("failed") => declined(text(refund, "/failure_reason").unwrap_or("failed")),
        Some("canceled") => declined("canceled"),
        // `pending`, `requires_action`, and what Stripe has not thought of yet.
        _ => pending(),
    };
    Observation {
        seen,
        provider_ref: owned(refund, "/id"),
        charge_ref: id_at(refund, "payment_intent").or_else(|| id_at(refund, "charge")),
    }
}

/// What an event says of a dispute: Stripe takes the money when one begins, and brings it back when it is won. None where nothing
/// has moved.
pub(super) fn dispute(dispute: &Value, event: &str) -> Option<Observation> {
    let to = match (event, text(dispute, "/status")) {
        ("charge.dispute.created", _) => DisputeState::Open,
        ("charge.dispute.funds_withdrawn", _) | ("charge.dispute.closed", Some("lost")) => DisputeState::Withdrawn,
        ("charge.dispute.funds_reinstated", _) | ("charge.dispute.closed", Some("won")) => DisputeState::Returned,
        ("charge.dispute.closed", Some("warning_closed")) => DisputeState::Closed,
        _ => return None,
    };
    let (case, amount) = (owned(dispute, "/id")?, money_at(dispute, "amount"));
    let charge_ref = id_at(dispute, "payment_intent").or_else(|| id_at(dispute, "charge"));
    Some(Observation { seen: Seen::Disputed { case, amount, to }, provider_ref: None, charge_ref })
}

/// How a payout stands.
pub(super) fn payout(payout: &Value) -> Observation {
    let seen = match text(payout, "/status") {
        Some("paid") => match money_at(payout, "amount") {
            Some(amount) => Seen::Succeeded { amount: Some(amount), crypto_amount: None },
            None => pending(),
        },
        Some("failed") => declined(text(payout, "/failure_code").unwrap_or("failed")),
        Some("canceled") => declined("canceled"),
        // `pending`, `in_transit`, and what Stripe has not thought of yet.
        _ => pending(),
    };
    Observation { seen, provider_ref: owned(payout, "/id"), charge_ref: None }
}

fn declined(code: &str) -> Seen {
    Seen::Declined { class: ErrorClass::DeclinedHard, code: cut(code) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(amount_minor: i64, currency: &str) -> Money {
        Money::new(amount_minor, Currency::parse(currency).unwrap())
    }

    #[test]
    fn amounts_are_told_in_stripes_own_units_or_not_at_all() {
        let cases = [
            (of(1_099, "EUR"), Some(1_099)),
            (of(500, "JPY"), Some(500)),
            (of(5, "ISK"), Some(500)),
            (of(7, "UGX"), Some(700)),
            (of(5_120, "KWD"), Some(5_120)),
            (of(5_124, "KWD"), None),
            (of(1_200, "MGA"), Some(12)),
            (of(1_250, "MGA"), None),
            (of(1_000, "IQD"), None),
            (of(1, "CLF"), None),
            (of(1, "UYI"), None),
        ];
        for (amount, units) in cases {
            assert_eq!(units_of(amount).ok(), units, "{amount}");
            if let Some(units) = units {
                let currency = amount.currency.to_string().to_lowercase();
                assert_eq!(money(&json!(units.to_string()), &json!(currency)), Some(amount));
            }
        }
        assert_eq!(money(&json!("550"), &json!("isk")), None, "half a króna cannot be told");
    }

    #[test]
    fn of_several_captures_each_took_its_own_part() {
        let intent = json!({"id": "pi_1", "status": "requires_capture", "currency": "usd", "amount": "1000",
            "amount_capturable": "300", "amount_received": "700", "metadata": {"reference": "pat_1", "pcp_1": "500", "pcp_2": "200"}});
        let seen = |reference| capture(&intent, reference).map(|observation| observation.seen);
        assert_eq!(seen("pcp_1"), Some(Seen::Succeeded { amount: Some(of(500, "USD")), crypto_amount: None }));
        assert_eq!(seen("pcp_2"), Some(Seen::Succeeded { amount: Some(of(200, "USD")), crypto_amount: None }));
        assert_eq!(seen("pcp_3"), None);
        assert_eq!(payment_intent(&intent).seen, Seen::Authorized { amount: of(1_000, "USD") });
        let mut released = intent.clone();
        released["status"] = json!("canceled");
        released["amount_capturable"] = json!("0");
        assert_eq!(capture(&released, "pcp_1").map(|observation| observation.seen), seen("pcp_1"));
        released["amount_received"] = json!("0");
        assert!(matches!(capture(&released, "pcp_1").map(|observation| observation.seen), Some(Seen::Declined { .. })));
    }

    #[test]
    fn a_word_that_stripe_has_not_used_yet_means_pending() {
        for object in [json!({"status": "a_new_one"}), json!({}), json!(null), json!({"status": 5})] {
            assert_eq!(session(&object).seen, Seen::Pending);
            assert_eq!(payment_intent(&object).seen, Seen::Pending);
            assert_eq!(refund(&object).seen, Seen::Pending);
            assert_eq!(payout(&object).seen, Seen::Pending);
        }
    }
}
