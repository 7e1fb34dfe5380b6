//! Identifiers: UUIDv7 with a prefix, one Rust type for each kind.

use std::fmt;
use std::hash::Hash;

use crate::{Entropy, Timestamp};

/// The 128 bits behind an identifier: a UUIDv7 (RFC 9562), so that later ones sort later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RawId(u128);

impl RawId {
    /// Makes an identifier for the instant `now`. Units of work call `tx.new_id()` instead.
    pub fn generate(now: Timestamp, entropy: &Entropy) -> Self {
        let random = u128::from_le_bytes(entropy.bytes());
        let millis = (now.as_millis().max(0) as u128) & 0xFFFF_FFFF_FFFF;
        let bits = (millis << 80) | (random & ((1 << 80) - 1));
        Self((bits & !(0xF << 76) & !(0b11 << 62)) | (0x7 << 76) | (0b10 << 62))
    }

    /// From its 128 bits.
    pub const fn from_bits(bits: u128) -> Self {
        Self(bits)
    }

    /// Its 128 bits.
    pub const fn bits(self) -> u128 {
        self.0
    }
}

/// A text that is not an identifier of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be an identifier of the form {prefix}_ and 32 hexadecimal digits")]
pub struct IdError {
    /// The prefix that was wanted.
    pub prefix: &'static str,
}

/// A kind of identifier; made by the [`id!`](crate::id!) macro.
pub trait Id: Copy + Eq + Ord + Hash + fmt::Debug + fmt::Display + Send + Sync + 'static {
    /// What its text starts with, before the underscore.
    const PREFIX: &'static str;
    /// From the bits behind it.
    fn from_raw(raw: RawId) -> Self;
    /// The bits behind it.
    fn raw(self) -> RawId;

    /// Reads `prefix_` and 32 hexadecimal digits.
    fn parse(text: &str) -> Result<Self, IdError> {
        let error = IdError { prefix: Self::PREFIX };
        let digits = text.strip_prefix(Self::PREFIX).and_then(|rest| rest.strip_prefix('_')).ok_or(error.clone())?;
        if digits.len() != 32 || !digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(error);
        }
        u128::from_str_radix(digits, 16).map(|bits| Self::from_raw(RawId(bits))).map_err(|_| error)
    }
}

/// Declares a kind of identifier: `kernel::id!(/// A card. pub struct CardId = "card");`.
#[macro_export]
macro_rules! id {
    ($(#[$meta:meta])* $vis:vis struct $name:ident = $prefix:literal) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis struct $name($crate::RawId);

        impl $crate::Id for $name {
            const PREFIX: &'static str = $prefix;
            fn from_raw(raw: $crate::RawId) -> Self {
                Self(raw)
            }
            fn raw(self) -> $crate::RawId {
                self.0
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                write!(f, concat!($prefix, "_{:032x}"), self.0.bits())
            }
        }

        impl ::std::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Display::fmt(self, f)
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::IdError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                <Self as $crate::Id>::parse(text)
            }
        }

        impl $crate::Param for $name {
            fn p(&self) -> $crate::P<'_> {
                $crate::P::Text(::std::borrow::Cow::Owned(self.to_string()))
            }
        }

        impl $crate::serde::Serialize for $name {
            fn serialize<S: $crate::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> $crate::serde::Deserialize<'de> for $name {
            fn deserialize<D: $crate::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <::std::borrow::Cow<'de, str> as $crate::serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(<D::Error as $crate::serde::de::Error>::custom)
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::id!(
        /// A thing of this test.
        struct ThingId = "thing"
    );

    #[test]
    fn an_id_is_read_back_from_its_text_and_sorts_by_time() {
        let entropy = Entropy::seeded(1);
        let first = ThingId::from_raw(RawId::generate(Timestamp::from_millis(1_000), &entropy));
        let later = ThingId::from_raw(RawId::generate(Timestamp::from_millis(1_001), &entropy));
        assert!(first < later && first.to_string() < later.to_string());
        assert_eq!(first.to_string().parse::<ThingId>().unwrap(), first);
        assert_eq!((first.raw().bits() >> 76) & 0xF, 7, "the version is 7");
        assert_eq!((first.raw().bits() >> 62) & 0b11, 0b10, "the variant is RFC 9562's");
    }

    #[test]
    fn a_foreign_or_broken_id_is_refused() {
        let good = "thing_0198c2f6a1b27cc08a6f3d2e1f00ab12";
        assert!(good.parse::<ThingId>().is_ok());
        for bad in [
            "",
            "thing_",
            "card_0198c2f6a1b27cc08a6f3d2e1f00ab12",
            &good.to_uppercase(),
            &good[..37],
            "thing_+198c2f6a1b27cc08a6f3d2e1f00ab12",
        ] {
            assert!(bad.parse::<ThingId>().is_err(), "{bad}");
        }
    }
}
