//! The noun: what a page is told after a scan. Pure.

use serde_json::{Map, Value};

/// The most bytes of parameters of one binding, as JSON.
pub const PARAMETERS_BYTES_MAX: usize = 64 * 1024;

/// Parameters of a page: a JSON object of at most 64 KiB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameters(String);

/// The parameters take more than 64 KiB as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must take at most 65,536 bytes as JSON")]
pub struct ParametersTooLong;

impl Parameters {
    /// From a JSON object.
    pub fn new(object: Map<String, Value>) -> Result<Self, ParametersTooLong> {
        let text = Value::Object(object).to_string();
        if text.len() > PARAMETERS_BYTES_MAX { Err(ParametersTooLong) } else { Ok(Self(text)) }
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_64_kib_are_kept_and_one_byte_more_is_refused() {
        let object = |bytes: usize| Map::from_iter([("a".to_owned(), Value::String("x".repeat(bytes - r#"{"a":""}"#.len())))]);
        assert_eq!(Parameters::new(object(PARAMETERS_BYTES_MAX)).unwrap().as_str().len(), PARAMETERS_BYTES_MAX);
        assert_eq!(Parameters::new(object(PARAMETERS_BYTES_MAX + 1)), Err(ParametersTooLong));
    }
}
