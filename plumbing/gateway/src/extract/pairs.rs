//! Queries and forms: `name=value` pairs into a type.
//!
//! A name given several times fills a list; an empty value counts as absent wherever the type allows absence.

use std::fmt;

use serde::de::value::{MapDeserializer, SeqDeserializer, StringDeserializer};
use serde::de::{DeserializeOwned, Deserializer, EnumAccess, Error as _, IntoDeserializer, VariantAccess, Visitor};

use super::{refuse_nul, wrong_field};
use crate::Problem;

/// The most pairs of one query or form.
const PAIRS_MAX: usize = 1_000;

pub(super) fn from_pairs<T: DeserializeOwned>(encoded: &[u8]) -> Result<T, Problem> {
    let mut fields: Vec<(String, Values)> = Vec::new();
    for (count, pair) in encoded.split(|b| *b == b'&').filter(|pair| !pair.is_empty()).enumerate() {
        if count >= PAIRS_MAX {
            return Err(Problem::invalid_field("", format!("must have at most {PAIRS_MAX} values")));
        }
        let (name, value) = match pair.iter().position(|b| *b == b'=') {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &[][..]),
        };
        let name = decode(name).ok_or_else(|| Problem::invalid_field("", "the names must be UTF-8"))?;
        refuse_nul(&name.replace('\0', "\u{fffd}"), &name)?;
        let value = decode(value).ok_or_else(|| Problem::invalid_field(name.as_str(), "must be UTF-8"))?;
        refuse_nul(&name, &value)?;
        match fields.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.0.push(value),
            None => fields.push((name, Values(vec![value]))),
        }
    }
    serde_path_to_error::deserialize(MapDeserializer::new(fields.into_iter())).map_err(|error| {
        let path = error.path().to_string();
        wrong_field(&path, &error.into_inner().0)
    })
}

/// Percent-decoding with `+` for a space; nothing when the result is not UTF-8.
fn decode(text: &[u8]) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let hex = |i: usize| text.get(i).and_then(|b| char::from(*b).to_digit(16));
        match (text[at], hex(at + 1), hex(at + 2)) {
            (b'+', _, _) => bytes.push(b' '),
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                at += 2;
            }
            (other, _, _) => bytes.push(other),
        }
        at += 1;
    }
    String::from_utf8(bytes).ok()
}

/// What stands wrong, in words.
#[derive(Debug)]
struct Wrong(String);

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Wrong {}

impl serde::de::Error for Wrong {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// All values of one name, at least one.
struct Values(Vec<String>);

impl Values {
    fn one(mut self) -> Result<String, Wrong> {
        match (self.0.pop(), self.0.is_empty()) {
            (Some(only), true) => Ok(only),
            _ => Err(Wrong("was given more than once".to_owned())),
        }
    }
}

impl<'de> IntoDeserializer<'de, Wrong> for Values {
    type Deserializer = Self;
    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident $kind:ty, $wanted:literal;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
            let number = self.one()?.trim().parse::<$kind>().map_err(|_| Wrong(concat!("must be ", $wanted).to_owned()))?;
            visitor.$visit(number)
        }
    )*};
}

impl<'de> Deserializer<'de> for Values {
    type Error = Wrong;

    numbers! {
        deserialize_u8 visit_u8 u8, "a whole number from 0 to 255";
        deserialize_u16 visit_u16 u16, "a whole number from 0 to 65535";
        deserialize_u32 visit_u32 u32, "a whole number from 0 to 4294967295";
        deserialize_u64 visit_u64 u64, "a whole number that is not negative";
        deserialize_i8 visit_i8 i8, "a whole number from -128 to 127";
        deserialize_i16 visit_i16 i16, "a whole number from -32768 to 32767";
        deserialize_i32 visit_i32 i32, "a whole number";
        deserialize_i64 visit_i64 i64, "a whole number";
        deserialize_f32 visit_f32 f32, "a number";
        deserialize_f64 visit_f64 f64, "a number";
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_string(self.one()?)
    }

    /// `on` is what a browser sends for a ticked box that names no value.
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.one()?.trim() {
            "true" | "on" | "1" => visitor.visit_bool(true),
            "false" | "off" | "0" => visitor.visit_bool(false),
            _ => Err(Wrong("must be true or false".to_owned())),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        if self.0.iter().all(String::is_empty) { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_seq(SeqDeserializer::new(self.0.into_iter().map(|value| Self(vec![value]))))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(self, _: &'static str, _: &'static [&'static str], visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_enum(Word(self.one()?))
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit_struct tuple tuple_struct map struct identifier ignored_any
    }
}

/// A word that names a variant.
struct Word(String);

impl<'de> EnumAccess<'de> for Word {
    type Error = Wrong;
    type Variant = Self;
    fn variant_seed<V: serde::de::DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Wrong> {
        let variant: StringDeserializer<Wrong> = self.0.clone().into_deserializer();
        Ok((seed.deserialize(variant)?, self))
    }
}

impl<'de> VariantAccess<'de> for Word {
    type Error = Wrong;
    fn unit_variant(self) -> Result<(), Wrong> {
        Ok(())
    }
    fn newtype_variant_seed<T: serde::de::DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, Wrong> {
        Err(Wrong::custom("must be a single word"))
    }
    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Wrong> {
        Err(Wrong::custom("must be a single word"))
    }
    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, Wrong> {
        Err(Wrong::custom("must be a single word"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "snake_case")]
    enum Order {
        NewestFirst,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        name: Option<String>,
        limit: Option<u32>,
        #[serde(default)]
        tag: Vec<String>,
        order: Option<Order>,
        #[serde(default)]
        consent: bool,
    }

    fn refused(text: &str) -> (String, String) {
        let problem = from_pairs::<Sample>(text.as_bytes()).unwrap_err();
        let field = &problem.fields()[0];
        (field.field.clone(), field.message.clone())
    }

    #[test]
    fn a_form_becomes_its_type() {
        let sample: Sample = from_pairs(b"name=J%C3%B6rg+B&limit=5&tag=a&tag=b&order=newest_first&consent=on").unwrap();
        assert_eq!(
            sample,
            Sample {
                name: Some("Jörg B".to_owned()),
                limit: Some(5),
                tag: vec!["a".to_owned(), "b".to_owned()],
                order: Some(Order::NewestFirst),
                consent: true
            }
        );
        let empty: Sample = from_pairs(b"name=&limit=").unwrap();
        assert_eq!((empty.name, empty.limit), (None, None));
    }

    #[test]
    fn a_refusal_names_the_field() {
        assert_eq!(refused("limit=many"), ("limit".to_owned(), "must be a whole number from 0 to 4294967295".to_owned()));
        assert_eq!(refused("limit=1&limit=2"), ("limit".to_owned(), "was given more than once".to_owned()));
        assert_eq!(refused("colour=red").0, "colour");
        assert_eq!(refused("name=%00").0, "name");
        assert_eq!(refused("name=%ff"), ("name".to_owned(), "must be UTF-8".to_owned()));
        assert_eq!(refused("order=sideways").0, "order");
        assert_eq!(refused(&"a=1&".repeat(2_000)).1, "must have at most 1000 values");
    }
}
