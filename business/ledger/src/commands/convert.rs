//! Conversion: two transfers, one in each unit, that stand or fall together and go through a pair of exchange accounts.
//!
//! Within each unit debits equal credits, as everywhere; what the business gained or lost by changing stands as the balances
//! of its exchange accounts. Rates are fractions of whole numbers: no step of the computation is inexact but the last one,
//! and the caller names how that one is rounded.

use std::fmt;
use std::str::FromStr;

use kernel::{Id, Rounding, Timestamp, WorkspaceId};
use serde_json::json;
use store::Tx;

use super::{ensure, post};
use crate::account::{Account, AccountCode, AccountId, AccountKind, Limits, NewAccount, Unit, WordError};
use crate::error::LedgerError;
use crate::queries;
use crate::transfer::{AMOUNT_MAX, EntryId, NewTransfer, Outcome, TransferId};

/// How many major units of the one are given for one major unit of the other: a fraction above zero, in lowest terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    numerator: u64,
    denominator: u64,
}

const RATE_WORDS: &str =
    "must be a rate above zero: up to 18 digits with a point, such as 1.0834, or two whole numbers of up to 18 digits, such as 13/12";
/// The first number that is too large for a part of a rate.
const RATE_END: u64 = 1_000_000_000_000_000_000;

impl Rate {
    /// `numerator` for each `denominator`; both are 1 to 10^18 - 1.
    pub fn fraction(numerator: u64, denominator: u64) -> Result<Self, WordError> {
        let is_good = |number| (1..RATE_END).contains(&number);
        if !is_good(numerator) || !is_good(denominator) {
            return Err(WordError(RATE_WORDS));
        }
        let by = common_divisor(numerator, denominator);
        Ok(Self { numerator: numerator / by, denominator: denominator / by })
    }

    /// Reads `1.0834` or `13/12`.
    pub fn parse(text: &str) -> Result<Self, WordError> {
        let number = |digits: &str| match digits.len() {
            1..=18 if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse::<u64>().map_err(|_| WordError(RATE_WORDS)),
            _ => Err(WordError(RATE_WORDS)),
        };
        if let Some((numerator, denominator)) = text.split_once('/') {
            return Self::fraction(number(numerator)?, number(denominator)?);
        }
        let Some((whole, part)) = text.split_once('.') else { return Self::fraction(number(text)?, 1) };
        number(whole)?;
        number(part)?;
        // At most 17 places, as a digit stands before the point.
        Self::fraction(number(&format!("{whole}{part}"))?, 10_u64.pow(part.len() as u32))
    }

    /// The amount in minor units of `to` that `amount` minor units of `from` make; none where it does not fit.
    fn apply(self, amount: i64, from: &Unit, to: &Unit, rounding: Rounding) -> Option<i64> {
        let scale = |unit: &Unit| 10_i128.checked_pow(unit.exponent());
        let (mut above, mut below) = (i128::from(self.numerator), i128::from(self.denominator));
        above = above.checked_mul(scale(to)?)?;
        below = below.checked_mul(scale(from)?)?;
        let exact = above.checked_mul(i128::from(amount))?;
        let (quotient, rest) = (exact / below, exact % below);
        let is_up = match rounding {
            Rounding::Down => false,
            Rounding::Up => rest > 0,
            Rounding::HalfUp => rest >= below - rest,
            Rounding::HalfEven => rest > below - rest || (rest == below - rest && quotient % 2 == 1),
        };
        i64::try_from(quotient + i128::from(is_up)).ok().filter(|amount| *amount <= AMOUNT_MAX)
    }
}

const fn common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

impl FromStr for Rate {
    type Err = WordError;
    fn from_str(text: &str) -> Result<Self, WordError> {
        Self::parse(text)
    }
}

impl fmt::Display for Rate {
    /// As a decimal where that is exact and has at most 18 digits, else as a fraction; [`Rate::parse`] reads both.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut scaled, mut places) = (u128::from(self.numerator), 0_usize);
        while scaled % u128::from(self.denominator) != 0 && places < 17 {
            scaled *= 10;
            places += 1;
        }
        let digits = (scaled / u128::from(self.denominator)).to_string();
        if scaled % u128::from(self.denominator) != 0 || digits.len().max(places + 1) > 18 {
            return write!(f, "{}/{}", self.numerator, self.denominator);
        }
        if places == 0 {
            return f.write_str(&digits);
        }
        let digits = format!("{digits:0>width$}", width = places + 1);
        let (whole, part) = digits.split_at(digits.len() - places);
        write!(f, "{whole}.{part}")
    }
}

