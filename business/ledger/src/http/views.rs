//! Views out. Amounts of one transfer are JSON integers; totals, which may be larger than those are exact, are decimal text.

use kernel::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::account::{Account, AccountId, Limits, Side, Totals};
use crate::judge::Judged;
use crate::keeper::Sealed;
use crate::queries::{Line, TrialBalance, TrialRow, TrialUnit, Version};
use crate::transfer::{EntryId, Transfer, TransferId};

/// What stands on an account, in minor units as decimal text of any length.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = LedgerTotals)]
pub struct TotalsView {
    /// Posted amounts against each other, positive on the side that the account's kind grows by.
    #[schema(example = "1250")]
    pub balance: String,
    /// Posted debits.
    #[schema(example = "2000")]
    pub debits_posted: String,
    /// Posted credits.
    #[schema(example = "750")]
    pub credits_posted: String,
    /// Pending debits.
    #[schema(example = "0")]
    pub debits_pending: String,
    /// Pending credits.
    #[schema(example = "0")]
    pub credits_pending: String,
    /// What the account's limit leaves, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub available: Option<String>,
}

impl TotalsView {
    pub(super) fn new(account: &Account, totals: &Totals) -> Self {
        let available = match account.limits {
            Limits::None => None,
            Limits::DebitsWithinCredits => Some(totals.debits_left()),
            Limits::CreditsWithinDebits => Some(totals.credits_left()),
        };
        Self {
            balance: account.balance(totals).to_string(),
            debits_posted: totals.debits_posted.to_string(),
            credits_posted: totals.credits_posted.to_string(),
            debits_pending: totals.debits_pending.to_string(),
            credits_pending: totals.credits_pending.to_string(),
            available: available.map(|left| left.to_string()),
        }
    }
}

/// An account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = LedgerAccount)]
pub struct AccountView {
    /// Its identifier.
    #[schema(value_type = String)]
    pub id: AccountId,
    /// What programs call it.
    #[schema(example = "clearing.stripe.eur")]
    pub code: String,
    /// What people call it.
    pub name: String,
    /// `asset`, `liability`, `equity`, `income` or `expense`.
    #[schema(example = "asset")]
    pub kind: String,
    /// What it counts.
    #[schema(example = "EUR")]
    pub unit: String,
    /// How many decimal places the minor unit has.
    #[schema(example = 2)]
    pub exponent: u32,
    /// `none`, `debits_within_credits` or `credits_within_debits`.
    #[schema(example = "none")]
    pub limits: String,
    /// Your own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object, nullable = false)]
    pub metadata: Option<Value>,
    /// When it was opened.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, nullable = false)]
    pub closed_at: Option<Timestamp>,
    /// What stands on it now.
    pub totals: TotalsView,
}

impl AccountView {
    pub(super) fn new(account: &Account, totals: &Totals) -> Self {
        Self {
            id: account.id,
            code: account.code.as_str().to_owned(),
            name: account.name.clone(),
            kind: account.kind.as_str().to_owned(),
            unit: account.unit.as_str().to_owned(),
            exponent: account.unit.exponent(),
            limits: account.limits.as_str().to_owned(),
            metadata: account.metadata.clone(),
            created_at: account.created_at,
            closed_at: account.closed_at,
            totals: TotalsView::new(account, totals),
        }
    }
}

/// A page of accounts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = LedgerAccounts)]
pub struct AccountsView {
    /// By their codes.
    pub items: Vec<AccountView>,
    /// Where the next page begins: hand it back as `after`. Absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next: Option<String>,
    /// The answer saw at least this version of the books.
    #[schema(example = "0-812-4711")]
    pub version: String,
}

/// A balance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = LedgerBalance)]
pub struct BalanceView {
    /// The account.
    #[schema(value_type = String)]
    pub account: AccountId,
    /// What it counts.
    #[schema(example = "EUR")]
    pub unit: String,
    /// The instant that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, nullable = false)]
    pub at: Option<Timestamp>,
    /// What stands or stood on it.
    pub totals: TotalsView,
    /// The answer saw at least this version of the books.
    #[schema(example = "0-812-4711")]
    pub version: String,
}

