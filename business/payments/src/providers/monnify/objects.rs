//! What Monnify's objects say in our words: payments, refunds and payouts; its dates.

use kernel::{Currency, Money, Timestamp};
use serde_json::Value;

use crate::intent::{Observation, Seen};
use crate::provider::ErrorClass;
use crate::providers::answers::{cut, owned, text};
use crate::units;

/// What a word means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// Money moved: as much as stands beside it.
    Done,
    /// It waits for the payer, or for a one-time password.
    Waits,
    /// Monnify is at it.
    Works,
    /// Nothing moved, or it came back at once.
    Not(ErrorClass),
    /// Its time was over.
    Over,
    /// What was paid out came back; what was paid went back to the payer.
    Back,
}

/// Words of payments. Too much and too little are told with what was really paid, so that it is kept apart.
const PAYMENTS: &[(&str, Meaning)] = &[
    ("PAID", Meaning::Done),
    ("OVERPAID", Meaning::Done),
    ("PARTIALLY_PAID", Meaning::Done),
    ("PENDING", Meaning::Waits),
    ("FAILED", Meaning::Not(ErrorClass::DeclinedSoft)),
    ("CANCELLED", Meaning::Not(ErrorClass::PayerAction)),
    ("REVERSED", Meaning::Back),
    ("EXPIRED", Meaning::Over),
    ("ABANDONED", Meaning::Over),
];

/// Words of payouts.
const PAYOUTS: &[(&str, Meaning)] = &[
    ("SUCCESS", Meaning::Done),
    ("COMPLETED", Meaning::Done),
    ("FAILED", Meaning::Not(ErrorClass::DeclinedSoft)),
    ("EXPIRED", Meaning::Not(ErrorClass::PayerAction)),
    ("REVERSED", Meaning::Back),
    ("PENDING", Meaning::Works),
    ("AWAITING_PROCESSING", Meaning::Works),
    ("IN_PROGRESS", Meaning::Works),
    ("PENDING_AUTHORIZATION", Meaning::Waits),
    ("OTP_EMAIL_DISPATCH_FAILED", Meaning::Waits),
];

/// Words of refunds.
const REFUNDS: &[(&str, Meaning)] = &[
    ("COMPLETED", Meaning::Done),
    ("PENDING", Meaning::Works),
    ("IN_PROGRESS", Meaning::Works),
    ("FAILED", Meaning::Not(ErrorClass::DeclinedSoft)),
];

/// What a word of a table means; a word that is not there means that Monnify is at it.
fn seen(table: &[(&str, Meaning)], word: Option<&str>, amount: Option<Money>) -> Seen {
    let word = word.unwrap_or_default();
    match table.iter().find(|(known, _)| *known == word).map_or(Meaning::Works, |(_, meaning)| *meaning) {
        Meaning::Done => Seen::Succeeded { amount, crypto_amount: None },
        Meaning::Waits => Seen::WaitsForPerson,
        Meaning::Works => Seen::Pending,
        Meaning::Not(class) => Seen::Declined { class, code: cut(word) },
        Meaning::Over => Seen::Expired,
        Meaning::Back => Seen::Reversed,
    }
}

/// An amount in major units, a number or a text; naira where no currency is named, for Monnify knows no other.
pub(super) fn money(object: &Value, field: &str) -> Option<Money> {
    let named = [&object["currency"], &object["currencyCode"]].into_iter().find(|name| !name.is_null());
    let currency = named.map_or_else(|| Currency::parse("NGN").ok(), units::currency_of)?;
    Some(Money::new(units::minor_of(&object[field], currency.exponent())?, currency))
}

/// How a payment stands.
pub(super) fn payment(payment: &Value) -> Observation {
    let theirs = owned(payment, "/transactionReference");
    let seen = seen(PAYMENTS, text(payment, "/paymentStatus"), money(payment, "amountPaid"));
    Observation { seen, provider_ref: theirs.clone(), charge_ref: theirs }
}

/// How a refund stands.
pub(super) fn refund(refund: &Value) -> Observation {
    let seen = seen(REFUNDS, text(refund, "/refundStatus"), money(refund, "refundAmount"));
    // It has no name of theirs beside ours.
    Observation { seen, provider_ref: owned(refund, "/refundReference"), charge_ref: owned(refund, "/transactionReference") }
}

