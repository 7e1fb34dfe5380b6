//! The noun: the short code that is printed. Pure.
//!
//! Nine characters of a 32-letter alphabet (Crockford's, so that it fits the alphanumeric mode of a QR symbol and has no
//! look-alikes): eight carry forty bits, the ninth checks them. The check is a weighted sum over GF(32) with distinct, nonzero
//! weights, so that one wrong character and two exchanged ones (adjacent or not) always break it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How many characters a public code has.
pub const LENGTH: usize = 9;
/// How many bits of number a public code carries.
pub const BITS: u32 = 40;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const NONE: u8 = 0xFF;

/// Letter to value, with both cases and the look-alikes `O`, `I` and `L`.
static VALUES: [u8; 256] = values();
/// Weight times value, for each of the eight positions: the powers 1 to 8 of the generator of GF(32); the check weighs 1.
static WEIGHED: [[u8; 32]; LENGTH - 1] = weighed();

const fn values() -> [u8; 256] {
    let mut table = [NONE; 256];
    let mut value = 0;
    while value < 32 {
        let letter = ALPHABET[value];
        table[letter as usize] = value as u8;
        table[letter.to_ascii_lowercase() as usize] = value as u8;
        value += 1;
    }
    table[b'O' as usize] = 0;
    table[b'o' as usize] = 0;
    table[b'I' as usize] = 1;
    table[b'i' as usize] = 1;
    table[b'L' as usize] = 1;
    table[b'l' as usize] = 1;
    table
}

/// One step of multiplication by the generator, modulo x^5 + x^2 + 1.
const fn double(value: u8) -> u8 {
    let shifted = value << 1;
    if shifted & 0x20 == 0 { shifted } else { (shifted ^ 0x25) & 0x1F }
}

const fn weighed() -> [[u8; 32]; LENGTH - 1] {
    let mut table = [[0; 32]; LENGTH - 1];
    let mut value = 0;
    while value < 32 {
        let mut product = value as u8;
        let mut position = 0;
        while position < LENGTH - 1 {
            product = double(product);
            table[position][value] = product;
            position += 1;
        }
        value += 1;
    }
    table
}

/// The five bits of one letter, look-alikes included; nothing for a letter outside the alphabet.
pub(crate) fn value(letter: u8) -> Option<u8> {
    let value = VALUES[letter as usize];
    (value != NONE).then_some(value)
}

/// A code as it is printed and scanned. Its number is the permuted counter, so neighbours in print are not neighbours here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicCode(u64);

/// A text that is no public code: wrong length, a letter outside the alphabet, or mistyped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a code of nine letters and digits as printed; its check character does not match")]
pub struct NotACode;

impl PublicCode {
    /// From its number; the bits above the fortieth must be zero.
    pub const fn from_number(number: u64) -> Option<Self> {
        if number >> BITS == 0 { Some(Self(number)) } else { None }
    }

    /// The forty bits behind it: the key of the row.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// Reads nine characters of either case; look-alikes are taken for what they look like. Refuses a mistyped code by its check
    /// character, before anybody looks anything up.
    pub fn parse(text: &[u8]) -> Result<Self, NotACode> {
        let letters: &[u8; LENGTH] = text.try_into().map_err(|_| NotACode)?;
        let mut number = 0;
        let mut sum = VALUES[letters[LENGTH - 1] as usize];
        let mut seen = sum;
        for (weights, letter) in WEIGHED.iter().zip(letters) {
            let value = VALUES[*letter as usize];
            seen |= value;
            sum ^= weights[(value & 0x1F) as usize];
            number = (number << 5) | u64::from(value & 0x1F);
        }
        // A letter outside the alphabet has the bits above the fifth set, which no value has.
        if seen > 0x1F || sum != 0 { Err(NotACode) } else { Ok(Self(number)) }
    }

