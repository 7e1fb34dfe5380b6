//! The statements that read the books.
//!
//! Tables: `ledger_accounts`, `ledger_guarded`, `ledger_transfers`, `ledger_balances`, `ledger_history`, `ledger_dated`,
//! `ledger_blocks`, `ledger_keeper`.

use store::{Row, StoreError};

use super::{id, total};
use crate::account::{AccountId, Side, Totals};
use crate::queries::Version;
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
    // The same for a page of accounts, $2 those with a limit and $3 the others, as one statement sees them all.
    TOTALS_OF = sqlite "select account, 'booked' as kind, debits_posted, credits_posted, debits_pending, credits_pending, 'debit' as side,
          0 as amount, 0 as released from ledger_guarded where workspace = $1 and account in (select value from rarray($2))
        union all select account, 'booked', debits_posted, credits_posted, debits_pending, credits_pending, 'debit', 0, 0
        from ledger_balances where workspace = $1 and account in (select value from rarray($3))
        union all select t.debit, t.kind, '0', '0', '0', '0', 'debit', t.amount, t.released
        from ledger_keeper k join ledger_transfers t on t.seq > k.seq and t.seq >= k.first_seq
        where k.id = 1 and t.workspace = $1 and t.debit in (select value from rarray($3))
        union all select t.credit, t.kind, '0', '0', '0', '0', 'credit', t.amount, t.released
        from ledger_keeper k join ledger_transfers t on t.seq > k.seq and t.seq >= k.first_seq
        where k.id = 1 and t.workspace = $1 and t.credit in (select value from rarray($3))"
      postgres "select account, 'booked' as kind, debits_posted, credits_posted, debits_pending, credits_pending, 'debit' as side,
          cast(0 as bigint) as amount, cast(0 as bigint) as released from ledger_guarded where workspace = $1 and account = any($2)
        union all select account, 'booked', debits_posted, credits_posted, debits_pending, credits_pending, 'debit', 0, 0
        from ledger_balances where workspace = $1 and account = any($3)
        union all select t.debit, t.kind, '0', '0', '0', '0', 'debit', t.amount, t.released
        from ledger_keeper k join ledger_transfers t on (t.xid, t.seq) > (k.xid, k.seq) and t.seq >= k.first_seq
        where k.id = 1 and t.workspace = $1 and t.debit = any($3)
        union all select t.credit, t.kind, '0', '0', '0', '0', 'credit', t.amount, t.released
        from ledger_keeper k join ledger_transfers t on (t.xid, t.seq) > (k.xid, k.seq) and t.seq >= k.first_seq
        where k.id = 1 and t.workspace = $1 and t.credit = any($3)";
    LIST_ACCOUNTS = "select id, code, name, kind, unit, limits, metadata, created_at, closed_at from ledger_accounts
        where workspace = $1 and code > $2 and code >= $3 and code < $4 and (cast($5 as text) is null or kind = $5)
          and (cast($6 as text) is null or unit = $6) and (cast($7 as boolean) is null or (closed_at is null) = $7)
        order by code limit $8";
    // A pending transfer and what resolved it, and what was posted to one entry at several times, follow each other in the log.
    TRANSFERS_OF_ENTRY = "select id, kind, debit, credit, unit, amount, released, pending, expires_at, effective_at, recorded_at,
        entry, source, memo, metadata, actor from ledger_transfers where workspace = $1 and entry = $2 order by seq limit $3";
    TRANSFERS_OF_SOURCE = "select id, kind, debit, credit, unit, amount, released, pending, expires_at, effective_at, recorded_at,
        entry, source, memo, metadata, actor from ledger_transfers where workspace = $1 and source = $2 order by seq limit $3";
    RESOLUTION = "select id, kind, debit, credit, unit, amount, released, pending, expires_at, effective_at, recorded_at,
        entry, source, memo, metadata, actor from ledger_transfers where workspace = $1 and pending is not null and pending = $2";
    VERSION_EVERYWHERE = "select era, xid, seq from ledger_keeper where id = 1";
    // What an older server left is booked, whatever its transactions' numbers were.
    VERSION_OF = sqlite "select k.era, case when t.seq < k.first_seq then 0 else t.xid end as xid,
          case when t.seq < k.first_seq then 0 else t.seq end as seq
        from ledger_keeper k join ledger_transfers t on t.workspace = $1 and t.id in (select value from rarray($2))
        where k.id = 1 order by xid desc, seq desc limit 1"
      postgres "select k.era, case when t.seq < k.first_seq then 0 else t.xid end as xid,
          case when t.seq < k.first_seq then 0 else t.seq end as seq
        from ledger_keeper k join ledger_transfers t on t.workspace = $1 and t.id = any($2)
        where k.id = 1 order by xid desc, seq desc limit 1";
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

pub(crate) fn part_of_account(row: &Row<'_>) -> Result<(AccountId, Totals), StoreError> {
    Ok((id(row, "account")?, part_of_totals(row)?))
}

pub(crate) fn version(row: &Row<'_>) -> Result<Version, StoreError> {
    Ok(Version { era: row.get("era")?, xid: row.get("xid")?, seq: row.get("seq")? })
}
