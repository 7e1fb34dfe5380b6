//! The statements that read the books.
//!
//! Tables: `ledger_accounts`, `ledger_guarded`, `ledger_transfers`, `ledger_balances`, `ledger_history`, `ledger_dated`,
//! `ledger_blocks`, `ledger_keeper`.

use store::{Row, StoreError};

use super::total;
use crate::account::{Side, Totals};
use crate::transfer::TransferKind;

store::statements! {
    FIND_ACCOUNT = "select id, code, name, kind, unit, limits, metadata, created_at, closed_at from ledger_accounts where workspace = $1 and id = $2";
    FIND_ACCOUNT_BY_CODE = "select id, code, name, kind, unit, limits, metadata, created_at, closed_at from ledger_accounts
        where workspace = $1 and code = $2";
    FIND_TRANSFER = "select id, kind, debit, credit, unit, amount, released, pending, expires_at, effective_at, recorded_at,
        entry, source, memo, metadata, actor from ledger_transfers where workspace = $1 and id = $2";
    FIND_GUARDED = "select account, debits_posted, credits_posted, debits_pending, credits_pending from ledger_guarded
        where workspace = $1 and account = $2";
    // What was booked and what was not yet, as one statement sees them: a step of the keeper in between would count twice or not at all.
    TOTALS = sqlite "select 'booked' as kind, debits_posted, credits_posted, debits_pending, credits_pending, 'debit' as side,
          0 as amount, 0 as released from ledger_balances where workspace = $1 and account = $2
        union all select t.kind, '0', '0', '0', '0', case when t.debit = $2 then 'debit' else 'credit' end, t.amount, t.released
        from ledger_keeper k join ledger_transfers t on t.seq > k.seq and t.seq >= k.first_seq
        where k.id = 1 and t.workspace = $1 and (t.debit = $2 or t.credit = $2)"
      postgres "select 'booked' as kind, debits_posted, credits_posted, debits_pending, credits_pending, 'debit' as side,
          cast(0 as bigint) as amount, cast(0 as bigint) as released from ledger_balances where workspace = $1 and account = $2
        union all select t.kind, '0', '0', '0', '0', case when t.debit = $2 then 'debit' else 'credit' end, t.amount, t.released
        from ledger_keeper k join ledger_transfers t on (t.xid, t.seq) > (k.xid, k.seq) and t.seq >= k.first_seq
        where k.id = 1 and t.workspace = $1 and (t.debit = $2 or t.credit = $2)";
}

/// Totals to be added up: what was booked, or what one transfer adds.
pub(crate) fn part_of_totals(row: &Row<'_>) -> Result<Totals, StoreError> {
    let kind: String = row.get("kind")?;
    let mut totals = Totals {
        debits_posted: total(row, "debits_posted")?,
        credits_posted: total(row, "credits_posted")?,
        debits_pending: total(row, "debits_pending")?,
        credits_pending: total(row, "credits_pending")?,
    };
    if kind != "booked" {
        let kind: TransferKind = kind.parse().map_err(StoreError::decode)?;
        let (posted, pending) = kind.adds(row.get("amount")?, row.get("released")?);
        totals.add(row.parsed::<Side>("side")?, posted, pending);
    }
    Ok(totals)
}
