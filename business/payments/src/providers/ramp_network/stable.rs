//! JSON as `fast-json-stable-stringify` writes it after JavaScript has read it: names sorted, no blanks, numbers as JavaScript prints
//! them. Amounts pass through the same double-precision number that the signer had; nothing is calculated with it.

use std::collections::HashMap;

use serde_json::value::RawValue;

/// Nested deeper than this is no webhook.
const DEPTH_MAX: usize = 32;

/// The stable form; None for what is not JSON, or nested too deep.
pub(super) fn stringify(json: &[u8]) -> Option<String> {
    let mut out = String::with_capacity(json.len());
    write(serde_json::from_slice(json).ok()?, DEPTH_MAX, &mut out)?;
    Some(out)
}

fn write(value: &RawValue, depth: usize, out: &mut String) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    let json = value.get();
    match json.as_bytes().first()? {
        b'{' => {
            // Of two members of one name the last counts, as everywhere.
            let members: HashMap<String, &RawValue> = serde_json::from_str(json).ok()?;
            let mut members: Vec<_> = members.into_iter().collect();
            members.sort_by(|(one, _), (other, _)| one.encode_utf16().cmp(other.encode_utf16()));
            out.push('{');
            for (place, (name, member)) in members.into_iter().enumerate() {
                out.push_str(if place == 0 { "" } else { "," });
                out.push_str(&serde_json::to_string(&name).ok()?);
                out.push(':');
                write(member, depth, out)?;
            }
            out.push('}');
        }
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(json).ok()?;
            out.push('[');
            for (place, item) in items.into_iter().enumerate() {
                out.push_str(if place == 0 { "" } else { "," });
                write(item, depth, out)?;
            }
            out.push(']');
        }
        // Escapes are those of JavaScript, whichever were sent.
        b'"' => out.push_str(&serde_json::to_string(&serde_json::from_str::<String>(json).ok()?).ok()?),
        b'-' | b'0'..=b'9' => out.push_str(&number(json)?),
        _ => out.push_str(json),
    }
    Some(())
}

/// `Number.prototype.toString` (ECMA-262): the fewest digits that are read back as the same number, with an exponent from 1e21 on
/// and below 1e-6. What is too large is read as infinity, which is written as null.
fn number(json: &str) -> Option<String> {
    let value: f64 = json.parse().ok()?;
    if !value.is_finite() {
        return Some("null".to_owned());
    }
    let shortest = format!("{value:e}");
    let (mantissa, power) = shortest.split_once('e')?;
    let power: i32 = power.parse().ok()?;
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let digits = mantissa.replace('.', "");
    if digits == "0" {
        return Some("0".to_owned());
    }
    // The value is 0.digits times ten to the power of `point`.
    let point = power + 1;
    let count = i32::try_from(digits.len()).ok()?;
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or_default());
    Some(match point {
        1..=21 if count <= point => format!("{sign}{digits}{}", zeros(point - count)),
        1..=21 => {
            let (whole, part) = digits.split_at(usize::try_from(point).ok()?);
            format!("{sign}{whole}.{part}")
        }
        -5..=0 => format!("{sign}0.{}{digits}", zeros(-point)),
        _ => {
            let (first, rest) = digits.split_at(1);
            let (dot, plus) = (if rest.is_empty() { "" } else { "." }, if power < 0 { "" } else { "+" });
            format!("{sign}{first}{dot}{rest}e{plus}{power}")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_written_as_javascript_prints_them() {
        // Each right side is what `String(JSON.parse(left))` gives.
        for (json, javascript) in [
            ("0", "0"),
            ("-0", "0"),
            ("-0.0", "0"),
            ("1.0", "1"),
            ("100.50", "100.5"),
            ("1e2", "100"),
            ("0.1", "0.1"),
            ("0.30000000000000004", "0.30000000000000004"),
            ("0.000001", "0.000001"),
            ("0.0000001", "1e-7"),
            ("1.25e-9", "1.25e-9"),
            ("123456789012345680000", "123456789012345680000"),
            ("9007199254740993", "9007199254740992"),
            ("1e21", "1e+21"),
            ("-1.5e300", "-1.5e+300"),
            ("5e-324", "5e-324"),
            ("1e400", "null"),
            ("1.7976931348623157e308", "1.7976931348623157e+308"),
        ] {
            assert_eq!(stringify(json.as_bytes()).as_deref(), Some(javascript), "{json}");
        }
    }

    #[test]
    fn names_are_sorted_by_utf_16_units_blanks_vanish_and_escapes_are_those_of_javascript() {
        let sent =
            "{ \"b\" : [ 1 , {\"z\":null,\"a\":true} ],\n \"\\u0061\":\"\\u00e4\\/\\u0001\\n\\u2028\", \"\u{ffff}\":2,\"\u{10000}\":1 }";
        let signed = "{\"a\":\"ä/\\u0001\\n\u{2028}\",\"b\":[1,{\"a\":true,\"z\":null}],\"\u{10000}\":1,\"\u{ffff}\":2}";
        assert_eq!(stringify(sent.as_bytes()).as_deref(), Some(signed));
        assert_eq!(stringify(br#"{"a":1,"a":2}"#).as_deref(), Some(r#"{"a":2}"#));
        assert_eq!(stringify(b"{}").as_deref(), Some("{}"));
        assert_eq!(stringify(b" [] ").as_deref(), Some("[]"));
    }

    #[test]
    fn what_is_not_json_or_too_deep_has_no_stable_form() {
        for bytes in [&b""[..], b"{", b"{a:1}", b"01", b"\xff", b"{} {}", b"\"\\ud800\"", b"nul"] {
            assert_eq!(stringify(bytes), None);
        }
        assert_eq!(stringify("[".repeat(100_000).as_bytes()), None);
        assert!(stringify(format!("{}{}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX)).as_bytes()).is_some());
        assert_eq!(stringify(format!("{}{}", "[".repeat(DEPTH_MAX + 1), "]".repeat(DEPTH_MAX + 1)).as_bytes()), None);
    }

    proptest! {
        #[test]
        fn a_number_is_read_back_as_the_same_number(bits: u64) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite() && value.to_bits() != (-0.0_f64).to_bits());
            let written = stringify(format!("{value:e}").as_bytes()).unwrap();
            prop_assert_eq!(written.parse::<f64>().unwrap().to_bits(), bits, "{}", written);
        }

        #[test]
        fn the_stable_form_is_stable_and_whatever_comes_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "[\\[\\]{}\":,0-9a-z.\\\\ -]{0,60}") {
            for bytes in [&bytes[..], text.as_bytes()] {
                if let Some(once) = stringify(bytes) {
                    prop_assert_eq!(stringify(once.as_bytes()), Some(once.clone()));
                }
            }
        }
    }
}