    /// The nine characters, in upper case.
    pub fn letters(self) -> [u8; LENGTH] {
        let mut letters = [0; LENGTH];
        let mut sum = 0;
        for (position, weights) in WEIGHED.iter().enumerate() {
            let value = ((self.0 >> (5 * (LENGTH - 2 - position))) & 0x1F) as usize;
            letters[position] = ALPHABET[value];
            sum ^= weights[value];
        }
        letters[LENGTH - 1] = ALPHABET[sum as usize];
        letters
    }
}

impl fmt::Display for PublicCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.letters()).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for PublicCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicCode {
    type Err = NotACode;
    fn from_str(text: &str) -> Result<Self, NotACode> {
        Self::parse(text.as_bytes())
    }
}

impl Serialize for PublicCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_weights_are_distinct_and_multiplication_by_each_is_one_to_one() {
        let mut weights: Vec<u8> = WEIGHED.iter().map(|products| products[1]).chain([1]).collect();
        weights.sort_unstable();
        weights.dedup();
        assert_eq!(weights.len(), LENGTH, "nine different weights");
        assert!(weights.iter().all(|weight| *weight != 0));
        for products in &WEIGHED {
            let mut sorted = products.to_vec();
            sorted.sort_unstable();
            assert!(sorted.iter().enumerate().all(|(index, product)| index == *product as usize));
        }
    }

    /// The check is linear, so that it is enough to try every error pattern on the zero code: an error is missed exactly if
    /// the pattern alone has sum zero. This is every single error and every exchange of any two values at any two positions.
    #[test]
    fn every_single_error_and_every_exchange_is_caught() {
        let weigh = |position: usize, value: u8| if position == LENGTH - 1 { value } else { WEIGHED[position][value as usize] };
        for position in 0..LENGTH {
            for error in 1..32_u8 {
                assert_ne!(weigh(position, error), 0, "single error {error} at {position}");
                for other in 0..position {
                    assert_ne!(weigh(position, error) ^ weigh(other, error), 0, "exchange of {other} and {position}");
                }
            }
        }
    }

    #[test]
    fn both_cases_and_look_alikes_are_read_and_everything_else_is_refused() {
        let code = PublicCode::from_number(0x01_0000_0421).unwrap();
        let text = code.to_string();
        assert_eq!(text.len(), LENGTH);
        assert_eq!(text.to_lowercase().parse(), Ok(code));
        assert_eq!(text.replace('0', "O").replace('1', "l").parse(), Ok(code));
        assert_eq!(text.replace('0', "o").replace('1', "I").parse(), Ok(code));
        for bad in ["", "0", &text[..8], &format!("{text}0"), &text.replacen('0', "U", 1), &text.replacen('0', "-", 1), "ÄÄÄÄ0"] {
            assert_eq!(bad.parse::<PublicCode>(), Err(NotACode), "{bad}");
        }
        assert_eq!(PublicCode::from_number(1 << BITS), None);
        assert_eq!(serde_json::from_str::<PublicCode>(&serde_json::to_string(&code).unwrap()).unwrap(), code);
    }

    proptest! {
        #[test]
        fn a_code_is_read_back_from_its_letters(number in 0_u64..1 << BITS) {
            let code = PublicCode::from_number(number).unwrap();
            prop_assert_eq!(code.to_string().parse::<PublicCode>().unwrap().number(), number);
        }

        #[test]
        fn a_mistyped_code_is_refused(number in 0_u64..1 << BITS, position in 0..LENGTH, step in 1..32_usize) {
            let letters = PublicCode::from_number(number).unwrap().letters();
            let mut wrong = letters;
            let value = VALUES[wrong[position] as usize] as usize;
            wrong[position] = ALPHABET[(value + step) % 32];
            prop_assert!(PublicCode::parse(&wrong).is_err());
            let mut swapped = letters;
            let other = (position + 1) % LENGTH;
            swapped.swap(position, other);
            prop_assert_eq!(PublicCode::parse(&swapped).is_ok(), letters[position] == letters[other]);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..12)) {
            let _ = PublicCode::parse(&bytes);
        }
    }
}