/// A transfer as it stands in the books.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = LedgerTransfer)]
pub struct TransferView {
    /// Its identifier.
    #[schema(value_type = String)]
    pub id: TransferId,
    /// `transfer`, `pending`, `post`, `void` or `expire`.
    #[schema(example = "transfer")]
    pub kind: String,
    /// The account that was debited.
    #[schema(value_type = String)]
    pub debit: AccountId,
    /// The account that was credited.
    #[schema(value_type = String)]
    pub credit: AccountId,
    /// What the amounts count.
    #[schema(example = "EUR")]
    pub unit: String,
    /// What it posted or made pending, in minor units; 0 where it only released.
    pub amount: i64,
    /// How much pending it took away.
    pub released: i64,
    /// The pending transfer that it resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, nullable = false)]
    pub pending: Option<TransferId>,
    /// When it ends by itself, if it is pending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, nullable = false)]
    pub expires_at: Option<Timestamp>,
    /// The day that it counts from.
    #[schema(value_type = String, format = DateTime)]
    pub effective_at: Timestamp,
    /// When it was recorded.
    #[schema(value_type = String, format = DateTime)]
    pub recorded_at: Timestamp,
    /// The event that it is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, nullable = false)]
    pub entry: Option<EntryId>,
    /// What caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub source: Option<String>,
    /// A line for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub memo: Option<String>,
    /// The caller's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object, nullable = false)]
    pub metadata: Option<Value>,
    /// Who asked for it.
    pub actor: String,
    /// The transfer that posted, voided or ended this one, where it was pending and is told on its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, nullable = false)]
    pub resolved_by: Option<TransferId>,
}

impl From<&Transfer> for TransferView {
    fn from(transfer: &Transfer) -> Self {
        Self {
            id: transfer.id,
            kind: transfer.kind.as_str().to_owned(),
            debit: transfer.debit,
            credit: transfer.credit,
            unit: transfer.unit.as_str().to_owned(),
            amount: transfer.amount,
            released: transfer.released,
            pending: transfer.pending,
            expires_at: transfer.expires_at,
            effective_at: transfer.effective_at,
            recorded_at: transfer.recorded_at,
            entry: transfer.entry,
            source: transfer.source.clone(),
            memo: transfer.memo.clone(),
            metadata: transfer.metadata.clone(),
            actor: transfer.actor.clone(),
            resolved_by: None,
        }
    }
}

/// What became of one transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = LedgerResult)]
pub struct ResultView {
    /// Which, counted from 0.
    pub index: usize,
    /// Its identifier.
    #[schema(value_type = String)]
    pub id: TransferId,
    /// `created`, `exists`, or why it was refused: the words stand in docs/ledger.md.
    #[schema(example = "created")]
    pub result: String,
    /// What it moved, made pending or released, in minor units; 0 where it was refused.
    pub amount: i64,
}

impl ResultView {
    pub(super) fn new(index: usize, id: TransferId, judged: &Judged) -> Self {
        Self { index, id, result: judged.outcome.as_str().to_owned(), amount: judged.amount }
    }
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = LedgerResults)]
pub struct ResultsView {
    /// One for each transfer, in their order.
    pub results: Vec<ResultView>,
    /// The first version of the books that holds all that stands: hand it back as `at_least` to read what you wrote.
    #[schema(example = "0-812-4711")]
    pub version: String,
}

/// An entry: transfers that are one event of the business.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = LedgerEntry)]
pub struct EntryView {
    /// Its identifier.
    #[schema(value_type = String)]
    pub id: EntryId,
    /// In the order in which they were posted.
    pub transfers: Vec<TransferView>,
    /// The first version of the books that holds all of them.
    #[schema(example = "0-812-4711")]
    pub version: String,
}

/// A line of a statement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = LedgerLine)]
pub struct LineView {
    /// Its place in the books.
    pub position: i64,
    /// The account's side of the transfer: `debit` or `credit`.
    #[schema(example = "debit")]
    pub side: String,
    /// When it was booked.
    #[schema(value_type = String, format = DateTime)]
    pub booked_at: Timestamp,
    /// What was posted.
    pub transfer: TransferView,
    /// What stood on the account after it.
    pub after: TotalsView,
}

impl LineView {
    pub(super) fn new(account: &Account, line: &Line) -> Self {
        Self {
            position: line.position,
            side: line.side.as_str().to_owned(),
            booked_at: line.booked_at,
            transfer: TransferView::from(&line.transfer),
            after: TotalsView::new(account, &line.after),
        }
    }
}

/// A page of a statement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = LedgerStatement)]
pub struct StatementView {
    /// The account.
    #[schema(value_type = String)]
    pub account: AccountId,
    /// The newest first.
    pub items: Vec<LineView>,
    /// Where the next page begins: hand it back as `after`. Absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next: Option<String>,
    /// The answer saw at least this version of the books.
    #[schema(example = "0-812-4711")]
    pub version: String,
}

