//! Reading the books, inside a unit of work and outside of one alike.

use kernel::WorkspaceId;
use store::{Reads, StoreError};

use crate::account::{Account, AccountCode, AccountId, Limits, Totals};
use crate::error::LedgerError;
use crate::sql::{self, read};
use crate::transfer::{Transfer, TransferId};

/// The account, or [`LedgerError::NotFound`].
pub async fn account(reads: &mut impl Reads, workspace: WorkspaceId, id: AccountId) -> Result<Account, LedgerError> {
    let found = reads.row(&read::FIND_ACCOUNT, &[sql::raw_p(workspace), sql::raw_p(id)], sql::account).await?;
    found.ok_or(LedgerError::NotFound { what: "account" })
}

/// The account that programs call `code`, if there is one.
pub async fn account_by_code(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    code: &AccountCode,
) -> Result<Option<Account>, StoreError> {
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
