//! Settlement: what a provider says that it took and sent, beside what we expected of it. No input or output.
//!
//! An expectation stands for one transfer that touched the provider's clearing account. A line of a report is matched with at
//! most one of them, and no expectation twice; what does not match becomes an exception that a person works off.

mod bank;
mod file;
mod matching;
mod posting;

use kernel::{Currency, Money, Timestamp};
use serde::{Deserialize, Serialize};

use crate::account::ProviderRecord;
use crate::books::{Move, Place};
use crate::intent::{DisputeState, Event, Intent, StepState};
use crate::provider::{Dialect, LineKind, ProviderId, ReportLine};

pub(crate) use bank::names;
pub use bank::{BankLine, BankLineId, read_bank_lines};
pub use file::{COLUMNS, Counted, Format, Reader, count};
pub use matching::{Finding, Known, Matched, find};
pub use posting::{Sum, Transfer, add, transfers};

kernel::id!(
    /// A report of a provider, taken in once.
    pub struct SettlementId = "pst"
);
kernel::id!(
    /// Something that did not match.
    pub struct ExceptionId = "pex"
);

/// Lines that are matched and booked in one unit.
pub const CHUNK_LINES: usize = 500;
/// The largest amount of one line, in minor units: what a chunk comes to is never more than the books take at once.
pub const LINE_AMOUNT_MAX: i64 = 10_000_000_000_000;

/// Something that a provider's report is to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// What it is about: an attempt, a capture, a refund, a payout, by our name.
    pub subject: String,
    /// The attempt that brought the money, or the refund that came back, where that is another one: reports may name it instead.
    pub attempt: Option<String>,
    /// The intent or payout that it belongs to.
    pub owner: String,
    /// Which kind of line is to say it.
    pub kind: LineKind,
    /// How much; below zero for what left the provider.
    pub amount: Money,
    /// It was found missing before.
    pub is_missing: bool,
    /// It was matched before.
    pub is_matched: bool,
}

/// What is expected of a provider because `event` of `intent` moved money.
pub fn expected(intent: &Intent, event: &Event, moved: &Move) -> Option<(ProviderId, Expected)> {
    // What came back of a refund, or again of a dispute, is a line of its own that names the thing which was told before.
    let (subject, of, kind) = match event {
        Event::Charged { attempt, .. } | Event::Quarantined { attempt, .. } => (attempt.to_string(), None, LineKind::Payment),
        Event::PaidMore { attempt, .. } => {
            let place = intent.attempt(*attempt)?.more.len();
            (format!("{attempt}.more.{place}"), Some(attempt.to_string()), LineKind::Payment)
        }
        Event::CaptureMoved { attempt, capture, .. } | Event::CaptureTook { attempt, capture, .. } => {
            (capture.to_string(), Some(attempt.to_string()), LineKind::Payment)
        }
        Event::RefundMoved { refund, to: StepState::Failed { .. }, .. } => {
            (format!("{refund}.returned"), Some(refund.to_string()), LineKind::Refund)
        }
        Event::RefundMoved { refund, .. } | Event::RefundTook { refund, .. } => {
            (refund.to_string(), intent.refund(*refund).map(|refund| refund.attempt.to_string()), LineKind::Refund)
        }
        Event::DisputeMoved { attempt, case, to, .. } => {
            let kind = if *to == DisputeState::Returned { LineKind::Payment } else { LineKind::Refund };
            (format!("{attempt}.{}.{case}", to.as_str()), Some(attempt.to_string()), kind)
        }
        _ => return None,
    };
    let (provider, amount_minor) = match (&moved.debit, &moved.credit) {
        (Place::Clearing(provider), _) => (*provider, moved.amount.amount_minor),
        (_, Place::Clearing(provider)) => (*provider, moved.amount.amount_minor.checked_neg()?),
        _ => return None,
    };
    let amount = Money::new(amount_minor, moved.amount.currency);
    Some((provider, Expected { subject, attempt: of, owner: intent.id.to_string(), kind, amount, is_missing: false, is_matched: false }))
}

/// What is expected of a provider that paid a payout, where its reports list payouts at all.
pub(crate) fn expected_payout(payout: &crate::payout::Payout) -> Option<Expected> {
    if !matches!(payout.dialect, Dialect::Paypal | Dialect::Ramp) {
        return None;
    }
    let (subject, owner) = (payout.id.to_string(), payout.id.to_string());
    let amount = Money::new(payout.amount.amount_minor.checked_neg()?, payout.amount.currency);
    Some(Expected { subject, attempt: None, owner, kind: LineKind::Payout, amount, is_missing: false, is_matched: false })
}

/// How a provider's reports are judged: the object `settlement` of its settings; what is not there has its default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rules {
    /// Differences up to this, in minor units, are matched and booked as differences.
    pub tolerance_minor: i64,
    /// Fees above this share of the gross, in basis points, are exceptions.
    pub fee_max_basis_points: Option<i64>,
    /// After so many days without a line an expectation is missing.
    pub settles_within_days: i64,
    /// One person alone writes off up to this, in minor units.
    pub write_off_alone_max_minor: i64,
}

impl Default for Rules {
    fn default() -> Self {
        Self { tolerance_minor: 0, fee_max_basis_points: None, settles_within_days: 3, write_off_alone_max_minor: 10_000 }
    }
}

impl Rules {
    /// Those of a provider.
    pub fn of(provider: &ProviderRecord) -> Self {
        provider.settings.get("settlement").and_then(|rules| serde_json::from_value(rules.clone()).ok()).unwrap_or_default()
    }
}

