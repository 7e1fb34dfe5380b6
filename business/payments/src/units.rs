//! Providers' amounts and ours: minor units, decimal texts and JSON numbers, converted exactly or not at all. Never a float.
//!
//! JSON is read with [`exact`], which keeps every number as the text that was sent; [`decimal`] and [`Exact`] write.

use std::collections::HashMap;

use kernel::{Currency, Money};
use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// Decimal places that any amount is read with: more are no money.
const PLACES_MAX: u32 = 30;

/// `1234` with 2 places is `12.34`: all the places are always there, and none without a point.
pub(crate) fn decimal(amount_minor: i64, places: u32) -> String {
    let width = places as usize;
    let digits = format!("{:0>least$}", amount_minor.unsigned_abs(), least = width + 1);
    let (whole, part) = digits.split_at(digits.len() - width);
    let sign = if amount_minor < 0 { "-" } else { "" };
    if part.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{part}") }
}

/// An amount in the major units of its own currency: `12.34` for 1234 EUR cents.
pub(crate) fn major(amount: Money) -> String {
    decimal(amount.amount_minor, amount.currency.exponent())
}

/// `"12.34"` with 2 places is 1234. Further places are taken only where they are zeros; an exponent, as some JSON writers
/// put it (`1.0E7`), is understood. None for everything else, separators and more than 64 bits included.
pub(crate) fn minor(text: &str, places: u32) -> Option<i64> {
    let (is_negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (mantissa, power) = match rest.split_once(['e', 'E']) {
        Some((mantissa, power)) => (mantissa, power.strip_prefix('+').unwrap_or(power).parse::<i32>().ok()?),
        None => (rest, 0),
    };
    let (whole, part) = mantissa.split_once('.').map_or((mantissa, None), |(whole, part)| (whole, Some(part)));
    let is_digits = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !part.is_none_or(is_digits) || places > PLACES_MAX || power.unsigned_abs() > PLACES_MAX {
        return None;
    }
    let part = part.unwrap_or_default();
    // The digits without a point are the amount shifted by so many places.
    let shift = i64::from(places) + i64::from(power) - i64::try_from(part.len()).ok()?;
    let digits = format!("{whole}{part}");
    let digits = if shift < 0 {
        let kept = digits.len().saturating_sub(usize::try_from(-shift).ok()?);
        let (kept, beyond) = digits.split_at(kept);
        if beyond.bytes().any(|byte| byte != b'0') {
            return None;
        }
        if kept.is_empty() { "0".to_owned() } else { kept.to_owned() }
    } else {
        format!("{digits}{}", "0".repeat(usize::try_from(shift).ok()?))
    };
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Some(0);
    }
    format!("{}{digits}", if is_negative { "-" } else { "" }).parse().ok()
}

/// Units with `from` places as units with `to` places: 5 with 0 is 500 with 2. None where something would be lost.
pub(crate) fn rescale(amount: i64, from: u32, to: u32) -> Option<i64> {
    let factor = 10_i64.checked_pow(from.abs_diff(to))?;
    if to >= from { amount.checked_mul(factor) } else { (amount % factor == 0).then(|| amount / factor) }
}

/// JSON in which every number is the text that was sent, so that no digit of it passes through a float; None for what is not JSON.
pub(crate) fn exact(json: &[u8]) -> Option<Value> {
    let mut quoted = Vec::with_capacity(json.len() + json.len() / 8);
    let (mut at, mut is_inside) = (0, false);
    while let Some(&byte) = json.get(at) {
        let end = match byte {
            b'\\' if is_inside => (at + 2).min(json.len()),
            b'"' => {
                is_inside = !is_inside;
                at + 1
            }
            b'-' | b'0'..=b'9' if !is_inside => {
                let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-');
                let end = at + json[at..].iter().take_while(|byte| is_part(byte)).count();
                // What is no number stays as it is, and the reader below refuses it.
                if serde_json::from_slice::<&RawValue>(&json[at..end]).is_ok() {
                    quoted.push(b'"');
                    quoted.extend_from_slice(&json[at..end]);
                    quoted.push(b'"');
                    at = end;
                    continue;
                }
                end
            }
            _ => at + 1,
        };
        quoted.extend_from_slice(&json[at..end]);
        at = end;
    }
    serde_json::from_slice(&quoted).ok()
}

