//! What every adapter does with an answer: read it exactly, keep the provider's words short, and take one or many.

use serde_json::Value;

use crate::client::Answer;
use crate::provider::{Failure, WebhookError};
use crate::units;

/// Bytes of a provider's words that are kept, for operators.
const WORDS_BYTES_MAX: usize = 200;

/// The body as JSON whose numbers are the texts that were sent. What cannot be read leaves the outcome unknown.
pub(crate) fn body(answer: &Answer) -> Result<Value, Failure> {
    units::exact(&answer.body).ok_or_else(|| Failure::unknown(format!("an answer with status {} that is not JSON", answer.status)))
}

/// The same for the body of a webhook.
pub(crate) fn webhook_body(body: &[u8]) -> Result<Value, WebhookError> {
    units::exact(body).filter(Value::is_object).ok_or_else(|| WebhookError::Unreadable("the body is not a JSON object".to_owned()))
}

/// A provider's words, cut to 200 bytes, without control characters and card numbers: they are kept for ever.
pub(crate) fn cut(words: &str) -> String {
    let words = gateway::card_numbers::redact(words);
    let mut kept = String::with_capacity(words.len().min(WORDS_BYTES_MAX));
    for letter in words.chars().filter(|letter| !letter.is_control()) {
        if kept.len() + letter.len_utf8() > WORDS_BYTES_MAX {
            break;
        }
        kept.push(letter);
    }
    kept
}

/// The first `bytes_max` bytes of a text of ours, at a letter's end.
pub(crate) fn at_most(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// A text that is not empty.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// The same as a text of one's own.
pub(crate) fn owned(value: &Value, pointer: &str) -> Option<String> {
    text(value, pointer).map(str::to_owned)
}

/// The members of an array, or the thing itself where it stands alone; nothing for null.
pub(crate) fn one_or_many(value: &Value) -> &[Value] {
    match value {
        Value::Array(many) => many,
        Value::Null => &[],
        one => std::slice::from_ref(one),
    }
}

/// A part of a path or query, percent-encoded: nothing that a provider or a caller wrote reaches another address by it.
pub(crate) fn part(text: &str) -> String {
    // Nothing climbs out of its folder: dots alone are no identifier.
    if text.bytes().all(|byte| byte == b'.') {
        return "-".to_owned();
    }
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn words_are_cut_at_a_letter_and_hold_no_control_character(words in "\\PC{0,300}|[\\x00-\\x20é]{0,400}") {
            let kept = cut(&words);
            prop_assert!(kept.len() <= WORDS_BYTES_MAX && !kept.chars().any(char::is_control));
            prop_assert!(at_most(&words, 22).len() <= 22 && words.starts_with(at_most(&words, 22)));
        }

        #[test]
        fn a_part_of_a_path_cannot_leave_it(text in "[/?#%.&= a-z|é\\n]{1,20}") {
            let part = part(&text);
            prop_assert!(!part.is_empty() && part != "." && part != "..");
            prop_assert!(part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~%".contains(&byte)));
        }
    }

    #[test]
    fn one_stands_for_many() {
        use serde_json::json;
        assert_eq!(one_or_many(&json!([1, 2])).len(), 2);
        assert_eq!(one_or_many(&json!({"a": 1})).len(), 1);
        assert!(one_or_many(&Value::Null).is_empty());
    }
}
