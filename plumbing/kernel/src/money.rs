//! Money: whole minor units of one currency, checked at every step.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A currency by its ISO 4217 letters; knows how many decimal places its minor unit has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

/// Currencies whose minor unit is not a hundredth (ISO 4217, list one), with their exponents.
const EXPONENTS: &[(&[u8; 3], u32)] = &[
    (b"BIF", 0),
    (b"CLP", 0),
    (b"DJF", 0),
    (b"GNF", 0),
    (b"ISK", 0),
    (b"JPY", 0),
    (b"KMF", 0),
    (b"KRW", 0),
    (b"PYG", 0),
    (b"RWF", 0),
    (b"UGX", 0),
    (b"UYI", 0),
    (b"VND", 0),
    (b"VUV", 0),
    (b"XAF", 0),
    (b"XOF", 0),
    (b"XPF", 0),
    (b"BHD", 3),
    (b"IQD", 3),
    (b"JOD", 3),
    (b"KWD", 3),
    (b"LYD", 3),
    (b"OMR", 3),
    (b"TND", 3),
    (b"CLF", 4),
    (b"UYW", 4),
];

impl Currency {
    /// Reads three capital letters.
    pub fn parse(text: &str) -> Result<Self, MoneyError> {
        match text.as_bytes() {
            [a, b, c] if [a, b, c].iter().all(|l| l.is_ascii_uppercase()) => Ok(Self([*a, *b, *c])),
            _ => Err(MoneyError::NotACurrency),
        }
    }

    /// How many decimal places the minor unit has: 2 for EUR, 0 for JPY, 3 for KWD.
    pub fn exponent(self) -> u32 {
        EXPONENTS.iter().find(|(code, _)| **code == self.0).map_or(2, |(_, exponent)| *exponent)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.0).map_err(|_| fmt::Error)?)
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&std::borrow::Cow::<str>::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// Why a sum of money could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not three capital letters.
    #[error("a currency is three capital letters of ISO 4217, such as EUR")]
    NotACurrency,
    /// Two currencies met.
    #[error("amounts of two currencies cannot be put together")]
    CurrencyMismatch,
    /// The result does not fit 64 bits.
    #[error("the amount is too large")]
    Overflow,
    /// A split into no parts, or by weights that are negative or all zero.
    #[error("an amount is split by weights that are not negative and not all zero")]
    NothingToSplitBy,
}

/// How a fraction of a minor unit is settled; named at every call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// Towards zero.
    Down,
    /// Away from zero when anything is left over.
    Up,
    /// To the nearest unit, a half away from zero.
    HalfUp,
    /// To the nearest unit, a half to the even one.
    HalfEven,
}

/// An amount in minor units (cents, pence, yen) of one currency; may be negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    /// Minor units.
    pub amount_minor: i64,
    /// Of this currency.
    pub currency: Currency,
}

impl Money {
    /// `amount_minor` units of `currency`.
    pub const fn new(amount_minor: i64, currency: Currency) -> Self {
        Self { amount_minor, currency }
    }

    fn same(self, other: Self) -> Result<(), MoneyError> {
        if self.currency == other.currency { Ok(()) } else { Err(MoneyError::CurrencyMismatch) }
    }

    /// The sum of both; refuses two currencies and an overflow.
    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        self.same(other)?;
        let sum = self.amount_minor.checked_add(other.amount_minor).ok_or(MoneyError::Overflow)?;
        Ok(Self::new(sum, self.currency))
    }

    /// This less the other; refuses two currencies and an overflow.
    pub fn minus(self, other: Self) -> Result<Self, MoneyError> {
        self.same(other)?;
        let difference = self.amount_minor.checked_sub(other.amount_minor).ok_or(MoneyError::Overflow)?;
        Ok(Self::new(difference, self.currency))
    }

    /// This many times the amount.
    pub fn times(self, count: i64) -> Result<Self, MoneyError> {
        let product = self.amount_minor.checked_mul(count).ok_or(MoneyError::Overflow)?;
        Ok(Self::new(product, self.currency))
    }

    /// The share of `basis_points` hundredths of a percent, rounded as said.
    pub fn share(self, basis_points: i64, rounding: Rounding) -> Result<Self, MoneyError> {
        let exact = i128::from(self.amount_minor) * i128::from(basis_points);
        let rounded = i64::try_from(divide(exact, 10_000, rounding)).map_err(|_| MoneyError::Overflow)?;
        Ok(Self::new(rounded, self.currency))
    }

    /// Splits by weights so that the parts sum to the whole; units left over go to the largest remainders, earlier parts
    /// first. Weights must not be negative and not all zero.
    pub fn split(self, weights: &[i64]) -> Result<Vec<Self>, MoneyError> {
        let total: i128 = weights.iter().map(|w| i128::from(*w)).sum();
        if total <= 0 || weights.iter().any(|w| *w < 0) {
            return Err(MoneyError::NothingToSplitBy);
        }
        let whole = i128::from(self.amount_minor);
        let (sign, whole) = (whole.signum(), whole.abs());
        let mut parts: Vec<i128> = weights.iter().map(|w| whole * i128::from(*w) / total).collect();
        let mut order: Vec<usize> = (0..weights.len()).collect();
        order.sort_by_key(|&i| std::cmp::Reverse(whole * i128::from(weights[i]) % total));
        let left = usize::try_from(whole - parts.iter().sum::<i128>()).map_err(|_| MoneyError::Overflow)?;
        for &i in order.iter().take(left) {
            parts[i] += 1;
        }
        parts
            .into_iter()
            .map(|part| i64::try_from(part * sign).map(|part| Self::new(part, self.currency)).map_err(|_| MoneyError::Overflow))
            .collect()
    }
}

