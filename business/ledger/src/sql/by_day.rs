//! The statements that read the books by the day that transfers count from, and what seals a transfer.
//!
//! Tables: `ledger_dated`, `ledger_history`, `ledger_transfers`, `ledger_blocks`. Sums are made of halves, so that none overflows.

use store::{Row, StoreError};

use super::{history, id};
use crate::account::{AccountId, Totals};
use crate::queries::Line;

store::statements! {
    // The newest by the day that they count from, below a day and a position.
    DATED_BACK = "select h.position, h.side, h.booked_at, h.debits_posted, h.credits_posted,
          h.debits_pending, h.credits_pending, t.id, t.kind, t.debit, t.credit, t.unit, t.amount, t.released, t.pending, t.expires_at,
          t.effective_at, t.recorded_at, t.entry, t.source, t.memo, t.metadata, t.actor, d.effective_at as counts_at
        from (select position, effective_at from ledger_dated where workspace = $1 and account = $2
            and effective_at >= $3 and effective_at < $4 and (effective_at < $5 or (effective_at = $5 and position < $6))
            order by effective_at desc, position desc limit $7) d
        join ledger_history h on h.workspace = $1 and h.epoch = d.position / 4096 and h.account = $2 and h.position = d.position
        join ledger_transfers t on t.workspace = $1 and t.id = h.transfer
        order by d.effective_at desc, d.position desc";
    FIRST_DATED = "select min(effective_at) as first from ledger_dated where workspace = $1 and account = $2";
    // What counts inside of each step of a span without being booked there, and what is booked there without counting there.
    DATED_STEPS = "select step, cast(sum(sign * (debit / 4294967296)) as bigint) as debits_high,
          cast(sum(sign * (debit % 4294967296)) as bigint) as debits_low,
          cast(sum(sign * (credit / 4294967296)) as bigint) as credits_high,
          cast(sum(sign * (credit % 4294967296)) as bigint) as credits_low
        from (select (effective_at - $3) / $5 as step, debit, credit, 1 as sign from ledger_dated
            where workspace = $1 and account = $2 and effective_at >= $3 and effective_at < $4
          union all select (booked_at - $3) / $5, debit, credit, -1 from ledger_dated
            where workspace = $1 and account = $2 and booked_at >= $3 and booked_at < $4) d
        group by step order by step";
    // The same at one instant, for all accounts.
    DATED_ACCOUNTS = "select account, cast(sum(sign * (debit / 4294967296)) as bigint) as debits_high,
          cast(sum(sign * (debit % 4294967296)) as bigint) as debits_low,
          cast(sum(sign * (credit / 4294967296)) as bigint) as credits_high,
          cast(sum(sign * (credit % 4294967296)) as bigint) as credits_low
        from (select account, debit, credit, case when booked_at > $2 then 1 else -1 end as sign from ledger_dated
            where workspace = $1 and ((booked_at > $2 and effective_at <= $2) or (booked_at <= $2 and effective_at > $2))) d
        group by account";
    // The first block that ends at or behind a place in the log. None ends before it that was booked before it was recorded.
    BLOCK_OVER = "select number, last_position, booked_at, hash from ledger_blocks where workspace = $1 and booked_at >= $2
          and (era > $3 or (era = $3 and (last_xid > $4 or (last_xid = $4 and last_seq >= $5))))
        order by booked_at, number limit 1";
}

pub(crate) fn dated_line(row: &Row<'_>) -> Result<(i64, Line), StoreError> {
    Ok((row.get("counts_at")?, history::line(row)?))
}

pub(crate) fn first(row: &Row<'_>) -> Result<Option<i64>, StoreError> {
    row.get("first")
}

pub(crate) fn step(row: &Row<'_>) -> Result<(i64, Totals), StoreError> {
    Ok((row.get("step")?, history::dated(row)?))
}

pub(crate) fn of_account(row: &Row<'_>) -> Result<(AccountId, Totals), StoreError> {
    Ok((id(row, "account")?, history::dated(row)?))
}
