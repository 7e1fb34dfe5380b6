//! Accounts: what money or points stand on, and how far they may go.

use std::fmt;
use std::str::FromStr;

use kernel::{Currency, Timestamp};
use serde_json::Value;

kernel::id!(
    /// An account of the books.
    pub struct AccountId = "acc"
);

/// A word or a text that is not what it should be; says what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WordError(pub &'static str);

/// The five kinds of account of double-entry book-keeping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AccountKind {
    /// What the business has: cash, clearing accounts, receivables.
    Asset,
    /// What it owes: wallets, payables, points.
    Liability,
    /// What it earned.
    Income,
    /// What it spent.
    Expense,
    /// What belongs to its owners, exchange accounts included.
    Equity,
}

impl AccountKind {
    /// All of them, in the order of a trial balance.
    pub const ALL: [Self; 5] = [Self::Asset, Self::Liability, Self::Equity, Self::Income, Self::Expense];

    /// Its word in JSON and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Asset => "asset",
            Self::Liability => "liability",
            Self::Income => "income",
            Self::Expense => "expense",
            Self::Equity => "equity",
        }
    }

    /// Whether debits make its balance grow: assets and expenses. The others grow by credits.
    pub const fn grows_by_debits(self) -> bool {
        matches!(self, Self::Asset | Self::Expense)
    }
}

impl FromStr for AccountKind {
    type Err = WordError;
    fn from_str(text: &str) -> Result<Self, WordError> {
        let word = WordError("must be asset, liability, income, expense or equity");
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(word)
    }
}

/// A limit of an account. It counts what is pending, so that a promise can be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Limits {
    /// None: its balance may take either sign.
    #[default]
    None,
    /// Debits, pending ones included, must not exceed posted credits: a wallet.
    DebitsWithinCredits,
    /// Credits, pending ones included, must not exceed posted debits: a till.
    CreditsWithinDebits,
}

impl Limits {
    /// Its word in JSON and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::DebitsWithinCredits => "debits_within_credits",
            Self::CreditsWithinDebits => "credits_within_debits",
        }
    }
}

impl FromStr for Limits {
    type Err = WordError;
    fn from_str(text: &str) -> Result<Self, WordError> {
        let word = WordError("must be none, debits_within_credits or credits_within_debits");
        [Self::None, Self::DebitsWithinCredits, Self::CreditsWithinDebits].into_iter().find(|l| l.as_str() == text).ok_or(word)
    }
}

/// What an account counts: a currency by ISO 4217, or points by a name of their own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Unit(String);