/// The elements of a JSON array, or of that under `field` of an object, unread, so that a long one is read element by element;
/// None for anything else.
pub(crate) fn elements<'a>(json: &'a [u8], field: &str) -> Option<Vec<&'a RawValue>> {
    if json.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
        return serde_json::from_slice(json).ok();
    }
    let fields: HashMap<std::borrow::Cow<'a, str>, &'a RawValue> = serde_json::from_slice(json).ok()?;
    serde_json::from_str(fields.get(field)?.get()).ok()
}

/// A number or text of [`exact`] JSON in units with so many places; None where it is missing or not exactly that.
pub(crate) fn minor_of(value: &Value, places: u32) -> Option<i64> {
    match value {
        Value::String(text) => minor(text.trim(), places),
        // JSON that was read otherwise: whole numbers are still exact.
        Value::Number(number) => number.as_i64().and_then(|units| rescale(units, 0, places)),
        _ => None,
    }
}

/// Major units and a currency of [`exact`] JSON as money; the currency in letters of any size.
pub(crate) fn money(major: &Value, currency: &Value) -> Option<Money> {
    let currency = currency_of(currency)?;
    Some(Money::new(minor_of(major, currency.exponent())?, currency))
}

/// A currency in letters of any size.
pub(crate) fn currency_of(value: &Value) -> Option<Currency> {
    Currency::parse(&value.as_str()?.to_ascii_uppercase()).ok()
}

/// A decimal text that is written as a JSON number with exactly these digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exact(pub(crate) String);

impl Serialize for Exact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.0.clone()).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    proptest! {
        #[test]
        fn an_amount_written_as_a_decimal_is_read_as_the_same_amount(amount: i64, places in 0_u32..=18) {
            prop_assert_eq!(minor(&decimal(amount, places), places), Some(amount));
        }

        #[test]
        fn a_number_in_json_keeps_every_digit_as_a_number_and_as_a_text(amount: i64, places in 0_u32..=4) {
            #[derive(serde::Serialize)]
            struct Body { amount: Exact }
            let body = serde_json::to_vec(&Body { amount: Exact(decimal(amount, places)) }).unwrap();
            prop_assert!(!body.windows(2).any(|two| two == b":\""), "it is written as a number");
            prop_assert_eq!(minor_of(&exact(&body).unwrap()["amount"], places), Some(amount));
            let text = json!({"amount": decimal(amount, places)}).to_string();
            prop_assert_eq!(minor_of(&exact(text.as_bytes()).unwrap()["amount"], places), Some(amount));
        }

        #[test]
        fn zeros_at_the_end_change_nothing_and_other_digits_are_never_dropped(
            amount: i64, places in 0_u32..=4, zeros in 0_usize..10, digit in 1_u8..=9,
        ) {
            let text = decimal(amount, places);
            let point = if places == 0 { "." } else { "" };
            prop_assert_eq!(minor(&format!("{text}{point}0{}", "0".repeat(zeros)), places), Some(amount));
            prop_assert_eq!(minor(&format!("{text}{point}{}{digit}", "0".repeat(zeros)), places), None);
        }

        #[test]
        fn an_exponent_moves_the_point(mantissa in 0_i64..1_000_000_000, places in 0_u32..=4, power in 0_u32..=6) {
            let expected = mantissa * 10_i64.pow(power);
            prop_assert_eq!(minor(&format!("{}E{power}", decimal(mantissa, places)), places), Some(expected));
            prop_assert_eq!(minor(&format!("{}e-{power}", decimal(expected, places)), places), Some(mantissa));
        }

        #[test]
        fn rescaling_there_and_back_changes_nothing(amount in -1_000_000_000_000_i64..1_000_000_000_000, from in 0_u32..=4, to in 0_u32..=4) {
            if let Some(there) = rescale(amount, from, to) {
                prop_assert_eq!(rescale(there, to, from), Some(amount));
            } else {
                prop_assert!(to < from);
            }
        }

