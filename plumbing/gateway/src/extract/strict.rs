//! One pass over a JSON body that refuses what serde would let through: a key twice in one object, NUL in any text.

use std::collections::HashSet;
use std::fmt;

use http::StatusCode;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::Problem;

/// Passes a document without duplicates and NUL, or says what and where; nesting is bounded by serde_json (128).
pub(super) fn check(bytes: &[u8]) -> Result<(), Problem> {
    let mut walk = Walk { path: String::new(), found: None };
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let outcome = Step(&mut walk).deserialize(&mut json).and_then(|()| json.end());
    match (walk.found, outcome) {
        (Some((field, message)), _) => Err(Problem::invalid_field(field, message)),
        (None, Ok(())) => Ok(()),
        (None, Err(error)) => {
            Err(Problem::new(StatusCode::BAD_REQUEST, "malformed_json").with_detail(format!("the body is not JSON: {error}")))
        }
    }
}

struct Walk {
    path: String,
    found: Option<(String, &'static str)>,
}

struct Step<'w>(&'w mut Walk);

impl Step<'_> {
    fn refuse<E: Error>(&mut self, message: &'static str) -> E {
        self.0.found = Some((self.0.path.clone(), message));
        E::custom(message)
    }
}

impl<'de> DeserializeSeed<'de> for Step<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Step<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E: Error>(mut self, text: &str) -> Result<(), E> {
        if text.contains('\0') { Err(self.refuse("must not contain the NUL character")) } else { Ok(()) }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let length = self.0.path.len();
        let mut index = 0_usize;
        loop {
            self.0.path.push_str(&format!("[{index}]"));
            if items.next_element_seed(Step(&mut *self.0))?.is_none() {
                self.0.path.truncate(length);
                return Ok(());
            }
            self.0.path.truncate(length);
            index += 1;
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<(), A::Error> {
        let length = self.0.path.len();
        let mut seen = HashSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            if length > 0 {
                self.0.path.push('.');
            }
            self.0.path.push_str(&key.replace('\0', "\u{fffd}"));
            if key.contains('\0') {
                return Err(self.refuse("the name must not contain the NUL character"));
            }
            if !seen.insert(key) {
                return Err(self.refuse("was given more than once"));
            }
            entries.next_value_seed(Step(&mut *self.0))?;
            self.0.path.truncate(length);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(json: &str) -> (String, String) {
        let problem = check(json.as_bytes()).unwrap_err();
        let field = &problem.fields()[0];
        (field.field.clone(), field.message.clone())
    }

    #[test]
    fn nul_is_refused_wherever_it_hides_and_the_field_is_named() {
        assert_eq!(refused(r#"{"a": {"b": ["x", "y\u0000"]}}"#).0, "a.b[1]");
        assert_eq!(refused(r#"{"a\u0000": 1}"#).0, "a\u{fffd}");
        assert!(check(br#"{"a": "\\u0000"}"#).is_ok(), "an escaped backslash is no NUL");
    }

    #[test]
    fn a_key_may_stand_only_once_in_one_object() {
        assert_eq!(refused(r#"{"a": 1, "b": {"c": 1, "c": 2}}"#), ("b.c".to_owned(), "was given more than once".to_owned()));
        assert_eq!(refused(r#"{"a": 1, "\u0061": 2}"#).0, "a");
        assert!(check(br#"[{"a": 1}, {"a": 1}, null, true, 1.5, -3]"#).is_ok());
    }

    #[test]
    fn a_deeply_nested_body_is_refused_and_does_no_harm() {
        let deep = "[".repeat(100_000);
        assert_eq!(check(deep.as_bytes()).unwrap_err().code(), "malformed_json");
    }
}