/// How a payout stands.
pub(super) fn payout(payout: &Value) -> Observation {
    let seen = seen(PAYOUTS, text(payout, "/status"), money(payout, "amount"));
    Observation { seen, provider_ref: owned(payout, "/transactionReference"), charge_ref: None }
}

/// Our reference of a payment: `paymentReference`, or what we gave as `metaData`, an object or an object's JSON in a text.
pub(super) fn reference(payment: &Value) -> Option<String> {
    owned(payment, "/paymentReference").or_else(|| match &payment["metaData"] {
        Value::String(json) => units::exact(json.as_bytes()).and_then(|data| owned(&data, "/reference")),
        data => owned(data, "/reference"),
    })
}

/// A date as `17/11/2021 3:48:10 PM`, `2021-11-17 11:28:42.615` or RFC 3339. Without a zone it is taken for UTC (UNVERIFIED).
pub(super) fn date(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(at) = Timestamp::parse(text) {
        return Some(at);
    }
    if let Some((day, time)) = text.split_once(' ').filter(|(day, _)| day.contains('/')) {
        let mut day = day.split('/');
        let (d, m, y) = (day.next()?, day.next()?, day.next()?);
        let (clock, half) = time.rsplit_once(' ')?;
        let (hour, rest) = clock.split_once(':')?;
        let hour = hour.parse::<u32>().ok().filter(|hour| (1..=12).contains(hour))? % 12;
        let hour = match half.to_ascii_uppercase().as_str() {
            "AM" => hour,
            "PM" => hour + 12,
            _ => return None,
        };
        return Timestamp::parse(&format!("{y}-{m:0>2}-{d:0>2}T{hour:02}:{rest}Z")).ok();
    }
    // The zone is sometimes written without its colon.
    let text = text.replacen(' ', "T", 1);
    let bytes = text.as_bytes();
    if bytes.len() > 5 && text.is_ascii() && matches!(bytes[bytes.len() - 5], b'+') {
        let (time, zone) = text.split_at(text.len() - 2);
        return Timestamp::parse(&format!("{time}:{zone}")).ok();
    }
    Timestamp::parse(&format!("{text}Z")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn naira(amount_minor: i64) -> Money {
        Money::new(amount_minor, Currency::parse("NGN").unwrap())
    }

    #[test]
    fn every_word_of_a_payment_has_its_meaning_and_a_new_one_means_pending() {
        let seen = |word: &str| payment(&json!({"paymentStatus": word, "amountPaid": "120.50", "currency": "NGN"})).seen;
        for word in ["PAID", "OVERPAID", "PARTIALLY_PAID"] {
            assert_eq!(seen(word), Seen::Succeeded { amount: Some(naira(12_050)), crypto_amount: None }, "{word}");
        }
        assert_eq!(seen("PENDING"), Seen::WaitsForPerson);
        assert_eq!(seen("EXPIRED"), Seen::Expired);
        assert_eq!(seen("ABANDONED"), Seen::Expired);
        assert_eq!(seen("CANCELLED"), Seen::Declined { class: ErrorClass::PayerAction, code: "CANCELLED".to_owned() });
        assert_eq!(seen("FAILED"), Seen::Declined { class: ErrorClass::DeclinedSoft, code: "FAILED".to_owned() });
        assert_eq!(seen("REVERSED"), Seen::Reversed);
        for word in ["", "paid", "SETTLED", "A_NEW_ONE"] {
            assert_eq!(seen(word), Seen::Pending, "{word}");
        }
        assert_eq!(payment(&json!(null)).seen, Seen::Pending);
    }

    #[test]
    fn every_word_of_a_payout_and_of_a_refund_has_its_meaning() {
        let paid_out = |word: &str| payout(&json!({"status": word, "amount": "5"})).seen;
        assert_eq!(paid_out("SUCCESS"), Seen::Succeeded { amount: Some(naira(500)), crypto_amount: None });
        assert_eq!(paid_out("COMPLETED"), paid_out("SUCCESS"));
        assert_eq!(paid_out("REVERSED"), Seen::Reversed);
        assert_eq!(paid_out("PENDING_AUTHORIZATION"), Seen::WaitsForPerson);
        for word in ["PENDING", "AWAITING_PROCESSING", "IN_PROGRESS", "A_NEW_ONE"] {
            assert_eq!(paid_out(word), Seen::Pending, "{word}");
        }
        for word in ["FAILED", "EXPIRED"] {
            assert!(matches!(paid_out(word), Seen::Declined { .. }), "{word}");
        }
        let given_back = |word: &str| refund(&json!({"refundStatus": word, "refundAmount": "0.01"})).seen;
        assert_eq!(given_back("COMPLETED"), Seen::Succeeded { amount: Some(naira(1)), crypto_amount: None });
        assert_eq!(given_back("IN_PROGRESS"), Seen::Pending);
        assert!(matches!(given_back("FAILED"), Seen::Declined { .. }));
    }

    #[test]
    fn an_amount_is_the_same_as_a_number_and_as_a_text_and_never_rounded() {
        for json in [r#"{"amountPaid":4500.5}"#, r#"{"amountPaid":"4500.50"}"#, r#"{"amountPaid":4500.500,"currencyCode":"NGN"}"#] {
            assert_eq!(money(&units::exact(json.as_bytes()).unwrap(), "amountPaid"), Some(naira(450_050)), "{json}");
        }
        let large = units::exact(br#"{"amountPaid":90071992547409.93}"#).unwrap();
        assert_eq!(money(&large, "amountPaid"), Some(naira(9_007_199_254_740_993)));
        assert_eq!(money(&json!({"amountPaid": "1.005"}), "amountPaid"), None);
        let other = json!({"amountPaid": "10", "currency": "USD"});
        assert_eq!(money(&other, "amountPaid").map(|paid| paid.currency.to_string()), Some("USD".to_owned()));
        assert_eq!(money(&json!({"amountPaid": "10", "currency": "naira"}), "amountPaid"), None);
    }

    #[test]
    fn a_date_is_read_in_each_of_its_three_forms() {
        let at = |text: &str| date(text).map(|at| at.to_string());
        assert_eq!(at("17/11/2021 3:48:10 PM").as_deref(), Some("2021-11-17T15:48:10Z"));
        assert_eq!(at("7/1/2021 12:48:10 AM").as_deref(), Some("2021-01-07T00:48:10Z"));
        assert_eq!(at("17/11/2021 12:00:00 PM").as_deref(), Some("2021-11-17T12:00:00Z"));
        assert_eq!(at("2021-11-17 11:28:42.615").as_deref(), Some("2021-11-17T11:28:42.615Z"));
        assert_eq!(at("2021-11-17T11:28:42.615Z").as_deref(), Some("2021-11-17T11:28:42.615Z"));
        assert_eq!(at("2021-11-17T11:28:42.615+0100").as_deref(), Some("2021-11-17T10:28:42.615Z"));
        assert_eq!(at("2021-11-17T11:28:42+01:00").as_deref(), Some("2021-11-17T10:28:42Z"));
        for text in ["", "yesterday", "17/11/2021", "17/11/2021 13:00:00 PM", "17/11/2021 0:00:00 AM", "99/99/2021 1:00:00 AM", "/ /"] {
            assert_eq!(at(text), None, "{text}");
        }
    }

    #[test]
    fn our_reference_is_found_in_meta_data_as_an_object_and_as_a_text() {
        assert_eq!(reference(&json!({"paymentReference": "pat_1", "metaData": {"reference": "x"}})).as_deref(), Some("pat_1"));
        assert_eq!(reference(&json!({"metaData": {"reference": "pat_2"}})).as_deref(), Some("pat_2"));
        assert_eq!(reference(&json!({"metaData": "{\"reference\":\"pat_3\"}"})).as_deref(), Some("pat_3"));
        for other in [json!({}), json!({"metaData": "not json"}), json!({"metaData": "[]"}), json!({"metaData": []}), json!(7)] {
            assert_eq!(reference(&other), None);
        }
    }

    proptest! {
        #[test]
        fn a_date_of_any_letters_never_panics(text in "\\PC{0,40}", digits in "[0-9/:. +TZAPM-]{0,30}") {
            let _ = date(&text);
            let _ = date(&digits);
        }
    }
}
