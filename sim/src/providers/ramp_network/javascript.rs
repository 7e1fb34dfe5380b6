//! JSON as JavaScript prints it: what Ramp Network sends, and the form that it signs (`fast-json-stable-stringify`).

use serde_json::{Number, Value};

/// In which order the fields of an object are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// By their UTF-16 units: the form that is signed.
    Sorted,
    /// The other way round, with blanks: a form that is not the one signed, for the wire.
    Reversed,
}

/// Writes a value.
pub(super) fn write(value: &Value, order: Order, out: &mut String) {
    let (comma, colon) = if order == Order::Sorted { (",", ":") } else { (", ", ": ") };
    match value {
        Value::Object(fields) => {
            let mut names: Vec<_> = fields.keys().collect();
            names.sort_by(|one, other| one.encode_utf16().cmp(other.encode_utf16()));
            if order == Order::Reversed {
                names.reverse();
            }
            out.push('{');
            for (place, name) in names.into_iter().enumerate() {
                out.push_str(if place == 0 { "" } else { comma });
                // A text's JSON is the same in JavaScript.
                out.push_str(&Value::String(name.clone()).to_string());
                out.push_str(colon);
                write(&fields[name], order, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (place, item) in items.iter().enumerate() {
                out.push_str(if place == 0 { "" } else { comma });
                write(item, order, out);
            }
            out.push(']');
        }
        Value::Number(number) => out.push_str(&print(number)),
        other => out.push_str(&other.to_string()),
    }
}

/// A number as `Number.prototype.toString` prints it (ECMA-262): the shortest digits, an exponent below 1e-6 and from 1e21 on.
fn print(number: &Number) -> String {
    // JavaScript has no whole numbers beside its doubles.
    let text = number.as_f64().and_then(Number::from_f64).map_or_else(|| number.to_string(), |double| double.to_string());
    let (sign, text) = text.strip_prefix('-').map_or(("", text.as_str()), |rest| ("-", rest));
    let (digits, power) = text.split_once(['e', 'E']).map_or((text, 0), |(digits, power)| (digits, power.parse().unwrap_or(0)));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{whole}{part}");
    let zeros = all.len() - all.trim_start_matches('0').len();
    let digits = all.trim_start_matches('0').trim_end_matches('0');
    if digits.is_empty() {
        return "0".to_owned();
    }
    // The value is 0.digits times ten to the power of `point`.
    let point = power + whole.len() as i64 - zeros as i64;
    let count = digits.len() as i64;
    let zeros = |count: i64| "0".repeat(usize::try_from(count).unwrap_or(0));
    if (1..=21).contains(&point) {
        if count <= point {
            return format!("{sign}{digits}{}", zeros(point - count));
        }
        let (whole, part) = digits.split_at(usize::try_from(point).unwrap_or(0));
        return format!("{sign}{whole}.{part}");
    }
    if (-5..=0).contains(&point) {
        return format!("{sign}0.{}{digits}", zeros(-point));
    }
    let (first, rest) = digits.split_at(1);
    let dot = if rest.is_empty() { "" } else { "." };
    let power = point - 1;
    let plus = if power < 0 { "" } else { "+" };
    format!("{sign}{first}{dot}{rest}e{plus}{power}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_are_printed_as_javascript_prints_them() {
        // Each right side is what `String(Number(left))` gives.
        for (json, javascript) in [
            ("0", "0"),
            ("-0.0", "0"),
            ("1", "1"),
            ("100.0", "100"),
            ("100.50", "100.5"),
            ("1e2", "100"),
            ("0.1", "0.1"),
            ("0.00001", "0.00001"),
            ("0.000001", "0.000001"),
            ("0.0000001", "1e-7"),
            ("0.00000012", "1.2e-7"),
            ("1e16", "10000000000000000"),
            ("12345678901234567890", "12345678901234567000"),
            ("1e20", "100000000000000000000"),
            ("1e21", "1e+21"),
            ("1.5e300", "1.5e+300"),
            ("-2.5e-9", "-2.5e-9"),
            ("1999.99", "1999.99"),
            ("9007199254740991", "9007199254740991"),
        ] {
            let value: Value = serde_json::from_str(json).unwrap();
            let mut text = String::new();
            write(&value, Order::Sorted, &mut text);
            assert_eq!(text, javascript, "{json}");
        }
    }

    #[test]
    fn fields_are_sorted_by_utf_16_units_at_every_depth_and_texts_are_escaped() {
        let value = json!({"b": [{"z": 1, "a": null}], "a": "line\n\u{1}\"", "ä": true, "\u{10000}": 1, "\u{ffff}": 2});
        let mut text = String::new();
        write(&value, Order::Sorted, &mut text);
        // A character beyond the first plane sorts by its surrogates, before U+FFFF.
        assert_eq!(text, "{\"a\":\"line\\n\\u0001\\\"\",\"b\":[{\"a\":null,\"z\":1}],\"ä\":true,\"\u{10000}\":1,\"\u{ffff}\":2}");
        let mut wire = String::new();
        write(&value, Order::Reversed, &mut wire);
        assert_ne!(wire, text);
        assert_eq!(serde_json::from_str::<Value>(&wire).unwrap(), value);
    }
}
