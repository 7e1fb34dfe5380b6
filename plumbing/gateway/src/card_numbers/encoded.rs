//! What escapes hide: backslashes of JSON and percent signs of addresses, one within the other, are undone and looked at.

use super::find_from;
use super::issuers::DIGITS_MIN;

/// How many layers of escapes are undone.
const LAYERS_MAX: usize = 5;

/// Whether there are enough digits for a card number, in whatever script or escape: no escape of a digit is written without
/// a digit, and no digit of another script without one of these bytes. Most texts end here, at a few bytes a nanosecond.
pub(super) fn may_hold(text: &[u8]) -> bool {
    let is_part = |byte: &u8| u8::from(byte.is_ascii_digit() | matches!(byte, 0xD9 | 0xDB | 0xE0 | 0xEF));
    // Sums of a byte each, so that the processor adds many at once.
    let count: usize = text.chunks(255).map(|chunk| usize::from(chunk.iter().map(is_part).sum::<u8>())).sum();
    count >= DIGITS_MIN
}

/// Whether a card number stands in the text as it is or behind escapes.
pub(super) fn holds(text: &[u8]) -> bool {
    if !may_hold(text) {
        return false;
    }
    if find_from(text, 0).is_some() {
        return true;
    }
    let mut layer = plainer(text);
    for _ in 0..LAYERS_MAX {
        match layer {
            Some(text) if find_from(&text, 0).is_some() => return true,
            Some(text) => layer = plainer(&text),
            None => return false,
        }
    }
    false
}

/// The text with one layer of escapes undone; nothing where there is none.
fn plainer(text: &[u8]) -> Option<Vec<u8>> {
    let unescaped = unescaped(text);
    let decoded = percent_decoded(unescaped.as_deref().unwrap_or(text), false);
    decoded.or(unescaped)
}

/// What a JSON string means; nothing where it means what it says. Lenient, because a string may only look like JSON.
pub(super) fn unescaped(text: &[u8]) -> Option<Vec<u8>> {
    let first = text.iter().position(|byte| *byte == b'\\')?;
    let mut out = text[..first].to_vec();
    let mut at = first;
    while at < text.len() {
        if text[at] != b'\\' {
            out.push(text[at]);
            at += 1;
            continue;
        }
        match text.get(at + 1) {
            Some(b'u') if hex4(text, at + 2).is_some() => {
                let high = hex4(text, at + 2).unwrap_or_default();
                at += 6;
                let low = (text.get(at) == Some(&b'\\') && text.get(at + 1) == Some(&b'u')).then(|| hex4(text, at + 2)).flatten();
                let code = match (high, low) {
                    (0xD800..=0xDBFF, Some(low @ 0xDC00..=0xDFFF)) => {
                        at += 6;
                        0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)
                    }
                    _ => high,
                };
                let letter = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
                out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            }
            Some(letter) => {
                out.push(match letter {
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'r' => b'\r',
                    b'b' => 0x08,
                    b'f' => 0x0C,
                    other => *other,
                });
                at += 2;
            }
            None => at += 1,
        }
    }
    Some(out)
}

fn hex4(text: &[u8], at: usize) -> Option<u32> {
    let digits = text.get(at..at + 4)?;
    digits.iter().try_fold(0, |code, digit| Some(code * 16 + char::from(*digit).to_digit(16)?))
}

/// What a part of an address means, in a form with `+` for a space; nothing where it means what it says.
pub(super) fn percent_decoded(text: &[u8], is_form: bool) -> Option<Vec<u8>> {
    let hex = |at: usize| text.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let escape = |at: usize| (text[at] == b'%').then(|| Some((hex(at + 1)? * 16 + hex(at + 2)?) as u8)).flatten();
    let first = (0..text.len()).find(|at| escape(*at).is_some() || is_form && text[*at] == b'+')?;
    let mut out = text[..first].to_vec();
    let mut at = first;
    while at < text.len() {
        match (escape(at), text[at]) {
            (Some(byte), _) => {
                out.push(byte);
                at += 2;
            }
            (None, b'+') if is_form => out.push(b' '),
            (None, other) => out.push(other),
        }
        at += 1;
    }
    Some(out)
}

/// The text for a form or a query, escaped.
pub(super) fn percent_encoded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*' => out.push(*byte),
            b' ' => out.push(b'+'),
            other => out.extend_from_slice(format!("%{other:02X}").as_bytes()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_and_what_has_none_is_left_alone() {
        assert_eq!(unescaped(br#"a\n\u0034\"\/\ud83d\ude00\q"#).unwrap(), "a\n4\"/😀q".as_bytes());
        assert_eq!(unescaped(b"plain"), None);
        assert_eq!(unescaped(br"\").unwrap(), b"");
        assert_eq!(percent_decoded(b"a%20b+c%zz%4", true).unwrap(), b"a b c%zz%4");
        assert_eq!(percent_decoded(b"a+b%", false), None);
        assert_eq!(percent_decoded(&percent_encoded("J+ß 1".as_bytes()), true).unwrap(), "J+ß 1".as_bytes());
    }

    #[test]
    fn a_number_is_found_behind_every_mixture_of_escapes() {
        let number = "4242424242424242";
        let percent: String = number.chars().map(|digit| format!("%3{digit}")).collect();
        let unicode: String = number.chars().map(|digit| format!("\\u003{digit}")).collect();
        for text in [
            number.to_owned(),
            format!("\\n{number}"),
            format!("a%20{number}"),
            percent.replace('%', "%25"),
            percent.replace('%', "\\u0025"),
            unicode.replace('\\', "\\\\"),
            unicode.replace('\\', "\\\\\\\\"),
            unicode.replace('\\', "%5C"),
            percent,
            unicode,
        ] {
            assert!(holds(text.as_bytes()), "{text}");
            assert!(!holds(text.replace('4', "9").as_bytes()), "another number: {text}");
        }
    }

    #[test]
    fn few_digits_are_not_looked_at() {
        assert!(!may_hold(b"0123456789 abc"));
        assert!(may_hold("\u{ff14}".repeat(14).as_bytes()) && may_hold(&b"%34".repeat(7)));
        assert!(may_hold(&[b"x".repeat(5_000).as_slice(), b"12345678901234"].concat()));
    }
}
