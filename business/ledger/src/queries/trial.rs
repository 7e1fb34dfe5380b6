//! The trial balance: what stands on all accounts, debits against credits.

use std::collections::BTreeMap;

use kernel::{Timestamp, WorkspaceId};
use store::{P, Reads, Row, StoreError};

use super::Version;
use crate::account::{Account, AccountKind, Totals, Unit};
use crate::error::LedgerError;
use crate::sql::{self, history, read};

/// Accounts that one statement adds up.
const PAGE: i64 = 1_000;

/// An account with what stands on it.
#[derive(Debug, Clone, PartialEq)]
pub struct TrialRow {
    /// The account.
    pub account: Account,
    /// Its totals.
    pub totals: Totals,
}

/// The accounts of one unit.
#[derive(Debug, Clone, PartialEq)]
pub struct TrialUnit {
    /// What they count.
    pub unit: Unit,
    /// Those to which anything was posted, by kind and code.
    pub rows: Vec<TrialRow>,
    /// The sum of the balances on the debit side.
    pub debits: i128,
    /// The sum of the balances on the credit side; the same, or the books are wrong.
    pub credits: i128,
}

/// What stands on all accounts.
#[derive(Debug, Clone, PartialEq)]
pub struct TrialBalance {
    /// The books have come at least this far.
    pub version: Version,
    /// One for each unit, in their order.
    pub units: Vec<TrialUnit>,
}

/// What stood on all accounts at the end of the instant `at`, or stands now, as far as it is booked.
pub async fn trial_balance(reads: &mut impl Reads, workspace: WorkspaceId, at: Option<Timestamp>) -> Result<TrialBalance, LedgerError> {
    let at = at.map_or(i64::MAX, Timestamp::as_micros);
    let own = sql::raw_p(workspace);
    let start = reads.row(&history::BOUND, &[own.clone(), P::Int(at)], version_and_bound).await?;
    // Up to this position the books never change: accounts that are added up one page after the other agree.
    let (version, bound) = start.ok_or(LedgerError::NotFound { what: "keeper" })?;
    let mut rows = Vec::new();
    let mut after = P::Bytes(Vec::new().into());
    loop {
        // An account that is moved for the first time from now on has nothing at or below the bound.
        let moved = reads.rows(&history::ACCOUNTS_MOVED, &[own.clone(), after.clone(), P::Int(PAGE)], history::moved).await?;
        let Some(last) = moved.last().copied().map(sql::raw_p) else { break };
        let params = [own.clone(), P::Int(at), P::Int(bound), after, last.clone()];
        for (account, totals) in reads.rows(&history::TOTALS_AT, &params, history::account_and_totals).await? {
            if totals.debits_posted != 0 || totals.credits_posted != 0 {
                rows.push(TrialRow { account, totals });
            }
        }
        after = last;
    }
    Ok(TrialBalance { version, units: by_unit(rows) })
}

fn version_and_bound(row: &Row<'_>) -> Result<(Version, i64), StoreError> {
    Ok((read::version(row)?, row.get("bound")?))
}

/// The rows of each unit in their order, with its sums.
pub(super) fn by_unit(rows: Vec<TrialRow>) -> Vec<TrialUnit> {
    let mut units: BTreeMap<Unit, Vec<TrialRow>> = BTreeMap::new();
    for row in rows {
        units.entry(row.account.unit.clone()).or_default().push(row);
    }
    units.into_iter().map(|(unit, rows)| summed(unit, rows)).collect()
}

fn summed(unit: Unit, mut rows: Vec<TrialRow>) -> TrialUnit {
    let place = |kind: AccountKind| AccountKind::ALL.iter().position(|known| *known == kind);
    rows.sort_by(|a, b| (place(a.account.kind), &a.account.code).cmp(&(place(b.account.kind), &b.account.code)));
    let (mut debits, mut credits) = (0, 0);
    for row in &rows {
        let net = row.totals.debits_posted - row.totals.credits_posted;
        if net > 0 { debits += net } else { credits -= net }
    }
    TrialUnit { unit, rows, debits, credits }
}