/// A conversion that is asked for: `amount` leaves one account and what it makes at `rate` reaches another.
#[derive(Debug, Clone, PartialEq)]
pub struct Conversion {
    /// The identifiers of its two transfers: the one in the unit of `from` and the one in the unit of `to`.
    pub ids: [TransferId; 2],
    /// Debited.
    pub from: AccountId,
    /// Credited.
    pub to: AccountId,
    /// Minor units of `from`.
    pub amount: i64,
    /// Major units of `to` for one major unit of `from`.
    pub rate: Rate,
    /// How the fraction of a minor unit of `to` is settled.
    pub rounding: Rounding,
    /// The day that it counts from, where that is not the one it is recorded on.
    pub effective_at: Option<Timestamp>,
    /// What caused it: a kind and an identifier; at most 120 bytes.
    pub source: String,
    /// A line for people; at most 500 bytes.
    pub memo: Option<String>,
}

/// A conversion as it stands in the books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Converted {
    /// The entry of its two transfers: the first one's identifier under another prefix.
    pub entry: EntryId,
    /// What left, in minor units.
    pub amount_from: i64,
    /// What arrived, in minor units.
    pub amount_to: i64,
    /// [`Outcome::Created`], or [`Outcome::Exists`] where it was asked for before.
    pub outcome: Outcome,
}

/// The word of a way of rounding, in metadata and JSON.
pub const fn rounding_word(rounding: Rounding) -> &'static str {
    match rounding {
        Rounding::Down => "down",
        Rounding::Up => "up",
        Rounding::HalfUp => "half_up",
        Rounding::HalfEven => "half_even",
    }
}

/// Reads the word of a way of rounding.
pub fn parse_rounding(text: &str) -> Result<Rounding, WordError> {
    let all = [Rounding::Down, Rounding::Up, Rounding::HalfUp, Rounding::HalfEven];
    let word = WordError("must be down, up, half_up or half_even");
    all.into_iter().find(|rounding| rounding_word(*rounding) == text).ok_or(word)
}

/// Converts as one entry of two linked transfers, through the accounts `exchange.<unit>`, which are opened when they are
/// first needed. Refuses an amount that converts to nothing or to more than one transfer may move. Asked for again with the
/// same identifiers and content nothing happens; a refusal leaves the caller's unit good.
pub async fn convert(tx: &mut Tx, workspace: WorkspaceId, asked: Conversion) -> Result<Converted, LedgerError> {
    if !(1..=AMOUNT_MAX).contains(&asked.amount) {
        return Err(LedgerError::field("amount", format_args!("must be 1 to {AMOUNT_MAX} minor units")));
    }
    if asked.ids[0] == asked.ids[1] {
        return Err(LedgerError::field("ids", "must be two: a conversion is two transfers"));
    }
    let from = queries::account(tx, workspace, asked.from).await?;
    let to = queries::account(tx, workspace, asked.to).await?;
    if from.unit == to.unit {
        return Err(LedgerError::field("to", format_args!("counts {} like the other one: post a transfer instead", to.unit)));
    }
    let Some(amount_to) = asked.rate.apply(asked.amount, &from.unit, &to.unit, asked.rounding) else {
        return Err(LedgerError::field("rate", format_args!("makes more than {AMOUNT_MAX} minor units of {}", to.unit)));
    };
    if amount_to == 0 {
        return Err(LedgerError::field("amount", format_args!("converts to nothing: less than a minor unit of {}", to.unit)));
    }
    let taken_by = exchange(tx, workspace, &from.unit).await?;
    let given_by = exchange(tx, workspace, &to.unit).await?;
    let words = json!({ "conversion": {
        "from_unit": from.unit.as_str(), "from_minor": asked.amount, "to_unit": to.unit.as_str(), "to_minor": amount_to,
        "rate": asked.rate.to_string(), "rounding": rounding_word(asked.rounding),
    } });
    let leg = |id, debit, credit, unit, amount| NewTransfer {
        effective_at: asked.effective_at,
        memo: asked.memo.clone(),
        metadata: Some(words.clone()),
        ..NewTransfer::exactly(id, debit, credit, unit, amount)
    };
    let taken = leg(asked.ids[0], from.id, taken_by.id, from.unit, asked.amount);
    let given = leg(asked.ids[1], given_by.id, to.id, to.unit, amount_to);
    let rows = post(tx, workspace, &asked.source, vec![taken, given]).await?;
    let outcome = rows.first().map_or(Outcome::Created, |row| row.outcome);
    Ok(Converted { entry: EntryId::from_raw(asked.ids[0].raw()), amount_from: asked.amount, amount_to, outcome })
}

