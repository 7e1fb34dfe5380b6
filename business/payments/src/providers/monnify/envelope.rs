//! Monnify's envelope: what was done, and what was refused with whatever status.

use serde_json::Value;

use crate::provider::{ErrorClass, Failure};
use crate::providers::answers::{cut, text};
use crate::units;

/// Refusals by Monnify's code (UNVERIFIED beside 99, which stands for many); what is not listed is a request that cannot be right.
const REFUSALS: &[(&str, ErrorClass)] =
    &[("D01", ErrorClass::SetUp), ("D04", ErrorClass::SetUp), ("R2", ErrorClass::NotSupported), ("R3", ErrorClass::NotSupported)];

/// A refusal in our words.
pub(super) fn refused(class: ErrorClass, code: &str) -> Failure {
    Failure::Refused { class, code: code.to_owned() }
}

/// What Monnify answered inside its envelope.
pub(super) enum Said {
    /// The body.
    Yes(Value),
    /// Its code and its words: it did nothing.
    No { code: String, words: String },
}

impl Said {
    /// Whether it refused because our reference is known already.
    pub(super) fn is_duplicate(words: &str) -> bool {
        let words = words.to_ascii_lowercase();
        words.contains("duplicate") || words.contains("already exist") || words.contains("exists already")
    }
}

/// Reads the envelope: a refusal may come with any status below 500, 200 among them.
pub(super) fn envelope(status: u16, bytes: &[u8]) -> Result<Said, Failure> {
    if status == 429 {
        return Err(refused(ErrorClass::RateLimited, "429"));
    }
    if status >= 500 {
        return Err(Failure::unknown(format!("status {status}")));
    }
    let Some(mut body) = units::exact(bytes).filter(|body| body["requestSuccessful"].is_boolean()) else {
        return Err(match status {
            401 | 403 => refused(ErrorClass::SetUp, "credentials_refused"),
            _ => Failure::unknown(format!("an answer with status {status} that is not Monnify's")),
        });
    };
    let is_success = body["requestSuccessful"] == Value::Bool(true);
    match status {
        200..=299 if is_success => Ok(Said::Yes(body["responseBody"].take())),
        401 | 403 => Err(refused(ErrorClass::SetUp, "credentials_refused")),
        200..=299 | 400..=499 if !is_success => {
            let code = cut(text(&body, "/responseCode").unwrap_or("no_code"));
            Ok(Said::No { code, words: cut(text(&body, "/responseMessage").unwrap_or_default()) })
        }
        _ => Err(Failure::unknown(format!("an answer with status {status} that contradicts itself"))),
    }
}

/// A refusal in Monnify's words.
pub(super) fn refusal(code: &str, words: &str) -> Failure {
    let class = REFUSALS.iter().find(|(known, _)| *known == code).map_or(ErrorClass::InvalidRequest, |(_, class)| *class);
    Failure::Refused { class, code: cut(&format!("{code}: {words}")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn class_of(status: u16, body: &Value) -> Option<ErrorClass> {
        match envelope(status, body.to_string().as_bytes()) {
            Ok(Said::No { code, words }) => match refusal(&code, &words) {
                Failure::Refused { class, .. } => Some(class),
                _ => None,
            },
            Err(Failure::Refused { class, .. }) => Some(class),
            _ => None,
        }
    }

    #[test]
    fn a_failure_inside_a_status_of_success_is_a_refusal_and_a_broken_answer_is_not() {
        let no = |code: &str| json!({"requestSuccessful": false, "responseCode": code, "responseMessage": "no"});
        assert_eq!(class_of(200, &no("99")), Some(ErrorClass::InvalidRequest));
        assert_eq!(class_of(422, &no("D01")), Some(ErrorClass::SetUp));
        assert_eq!(class_of(404, &no("R3")), Some(ErrorClass::NotSupported));
        assert_eq!(class_of(401, &no("99")), Some(ErrorClass::SetUp));
        assert_eq!(class_of(403, &json!("blocked")), Some(ErrorClass::SetUp));
        assert_eq!(class_of(429, &no("99")), Some(ErrorClass::RateLimited));
        for (status, body) in [(500, no("99")), (502, json!("bad")), (200, json!({})), (200, json!([])), (302, no("99")), (404, json!("x"))]
        {
            assert!(matches!(envelope(status, body.to_string().as_bytes()), Err(Failure::Unknown { .. })), "{status} {body}");
        }
        assert!(matches!(envelope(200, b"<html>"), Err(Failure::Unknown { .. })));
        assert!(matches!(envelope(400, &serde_json::to_vec(&json!({"requestSuccessful": true})).unwrap()), Err(Failure::Unknown { .. })));
    }

    #[test]
    fn a_reference_that_is_used_is_known_by_the_words() {
        for words in ["Duplicate payment reference", "A disbursement with this reference exists already", "Refund already exists"] {
            assert!(Said::is_duplicate(words), "{words}");
        }
        assert!(!Said::is_duplicate("Refund amount is more than what is left"));
    }
}
