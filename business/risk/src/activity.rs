//! What is about to happen, as the caller tells it. Pure.

use std::fmt;

use kernel::{FieldFault, Money, Timestamp};

/// The largest amount of an activity and of a limit, in minor units: 2^53 - 1, as in the ledger.
pub const AMOUNT_MINOR_MAX: i64 = 9_007_199_254_740_991;
/// The longest id or fingerprint, in bytes.
pub(crate) const ID_BYTES_MAX: usize = 500;
const WORD_BYTES_MAX: usize = 100;
const EARLIER_MAX: usize = 100;

/// A word that is none of those known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WordError(pub(crate) &'static str);

/// Declares an enum whose variants have one word each, in the API and in the database.
macro_rules! words {
    ($(#[$meta:meta])* $vis:vis enum $name:ident: $wanted:literal { $($(#[$of:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis enum $name { $($(#[$of])* $variant),+ }

        impl $name {
            /// Its word in the API and in the database.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::activity::WordError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err($crate::activity::WordError($wanted)),
                }
            }
        }
    };
}
pub(crate) use words;

words! {
    /// Which sort of movement it is.
    pub enum ActivityKind: "must be payment_attempt or payout" {
        /// Money is about to be taken from a payer.
        PaymentAttempt = "payment_attempt",
        /// Money is about to be sent to a beneficiary.
        Payout = "payout",
    }
}

/// A country by its two letters of ISO 3166-1, in capitals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

impl Country {
    /// Reads two letters, large or small, so that no spelling gets past a list.
    pub fn parse(text: &str) -> Result<Self, WordError> {
        match text.trim().as_bytes() {
            [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => Ok(Self([a.to_ascii_uppercase(), b.to_ascii_uppercase()])),
            _ => Err(WordError("must be two letters of ISO 3166-1, such as DE")),
        }
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.0).map_err(|_| fmt::Error)?)
    }
}

/// What is about to happen. The caller hands over all that rules may look at; a rule that asks for something that is not
/// given does not apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activity {
    /// Which sort of movement it is.
    pub kind: ActivityKind,
    /// The subject's id, opaque, for example `pat_…`; at most 500 bytes. A repetition is decided once and answers the same.
    pub id: String,
    /// Earlier activities of the same thing, such as the attempts before this one of one payment, the newest first; at most 100.
    /// All of them together count once for limits over time, at the time of the last that was let through.
    pub earlier: Vec<String>,
    /// How much; from 0 to 2^53 - 1 minor units.
    pub amount: Money,
    /// Who pays or is paid, as an opaque fingerprint of at most 500 bytes; never a name or the number of an account.
    pub party: Option<String>,
    /// Where the party is, two letters of ISO 3166-1.
    pub country: Option<String>,
    /// How it is paid; kept with the decision.
    pub method: Option<String>,
    /// Through whom; kept with the decision.
    pub provider: Option<String>,
    /// When the beneficiary's details last changed.
    pub party_changed_at: Option<Timestamp>,
}

/// An activity whose fields cannot be wrong any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known<'a> {
    pub activity: &'a Activity,
    pub country: Option<Country>,
}

impl Activity {
    /// Checks what the caller handed over; names every field that cannot be right.
    pub(crate) fn check(&self) -> Result<Known<'_>, Vec<FieldFault>> {
        let mut faults = Vec::new();
        let mut refuse = |field: &str, message: String| faults.push(FieldFault::new(field, message));
        let texts = [
            ("id", Some(&self.id), ID_BYTES_MAX),
            ("party", self.party.as_ref(), ID_BYTES_MAX),
            ("method", self.method.as_ref(), WORD_BYTES_MAX),
            ("provider", self.provider.as_ref(), WORD_BYTES_MAX),
        ];
        for (field, text, bytes_max) in texts {
            if text.is_some_and(|text| !is_opaque(text, bytes_max)) {
                refuse(field, format!("must have 1 to {bytes_max} bytes and no control characters"));
            }
        }
        if !(0..=AMOUNT_MINOR_MAX).contains(&self.amount.amount_minor) {
            refuse("amount", "must be from 0 to 9007199254740991 minor units".to_owned());
        }
        if self.earlier.len() > EARLIER_MAX || !self.earlier.iter().all(|id| is_opaque(id, ID_BYTES_MAX)) {
            refuse("earlier", format!("must be at most {EARLIER_MAX} ids of 1 to {ID_BYTES_MAX} bytes without control characters"));
        }
        let country = match self.country.as_deref().map(Country::parse).transpose() {
            Ok(country) => country,
            Err(error) => {
                refuse("country", error.to_string());
                None
            }
        };
        if faults.is_empty() { Ok(Known { activity: self, country }) } else { Err(faults) }
    }
}

/// Whether a text can be an id or a fingerprint.
pub(crate) fn is_opaque(text: &str, bytes_max: usize) -> bool {
    (1..=bytes_max).contains(&text.len()) && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use kernel::Currency;

    use super::*;

    fn activity() -> Activity {
        Activity {
            kind: ActivityKind::Payout,
            id: "po_1".to_owned(),
            earlier: Vec::new(),
            amount: Money::new(1, Currency::parse("EUR").unwrap()),
            party: None,
            country: Some("de".to_owned()),
            method: None,
            provider: None,
            party_changed_at: None,
        }
    }

    #[test]
    fn a_country_is_the_same_however_it_is_spelled() {
        let known = activity();
        assert_eq!(known.check().unwrap().country, Country::parse("DE").ok());
        for wrong in ["", "D", "DEU", "1E", "dé", "D\0"] {
            assert!(Country::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_cannot_be_right_is_named_by_its_field() {
        let wrong = Activity {
            id: String::new(),
            party: Some(String::new()),
            method: Some("a\0".to_owned()),
            provider: Some("x".repeat(101)),
            country: Some("Germany".to_owned()),
            amount: Money::new(AMOUNT_MINOR_MAX + 1, Currency::parse("EUR").unwrap()),
            earlier: vec![String::new()],
            ..activity()
        };
        let faults = wrong.check().unwrap_err();
        let fields: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["id", "party", "method", "provider", "amount", "earlier", "country"]);
        let with = |party: String| Activity { party: Some(party), ..activity() };
        assert!(with("ü".repeat(250)).check().is_ok(), "500 bytes");
        assert_eq!(with("ü".repeat(250) + "x").check().unwrap_err()[0].field, "party");
        let negative = Activity { amount: Money::new(-1, Currency::parse("EUR").unwrap()), ..activity() };
        assert_eq!(negative.check().unwrap_err()[0].field, "amount");
    }
}