/// What sort of thing did not match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExceptionKind {
    /// Expected, past its date, and in no report.
    Missing,
    /// In the report, and not known here.
    Extra,
    /// More than was expected.
    Over,
    /// Less than was expected.
    Under,
    /// In another currency than was expected.
    CurrencyMismatch,
    /// The provider kept more than its rule allows.
    FeeMismatch,
    /// The same thing was in a report before.
    Duplicate,
    /// One thing in several lines, or several things in one.
    Split,
    /// Gross is not fee and net.
    Unbalanced,
    /// The books do not hold what a payment moved.
    Posting,
}

impl ExceptionKind {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Missing,
        Self::Extra,
        Self::Over,
        Self::Under,
        Self::CurrencyMismatch,
        Self::FeeMismatch,
        Self::Duplicate,
        Self::Split,
        Self::Unbalanced,
        Self::Posting,
    ];

    /// Its word in JSON and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Extra => "extra",
            Self::Over => "over",
            Self::Under => "under",
            Self::CurrencyMismatch => "currency_mismatch",
            Self::FeeMismatch => "fee_mismatch",
            Self::Duplicate => "duplicate",
            Self::Split => "split",
            Self::Unbalanced => "unbalanced",
            Self::Posting => "posting",
        }
    }
}

/// A word that says what it should have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not one of the words that are known here")]
pub struct UnknownWord;

impl std::str::FromStr for ExceptionKind {
    type Err = UnknownWord;
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(UnknownWord)
    }
}

/// The word of a line's kind in the database and in the neutral file.
pub const fn kind_word(kind: LineKind) -> &'static str {
    match kind {
        LineKind::Payment => "payment",
        LineKind::Refund => "refund",
        LineKind::Payout => "payout",
        LineKind::Fee => "fee",
    }
}

/// Reads a line's kind.
pub fn parse_kind(word: &str) -> Option<LineKind> {
    [LineKind::Payment, LineKind::Refund, LineKind::Payout, LineKind::Fee].into_iter().find(|kind| kind_word(*kind) == word)
}

/// A report as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// Its identifier.
    pub id: SettlementId,
    /// Whose report it is.
    pub provider: ProviderId,
    /// SHA-256 of its bytes in hexadecimal.
    pub digest: String,
    /// How it was called where it came from.
    pub name: String,
    /// `neutral` or `provider`.
    pub format: String,
    /// `receiving`, `booking`, `done` or `failed`.
    pub state: String,
    /// Why it failed.
    pub note: Option<String>,
    /// Everything that happened before is in it.
    pub covers_until: Option<Timestamp>,
    /// How large it is.
    pub bytes: i64,
    /// How many lines it has; 0 until they were counted.
    pub lines: i64,
    /// How many of them are in the books.
    pub booked: i64,
    /// How many matched.
    pub matched: i64,
    /// How many did not.
    pub exceptions: i64,
    /// Who brought it.
    pub actor: String,
    /// When it came.
    pub created_at: Timestamp,
    /// When the last line was booked.
    pub finished_at: Option<Timestamp>,
}

/// A line of a report as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its place, from 1.
    pub number: i64,
    /// What it says.
    pub line: ReportLine,
    /// `matched`, or the kind of its exception.
    pub outcome: String,
    /// What it was matched with.
    pub subject: Option<String>,
}

/// What a report says of one batch in one currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Its name; empty for lines that name none.
    pub batch: String,
    /// In this currency.
    pub currency: Currency,
    /// What payers paid less what was given back.
    pub gross_minor: i64,
    /// What the provider kept.
    pub fee_minor: i64,
    /// What reaches the bank.
    pub net_minor: i64,
    /// The line of a bank statement that brought it.
    pub bank_line: Option<BankLineId>,
}

/// Something that did not match, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    /// Its identifier.
    pub id: ExceptionId,
    /// At which provider.
    pub provider: ProviderId,
    /// What sort.
    pub kind: ExceptionKind,
    /// Nobody has worked it off yet.
    pub is_open: bool,
    /// The report that it stands in.
    pub settlement: Option<SettlementId>,
    /// The line there.
    pub line: Option<i64>,
    /// What of ours it is about.
    pub subject: Option<String>,
    /// The intent or payout that this belongs to.
    pub owner: Option<String>,
    /// The reference that the line names.
    pub reference: Option<String>,
    /// The provider's own.
    pub provider_ref: Option<String>,
    /// The batch that the line names.
    pub batch: Option<String>,
    /// The currency of the line, or of what was expected.
    pub currency: Currency,
    /// What was expected, in minor units.
    pub expected_minor: Option<i64>,
    /// What the report says, in minor units.
    pub got_minor: Option<i64>,
    /// A line for people.
    pub note: Option<String>,
    /// What one person wants to do and a second has to agree to.
    pub proposed: Option<String>,
    /// Who wants it.
    pub proposed_by: Option<String>,
    /// How it was worked off.
    pub resolution: Option<String>,
    /// How often it changed, from 1.
    pub version: i64,
    /// When it was found.
    pub created_at: Timestamp,
    /// When it was worked off.
    pub resolved_at: Option<Timestamp>,
}

/// One thing that was done about an exception.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The version that it made.
    pub version: i64,
    /// What.
    pub action: String,
    /// Why.
    pub reason: String,
    /// Who.
    pub actor: String,
    /// When.
    pub at: Timestamp,
    /// With these values, as JSON.
    pub body: String,
}

/// Open exceptions of one provider by age.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ageing {
    /// Which provider.
    pub provider: ProviderId,
    /// Less than two days old.
    pub to_1_day: i64,
    /// Two to seven days.
    pub to_7_days: i64,
    /// Eight to thirty days.
    pub to_30_days: i64,
    /// Older.
    pub older: i64,
}

/// SHA-256 in hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    hexadecimal(&sha2::Sha256::digest(bytes))
}

/// Bytes in hexadecimal.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