        #[test]
        fn whatever_is_read_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in ".{0,40}", places in 0_u32..=40) {
            let _ = exact(&bytes);
            let _ = exact(text.as_bytes());
            let _ = minor(&text, places);
        }

        #[test]
        fn json_that_holds_no_number_is_read_as_by_everybody(text in "[a-z0-9.\\\\\"{}\\[\\], -]{0,40}") {
            let json = json!({"key 1": [text, null, true, {"e": "-1.5"}]});
            prop_assert_eq!(exact(json.to_string().as_bytes()), Some(json));
        }
    }

    /// Any JSON, and the same with its numbers as texts.
    fn both() -> impl Strategy<Value = (Value, Value)> {
        let leaf = prop_oneof![
            any::<i64>().prop_map(|number| (json!(number), json!(number.to_string()))),
            "[ -~]{0,12}".prop_map(|text| (json!(text), json!(text))),
            Just((Value::Null, Value::Null)),
            any::<bool>().prop_map(|is_so| (json!(is_so), json!(is_so))),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            let list = proptest::collection::vec(inner.clone(), 0..5).prop_map(|list| {
                let (plain, exact): (Vec<_>, Vec<_>) = list.into_iter().unzip();
                (Value::Array(plain), Value::Array(exact))
            });
            let fields = proptest::collection::btree_map("[ -~]{0,8}", inner, 0..5).prop_map(|fields| {
                let plain = fields.iter().map(|(name, (plain, _))| (name.clone(), plain.clone())).collect();
                let exact = fields.into_iter().map(|(name, (_, exact))| (name, exact)).collect();
                (Value::Object(plain), Value::Object(exact))
            });
            prop_oneof![list, fields]
        })
    }

    proptest! {
        #[test]
        fn nothing_but_the_numbers_is_read_otherwise((plain, expected) in both()) {
            prop_assert_eq!(exact(plain.to_string().as_bytes()), Some(expected.clone()));
            prop_assert_eq!(exact(&serde_json::to_vec_pretty(&plain).unwrap()), Some(expected));
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in
            ["", ".", "1.", ".5", "1.2.3", "+1", "1,00", "1.005", "99999999999999999999", "1e", "e1", "1e400", "--1", "0x1", "NaN", "1 "]
        {
            assert_eq!(minor(text, 2), None, "{text}");
        }
        assert_eq!(minor("-0.00", 2), Some(0));
        assert_eq!(minor("1.0E7", 2), Some(1_000_000_000));
        assert_eq!(minor("9223372036854775807", 0), Some(i64::MAX));
        assert_eq!(minor("-9223372036854775808", 0), Some(i64::MIN));
        assert_eq!(rescale(5, 0, 2), Some(500));
        assert_eq!(rescale(505, 2, 0), None);
        assert_eq!(rescale(i64::MAX, 0, 2), None);
    }

    #[test]
    fn what_is_not_json_is_none() {
        for text in ["", "{", "{\"a\":1", "{\"a\":01}", "{\"a\":1-2}", "{\"a\":-}", "<html>", "\"a", "{\"a\":\"\\", "[1,]", "1 2"] {
            assert_eq!(exact(text.as_bytes()), None, "{text}");
        }
        let deep = "[".repeat(100_000);
        assert_eq!(exact(deep.as_bytes()), None);
        assert_eq!(exact(br#"{"a":-1.50,"b\"2":"3"}"#), Some(json!({"a": "-1.50", "b\"2": "3"})));
    }

    #[test]
    fn a_list_is_taken_apart_without_being_read() {
        let told = |json: &[u8]| elements(json, "data").map(|list| list.into_iter().map(|raw| raw.get().to_owned()).collect::<Vec<_>>());
        let two = Some(vec!["{\"a\":1.10}".to_owned(), "2".to_owned()]);
        assert_eq!(told(b" [{\"a\":1.10}, 2]"), two);
        assert_eq!(told(b"{\"x\":[1],\"data\":[{\"a\":1.10}, 2]}"), two);
        for broken in [&b"{}"[..], b"{\"data\":5}", b"[1", b"5", b"", b"[1]x", b"\xff"] {
            assert_eq!(told(broken), None);
        }
    }

    #[test]
    fn money_is_read_with_the_places_of_its_currency() {
        assert_eq!(money(&json!("1.234"), &json!("kwd")), Some(Money::new(1_234, Currency::parse("KWD").unwrap())));
        assert_eq!(money(&json!("1.5"), &json!("JPY")), None);
        assert_eq!(money(&json!(5), &json!("EUR")), Some(Money::new(500, Currency::parse("EUR").unwrap())));
        assert_eq!(money(&json!("1"), &json!("euro")), None);
        assert_eq!(major(Money::new(-5, Currency::parse("EUR").unwrap())), "-0.05");
    }
}