/// An account in a trial balance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = LedgerTrialRow)]
pub struct TrialRowView {
    /// The account.
    #[schema(value_type = String)]
    pub account: AccountId,
    /// What programs call it.
    pub code: String,
    /// What people call it.
    pub name: String,
    /// Its kind.
    #[schema(example = "asset")]
    pub kind: String,
    /// The side on which its balance stands: `debit` or `credit`.
    #[schema(example = "debit")]
    pub side: String,
    /// The balance there, in minor units as decimal text.
    #[schema(example = "1250")]
    pub balance: String,
}

impl From<&TrialRow> for TrialRowView {
    fn from(row: &TrialRow) -> Self {
        let net = row.totals.debits_posted - row.totals.credits_posted;
        let side = if net < 0 { Side::Credit } else { Side::Debit };
        Self {
            account: row.account.id,
            code: row.account.code.as_str().to_owned(),
            name: row.account.name.clone(),
            kind: row.account.kind.as_str().to_owned(),
            side: side.as_str().to_owned(),
            balance: net.unsigned_abs().to_string(),
        }
    }
}

/// The accounts of one unit in a trial balance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = LedgerTrialUnit)]
pub struct TrialUnitView {
    /// What they count.
    #[schema(example = "EUR")]
    pub unit: String,
    /// The sum of the balances on the debit side.
    #[schema(example = "1250")]
    pub debits: String,
    /// The sum of the balances on the credit side: the same, or the books are wrong.
    #[schema(example = "1250")]
    pub credits: String,
    /// Those to which anything was posted, by kind and code; none where only the sums were asked for.
    pub rows: Vec<TrialRowView>,
}

impl TrialUnitView {
    pub(super) fn new(unit: &TrialUnit, rows: Vec<TrialRowView>) -> Self {
        let (debits, credits) = (unit.debits.to_string(), unit.credits.to_string());
        Self { unit: unit.unit.as_str().to_owned(), debits, credits, rows }
    }
}

/// A trial balance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = LedgerTrialBalance)]
pub struct TrialBalanceView {
    /// The instant that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, nullable = false)]
    pub at: Option<Timestamp>,
    /// One for each unit.
    pub units: Vec<TrialUnitView>,
    /// The answer saw at least this version of the books.
    #[schema(example = "0-812-4711")]
    pub version: String,
}

impl TrialBalanceView {
    pub(super) fn new(trial: &TrialBalance, at: Option<Timestamp>, rows: fn(&TrialUnit) -> Vec<TrialRowView>) -> Self {
        let units = trial.units.iter().map(|unit| TrialUnitView::new(unit, rows(unit))).collect();
        Self { at, units, version: trial.version.to_string() }
    }
}

/// The newest seal of the books. Keep it elsewhere: whatever changes in the books below it is found by comparing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = LedgerSeal)]
pub struct SealView {
    /// The block's number, from 1.
    pub number: i64,
    /// The position of its last transfer: it covers everything up to there.
    pub position: i64,
    /// When that was booked.
    #[schema(value_type = String, format = DateTime)]
    pub booked_at: Timestamp,
    /// The SHA-256 over its transfers and the seal before it, in hexadecimal digits.
    pub hash: String,
    /// The answer saw at least this version of the books.
    #[schema(example = "0-812-4711")]
    pub version: String,
}

impl SealView {
    pub(super) fn new(sealed: &Sealed, version: Version) -> Self {
        Self {
            number: sealed.number,
            position: sealed.last_position,
            booked_at: sealed.booked_at,
            hash: sealed.hash.iter().map(|byte| format!("{byte:02x}")).collect(),
            version: version.to_string(),
        }
    }
}

/// A conversion as it stands in the books.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = LedgerConversion)]
pub struct ConversionView {
    /// The entry of its two transfers.
    #[schema(value_type = String)]
    pub entry: EntryId,
    /// `created`, or `exists` where it was asked for before.
    #[schema(example = "created")]
    pub result: String,
    /// What left, in minor units.
    #[schema(example = 10_000)]
    pub amount_from: i64,
    /// What arrived, in minor units.
    #[schema(example = 16_235)]
    pub amount_to: i64,
    /// The first version of the books that has it.
    #[schema(example = "0-812-4711")]
    pub version: String,
}