impl Unit {
    /// Reads `EUR`, or `points.` and a name of 1 to 24 small letters, digits and hyphens, such as `points.bakery`.
    pub fn parse(text: &str) -> Result<Self, WordError> {
        let is_points = text.strip_prefix("points.").is_some_and(|name| {
            (1..=24).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        });
        if is_points || Currency::parse(text).is_ok() {
            return Ok(Self(text.to_owned()));
        }
        Err(WordError("must be a currency of ISO 4217 such as EUR, or points. and a name, such as points.bakery"))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The currency, unless these are points.
    pub fn currency(&self) -> Option<Currency> {
        Currency::parse(&self.0).ok()
    }

    /// How many decimal places its minor unit has; points have none.
    pub fn exponent(&self) -> u32 {
        self.currency().map_or(0, Currency::exponent)
    }

    /// An amount of minor units in major ones, without the unit: `-12.34`.
    pub fn major(&self, minor: i128) -> String {
        let (places, sign) = (self.exponent() as usize, if minor < 0 { "-" } else { "" });
        let digits = minor.unsigned_abs().to_string();
        if places == 0 {
            return format!("{sign}{digits}");
        }
        let digits = format!("{digits:0>width$}", width = places + 1);
        let (whole, part) = digits.split_at(digits.len() - places);
        format!("{sign}{whole}.{part}")
    }
}

impl From<Currency> for Unit {
    fn from(currency: Currency) -> Self {
        Self(currency.to_string())
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Unit {
    type Err = WordError;
    fn from_str(text: &str) -> Result<Self, WordError> {
        Self::parse(text)
    }
}

/// What an account is called by programs: unique in its workspace, such as `clearing.stripe.eur` or `wallet.customer.c42.eur`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountCode(String);

impl AccountCode {
    /// Reads 1 to 120 letters, digits, dots, underscores and hyphens.
    pub fn parse(text: &str) -> Result<Self, WordError> {
        let is_good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if (1..=120).contains(&text.len()) && text.bytes().all(is_good) {
            return Ok(Self(text.to_owned()));
        }
        Err(WordError("must be 1 to 120 letters, digits, dots, underscores or hyphens"))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccountCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for AccountCode {
    type Err = WordError;
    fn from_str(text: &str) -> Result<Self, WordError> {
        Self::parse(text)
    }
}

/// Reads what people call an account: 1 to 200 characters that can be seen.
pub fn parse_name(text: &str) -> Result<String, WordError> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > 200 || text.chars().any(char::is_control) {
        return Err(WordError("must be 1 to 200 characters on one line"));
    }
    Ok(text.to_owned())
}

/// Accounts whose code begins so are kept by a module for itself: it opens them when it needs them and has to be able to post to
/// them at any time, so that nobody else opens or closes one.
pub const KEPT_BY_MODULES: &[&str] = &["payments."];

impl AccountCode {
    /// Whether a module keeps the account for itself.
    pub fn is_kept_by_a_module(&self) -> bool {
        KEPT_BY_MODULES.iter().any(|kept| self.0.starts_with(kept))
    }
}

/// What an account is opened with.
#[derive(Debug, Clone, PartialEq)]
pub struct NewAccount {
    /// What programs call it.
    pub code: AccountCode,
    /// What people call it, as [`parse_name`] reads it.
    pub name: String,
    /// Its kind.
    pub kind: AccountKind,
    /// What it counts.
    pub unit: Unit,
    /// How far it may go.
    pub limits: Limits,
    /// The caller's own words about it: a JSON object.
    pub metadata: Option<Value>,
}

/// An account of the books. Only its name, its metadata and whether it is closed ever change.
#[derive(Debug, Clone, PartialEq)]
pub struct Account {
    /// Its identifier.
    pub id: AccountId,
    /// What programs call it.
    pub code: AccountCode,
    /// What people call it.
    pub name: String,
    /// Its kind.
    pub kind: AccountKind,
    /// What it counts.
    pub unit: Unit,
    /// How far it may go.
    pub limits: Limits,
    /// The caller's own words about it.
    pub metadata: Option<Value>,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it was closed.
    pub closed_at: Option<Timestamp>,
}

impl Account {
    /// Its balance, pending amounts left out: positive on the side that its kind grows by.
    pub fn balance(&self, totals: &Totals) -> i128 {
        totals.balance(self.kind)
    }
}

/// What was posted to an account and what is pending on it, in minor units; 128 bits wide, so that amounts of up to 2^53
/// can be added without end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Totals {
    /// Posted debits.
    pub debits_posted: i128,
    /// Posted credits.
    pub credits_posted: i128,
    /// Pending debits.
    pub debits_pending: i128,
    /// Pending credits.
    pub credits_pending: i128,
}

impl Totals {
    /// Posted debits and credits against each other, positive on the side that `kind` grows by.
    pub fn balance(&self, kind: AccountKind) -> i128 {
        let net = self.debits_posted - self.credits_posted;
        if kind.grows_by_debits() { net } else { -net }
    }

    /// How much more may be debited under a limit on debits.
    pub fn debits_left(&self) -> i128 {
        self.credits_posted - self.debits_posted - self.debits_pending
    }

    /// How much more may be credited under a limit on credits.
    pub fn credits_left(&self) -> i128 {
        self.debits_posted - self.credits_posted - self.credits_pending
    }

    /// Whether `limits` hold.
    pub fn are_within(&self, limits: Limits) -> bool {
        match limits {
            Limits::None => true,
            Limits::DebitsWithinCredits => self.debits_left() >= 0,
            Limits::CreditsWithinDebits => self.credits_left() >= 0,
        }
    }

    /// Both added up.
    #[must_use]
    pub const fn plus(&self, other: &Self) -> Self {
        Self {
            debits_posted: self.debits_posted + other.debits_posted,
            credits_posted: self.credits_posted + other.credits_posted,
            debits_pending: self.debits_pending + other.debits_pending,
            credits_pending: self.credits_pending + other.credits_pending,
        }
    }

    /// Adds what a transfer posts to one side and makes pending there (or releases, below zero).
    pub fn add(&mut self, side: Side, posted: i64, pending: i64) {
        let (of_posted, of_pending) = match side {
            Side::Debit => (&mut self.debits_posted, &mut self.debits_pending),
            Side::Credit => (&mut self.credits_posted, &mut self.credits_pending),
        };
        *of_posted += i128::from(posted);
        *of_pending += i128::from(pending);
    }
}

/// A side of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// The left one.
    Debit,
    /// The right one.
    Credit,
}

impl Side {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debit => "debit",
            Self::Credit => "credit",
        }
    }
}

impl FromStr for Side {
    type Err = WordError;
    fn from_str(text: &str) -> Result<Self, WordError> {
        [Self::Debit, Self::Credit].into_iter().find(|side| side.as_str() == text).ok_or(WordError("must be debit or credit"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_a_currency_or_named_points() {
        assert_eq!(Unit::parse("EUR").unwrap().exponent(), 2);
        assert_eq!(Unit::parse("points.bakery").unwrap().exponent(), 0);
        for wrong in ["eur", "EURO", "points.", "points.A", "points", "", "points.x y"] {
            assert!(Unit::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn minor_units_are_written_as_major_ones_whatever_their_size() {
        let written = |unit: &str, minor| Unit::parse(unit).unwrap().major(minor);
        assert_eq!(written("EUR", -5), "-0.05");
        assert_eq!(written("EUR", 123_456), "1234.56");
        assert_eq!(written("JPY", 7), "7");
        assert_eq!(written("KWD", 1_000), "1.000");
        assert_eq!(written("EUR", i128::from(i64::MAX) * 1000), "92233720368547758070.00");
    }

    #[test]
    fn limits_count_what_is_pending() {
        let mut totals = Totals { credits_posted: 100, ..Totals::default() };
        totals.add(Side::Debit, 60, 40);
        assert!(totals.are_within(Limits::DebitsWithinCredits));
        totals.add(Side::Debit, 0, 1);
        assert!(!totals.are_within(Limits::DebitsWithinCredits));
        assert!(totals.are_within(Limits::None));
        totals.add(Side::Debit, 0, -41);
        assert_eq!(totals.debits_left(), 40);
    }
}