fn divide(number: i128, by: i128, rounding: Rounding) -> i128 {
    let (quotient, rest) = (number / by, (number % by).abs());
    let away = match rounding {
        Rounding::Down => false,
        Rounding::Up => rest > 0,
        Rounding::HalfUp => rest * 2 >= by,
        Rounding::HalfEven => rest * 2 > by || (rest * 2 == by && quotient % 2 != 0),
    };
    if away { quotient + number.signum() } else { quotient }
}

impl fmt::Display for Money {
    /// Major units with the currency's own number of places: `12.34 EUR`, `1234 JPY`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = self.currency.exponent();
        let (unit, amount) = (10_u64.pow(places), self.amount_minor.unsigned_abs());
        let sign = if self.amount_minor < 0 { "-" } else { "" };
        if places == 0 {
            return write!(f, "{sign}{amount} {}", self.currency);
        }
        write!(f, "{sign}{}.{:0width$} {}", amount / unit, amount % unit, self.currency, width = places as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn eur(amount: i64) -> Money {
        Money::new(amount, Currency::parse("EUR").unwrap())
    }

    #[test]
    fn currencies_never_mix_and_nothing_wraps() {
        let jpy = Money::new(1, Currency::parse("JPY").unwrap());
        assert_eq!(eur(1).plus(jpy), Err(MoneyError::CurrencyMismatch));
        assert_eq!(eur(i64::MAX).plus(eur(1)), Err(MoneyError::Overflow));
        assert_eq!(eur(i64::MIN).minus(eur(1)), Err(MoneyError::Overflow));
        assert_eq!(eur(i64::MAX).times(2), Err(MoneyError::Overflow));
        assert!(Currency::parse("eur").is_err());
    }

    #[test]
    fn an_amount_is_written_with_the_places_of_its_currency() {
        assert_eq!(eur(-1234).to_string(), "-12.34 EUR");
        assert_eq!(eur(5).to_string(), "0.05 EUR");
        assert_eq!(Money::new(1234, Currency::parse("JPY").unwrap()).to_string(), "1234 JPY");
        assert_eq!(Money::new(1234, Currency::parse("KWD").unwrap()).to_string(), "1.234 KWD");
    }

    #[test]
    fn each_rounding_settles_a_half_in_its_own_way() {
        let share = |amount, rounding| eur(amount).share(5_000, rounding).unwrap().amount_minor;
        assert_eq!([1, 3, -1, -3].map(|a| share(a, Rounding::Down)), [0, 1, 0, -1]);
        assert_eq!([1, 3, -1, -3].map(|a| share(a, Rounding::Up)), [1, 2, -1, -2]);
        assert_eq!([1, 3, -1, -3].map(|a| share(a, Rounding::HalfUp)), [1, 2, -1, -2]);
        assert_eq!([1, 3, -1, -3].map(|a| share(a, Rounding::HalfEven)), [0, 2, 0, -2]);
    }

    proptest! {
        #[test]
        fn a_split_never_loses_a_unit(amount: i64, weights in proptest::collection::vec(0_i64..1_000_000, 1..20)) {
            prop_assume!(weights.iter().any(|w| *w > 0));
            let parts = eur(amount).split(&weights).unwrap();
            prop_assert_eq!(parts.iter().map(|p| i128::from(p.amount_minor)).sum::<i128>(), i128::from(amount));
            for (part, weight) in parts.iter().zip(&weights) {
                prop_assert!(*weight > 0 || part.amount_minor == 0);
            }
        }
    }
}