/// The account through which `unit` is exchanged: `exchange.eur`, `exchange.points.bakery`.
async fn exchange(tx: &mut Tx, workspace: WorkspaceId, unit: &Unit) -> Result<Account, LedgerError> {
    let code = AccountCode::parse(&format!("exchange.{}", unit.as_str().to_ascii_lowercase()))
        .map_err(|error| LedgerError::field("unit", error))?;
    let new = NewAccount {
        code,
        name: format!("Exchange of {unit}"),
        kind: AccountKind::Equity,
        unit: unit.clone(),
        limits: Limits::None,
        metadata: None,
    };
    ensure(tx, workspace, new).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(text: &str) -> Rate {
        Rate::parse(text).unwrap()
    }

    fn converted(amount: i64, from: &str, to: &str, at: &str, rounding: Rounding) -> Option<i64> {
        rate(at).apply(amount, &Unit::parse(from).unwrap(), &Unit::parse(to).unwrap(), rounding)
    }

    #[test]
    fn a_rate_is_read_exactly_and_written_so_that_it_is_read_again() {
        for (text, written) in
            [("1.0834", "1.0834"), ("0.5", "0.5"), ("1/2", "0.5"), ("13/12", "13/12"), ("2.50", "2.5"), ("7", "7"), ("100/1", "100")]
        {
            assert_eq!(rate(text).to_string(), written);
            assert_eq!(rate(written), rate(text));
        }
        for text in ["0.00000000000000001", "999999999999999999", "999999999999999999/999999999999999998", "1/999999999999999999"] {
            assert_eq!(rate(&rate(text).to_string()), rate(text), "{text}");
        }
    }

    #[test]
    fn what_is_no_rate_is_refused() {
        for wrong in [
            "",
            "0",
            "0.0",
            "0/1",
            "1/0",
            "-1",
            "1.",
            ".5",
            "1e3",
            "1,5",
            "1.2.3",
            "1/2/3",
            " 1",
            "+1",
            "1000000000000000000",
            "1.000000000000000000",
        ] {
            assert_eq!(Rate::parse(wrong), Err(WordError(RATE_WORDS)), "{wrong}");
        }
        assert!(Rate::fraction(u64::MAX, 1).is_err());
    }

    #[test]
    fn places_of_both_units_are_counted() {
        use Rounding::HalfEven;
        assert_eq!(converted(10_000, "EUR", "JPY", "162.35", HalfEven), Some(16_235), "100.00 EUR");
        assert_eq!(converted(16_235, "JPY", "EUR", "1/162", HalfEven), Some(10_022));
        assert_eq!(converted(1_000, "KWD", "JPY", "500.5", HalfEven), Some(500), "500.5 to the even one");
        assert_eq!(converted(1, "JPY", "KWD", "0.0021", HalfEven), Some(2));
        assert_eq!(converted(250, "points.bakery", "EUR", "0.01", HalfEven), Some(250));
        assert_eq!(converted(1_999, "EUR", "points.bakery", "1", Rounding::Down), Some(19));
        assert_eq!(converted(1, "CLF", "JPY", "1", Rounding::Up), Some(1));
    }

    #[test]
    fn each_rounding_settles_a_half_in_its_own_way() {
        use Rounding::{Down, HalfEven, HalfUp, Up};
        let settled = |amount| [Down, Up, HalfUp, HalfEven].map(|rounding| converted(amount, "EUR", "USD", "0.5", rounding).unwrap());
        assert_eq!(settled(1), [0, 1, 1, 0]);
        assert_eq!(settled(3), [1, 2, 2, 2]);
        assert_eq!(settled(4), [2, 2, 2, 2]);
        let thirds = |amount| [Down, Up, HalfUp, HalfEven].map(|rounding| converted(amount, "EUR", "USD", "1/3", rounding).unwrap());
        assert_eq!((thirds(1), thirds(2)), ([0, 1, 0, 0], [0, 1, 1, 1]));
    }

    #[test]
    fn what_does_not_fit_is_none_and_never_wraps() {
        assert_eq!(converted(AMOUNT_MAX, "EUR", "USD", "1", Rounding::Down), Some(AMOUNT_MAX));
        assert_eq!(converted(AMOUNT_MAX, "EUR", "USD", "1.000000000001", Rounding::Down), None);
        assert_eq!(converted(AMOUNT_MAX, "EUR", "KWD", "999999999999999999", Rounding::Down), None);
        assert_eq!(converted(AMOUNT_MAX, "JPY", "CLF", "999999999999999999/999999999999999998", Rounding::Down), None);
    }
}
