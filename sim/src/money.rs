//! Money as integers of minor units, and the decimal texts that providers speak. Never a float.

use serde_json::Value;

/// Decimal places of a currency (ISO 4217), 0 to 4; what is not listed has 2.
pub fn exponent(currency: &str) -> u32 {
    match currency.to_ascii_uppercase().as_str() {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "UYI" | "VND" | "VUV" | "XAF" | "XOF"
        | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        "CLF" | "UYW" => 4,
        _ => 2,
    }
}

/// Three capital letters.
pub fn is_currency(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// `1234`, 2 -> `12.34`; the places are always all there.
pub fn decimal(amount_minor: i64, exponent: u32) -> String {
    let places = exponent as usize;
    let digits = format!("{:0>width$}", amount_minor.unsigned_abs(), width = places + 1);
    let (whole, part) = digits.split_at(digits.len() - places);
    let sign = if amount_minor < 0 { "-" } else { "" };
    if places == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{part}") }
}

/// `"12.34"`, 2 -> 1234; more places than the currency has are taken only where they are zeros.
pub fn minor(text: &str, exponent: u32) -> Option<i64> {
    let (is_negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() || !whole.bytes().chain(part.bytes()).all(|byte| byte.is_ascii_digit()) || digits.ends_with('.') {
        return None;
    }
    let places = exponent as usize;
    let (kept, beyond) = part.split_at(part.len().min(places));
    if beyond.bytes().any(|byte| byte != b'0') {
        return None;
    }
    let amount: i64 = format!("{whole}{kept:0<places$}").parse().ok()?;
    Some(if is_negative { -amount } else { amount })
}

/// 1250, 2 -> the JSON number `12.5`, as most providers print it; a text where a number would not hold it exactly.
pub fn number(amount_minor: i64, exponent: u32) -> Value {
    let text = decimal(amount_minor, exponent);
    let short = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    let number = serde_json::from_str(short).ok();
    number.filter(|number| minor_of(number, exponent) == Some(amount_minor)).unwrap_or(Value::String(text))
}

/// An amount in major units as a JSON number or a text of one. A number is read from its shortest text, so no sum is made with it.
pub fn minor_of(value: &Value, exponent: u32) -> Option<i64> {
    match value {
        Value::String(text) => minor(text.trim(), exponent),
        Value::Number(number) => minor(&number.to_string(), exponent),
        _ => None,
    }
}

/// `basis_points` of an amount plus `fixed_minor`, half a unit rounded up; a fee is never more than the amount.
pub fn fee_half_up(amount_minor: i64, basis_points: i64, fixed_minor: i64) -> i64 {
    let share = (i128::from(amount_minor) * i128::from(basis_points) + 5_000).div_euclid(10_000);
    i64::try_from(share).unwrap_or(i64::MAX).saturating_add(fixed_minor).min(amount_minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_come_back_as_the_same_units_in_every_exponent() {
        for exponent in 0..=4 {
            for amount in [0, 1, 9, 10, 99, 100, 12_345, i64::MAX, -1, -12_345] {
                assert_eq!(minor(&decimal(amount, exponent), exponent), Some(amount), "{amount} with {exponent}");
            }
        }
        assert_eq!(decimal(5, 2), "0.05");
        assert_eq!(decimal(-5, 3), "-0.005");
    }

    #[test]
    fn a_text_that_is_no_amount_is_refused() {
        for text in ["", ".", "1.", ".5", "1.2.3", "1e5", "+1", "1,00", "1.005", "99999999999999999999", " 1"] {
            assert_eq!(minor(text, 2), None, "{text}");
        }
        assert_eq!(minor("1.5000", 2), Some(150));
        assert_eq!(minor_of(&serde_json::json!(100.1), 2), Some(10_010));
        assert_eq!(minor_of(&serde_json::json!("100.10"), 2), Some(10_010));
    }

    #[test]
    fn a_fee_rounds_half_up_and_never_eats_more_than_the_payment() {
        assert_eq!(fee_half_up(10_000, 290, 30), 320);
        assert_eq!(fee_half_up(50, 290, 0), 1);
        assert_eq!(fee_half_up(51, 100, 0), 1);
        assert_eq!(fee_half_up(49, 100, 0), 0);
        assert_eq!(fee_half_up(10, 290, 30), 10);
    }
}
