//! Reading the books, inside a unit of work and outside of one alike.

pub mod by_day;
mod statement;
mod trial;
mod version;

use std::collections::HashMap;

use kernel::WorkspaceId;
use store::{Reads, StoreError};

use crate::account::{Account, AccountCode, AccountId, AccountKind, Limits, Totals, Unit};
use crate::error::LedgerError;
use crate::keeper::Sealed;
use crate::sql::{self, keep, read};
use crate::transfer::{EntryId, Transfer, TransferId};

pub use statement::{Dating, Line, Period, statement, statement_forward, totals_at};
pub use trial::{TrialBalance, TrialRow, TrialUnit, trial_balance};
pub use version::{Version, VersionError, version, version_of, version_of_last, wait_for};

/// The most transfers of one entry that are read.
const ENTRY_MAX: i64 = 8_000;

/// Which accounts are asked for; nothing said lets all of them through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountFilter {
    /// Only these.
    pub kind: Option<AccountKind>,
    /// Only those that count this.
    pub unit: Option<Unit>,
    /// Only those whose code begins so.
    pub code_prefix: Option<String>,
    /// Only open ones, or only closed ones.
    pub is_open: Option<bool>,
}

/// The accounts that `filter` lets through, in the order of their codes, those after the code `after`.
pub async fn accounts(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    filter: &AccountFilter,
    after: Option<&AccountCode>,
    limit: u32,
) -> Result<Vec<Account>, LedgerError> {
    let low = filter.code_prefix.clone().unwrap_or_default();
    // No character of a code sorts behind the tilde.
    let high = format!("{low}~");
    let (own, after, limit) = (sql::raw_p(workspace), after.map_or("", AccountCode::as_str), i64::from(limit));
    let (kind, unit) = (filter.kind.map(AccountKind::as_str), filter.unit.as_ref().map(Unit::as_str));
    let params = store::params![own, after, low, high, kind, unit, filter.is_open, limit];
    Ok(reads.rows(&read::LIST_ACCOUNTS, params, sql::account).await?)
}

/// The account, or [`LedgerError::NotFound`].
pub async fn account(reads: &mut impl Reads, workspace: WorkspaceId, id: AccountId) -> Result<Account, LedgerError> {
    let found = reads.row(&read::FIND_ACCOUNT, &[sql::raw_p(workspace), sql::raw_p(id)], sql::account).await?;
    found.ok_or(LedgerError::NotFound { what: "account" })
}

/// The account that programs call `code`, if there is one.
pub async fn account_by_code(reads: &mut impl Reads, workspace: WorkspaceId, code: &AccountCode) -> Result<Option<Account>, StoreError> {
    reads.row(&read::FIND_ACCOUNT_BY_CODE, store::params![sql::raw_p(workspace), code.as_str()], sql::account).await
}

/// The transfer, if there is one.
pub async fn transfer(reads: &mut impl Reads, workspace: WorkspaceId, id: TransferId) -> Result<Option<Transfer>, StoreError> {
    reads.row(&read::FIND_TRANSFER, &[sql::raw_p(workspace), sql::raw_p(id)], sql::transfer).await
}

/// What stands on the account now, everything that is committed included.
pub async fn totals(reads: &mut impl Reads, workspace: WorkspaceId, account: &Account) -> Result<Totals, StoreError> {
    let params = [sql::raw_p(workspace), sql::raw_p(account.id)];
    if account.limits != Limits::None {
        let found = reads.row(&read::FIND_GUARDED, &params, sql::guarded).await?;
        return Ok(found.map(|(_, totals)| totals).unwrap_or_default());
    }
    let parts = reads.rows(&read::TOTALS, &params, read::part_of_totals).await?;
    Ok(parts.into_iter().fold(Totals::default(), |sum, part| sum.plus(&part)))
}

/// As [`totals`], for a page of accounts at once and as of one instant.
pub async fn totals_of(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    accounts: &[Account],
) -> Result<HashMap<AccountId, Totals>, LedgerError> {
    let mut of_accounts: HashMap<AccountId, Totals> = accounts.iter().map(|account| (account.id, Totals::default())).collect();
    let (limited, others): (Vec<&Account>, Vec<&Account>) = accounts.iter().partition(|account| account.limits != Limits::None);
    let ids = |accounts: Vec<&Account>| sql::raw_list(accounts.into_iter().map(|account| account.id));
    let params = [sql::raw_p(workspace), ids(limited), ids(others)];
    for (account, part) in reads.rows(&read::TOTALS_OF, &params, read::part_of_account).await? {
        let sum = of_accounts.entry(account).or_default();
        *sum = sum.plus(&part);
    }
    Ok(of_accounts)
}

/// The transfers of an entry in the order of the log, or [`LedgerError::NotFound`].
pub async fn entry(reads: &mut impl Reads, workspace: WorkspaceId, id: EntryId) -> Result<Vec<Transfer>, LedgerError> {
    let params = [sql::raw_p(workspace), sql::raw_p(id), store::P::Int(ENTRY_MAX)];
    let transfers = reads.rows(&read::TRANSFERS_OF_ENTRY, &params, sql::transfer).await?;
    if transfers.is_empty() { Err(LedgerError::NotFound { what: "entry" }) } else { Ok(transfers) }
}

/// What posted, voided or ended the pending transfer, if something did.
pub async fn resolution(reads: &mut impl Reads, workspace: WorkspaceId, pending: TransferId) -> Result<Option<Transfer>, LedgerError> {
    Ok(reads.row(&read::RESOLUTION, &[sql::raw_p(workspace), sql::raw_p(pending)], sql::transfer).await?)
}

/// The newest seal of the workspace's books, if anything is booked.
pub async fn seal(reads: &mut impl Reads, workspace: WorkspaceId) -> Result<Option<Sealed>, LedgerError> {
    Ok(reads.row(&keep::LAST_BLOCK, &[sql::raw_p(workspace)], keep::last_block).await?)
}

/// What `source` caused, in the order of the log.
pub async fn transfers_of_source(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    source: &str,
    limit: u32,
) -> Result<Vec<Transfer>, LedgerError> {
    let params = [sql::raw_p(workspace), store::P::Text(source.into()), store::P::Int(i64::from(limit))];
    Ok(reads.rows(&read::TRANSFERS_OF_SOURCE, &params, sql::transfer).await?)
}
