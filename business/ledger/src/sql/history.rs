//! The statements that read what was booked: statements of an account, balances at a past time, the trial balance.
//!
//! Tables: `ledger_history`, `ledger_balances`, `ledger_blocks`, `ledger_dated`, `ledger_transfers`, `ledger_accounts`,
//! `ledger_keeper`. An epoch is 4,096 positions (`keeper::EPOCH`). Rows of the history never change, and a row names its
//! account's previous one: whoever walks back from a position meets the same rows, whatever is booked meanwhile.

use store::{Row, StoreError};

use super::{account, id, totals, transfer_from};
use crate::account::{Account, AccountId, Totals};
use crate::queries::Line;

store::statements! {
    LAST_POSITION = "select position from ledger_balances where workspace = $1 and account = $2";
    // The account's last row of an epoch at or below a position, and booked before an instant.
    LAST_IN_EPOCH = "select position, debits_posted, credits_posted, debits_pending, credits_pending from ledger_history
        where workspace = $1 and epoch = $2 and account = $3 and position <= $4 and booked_at < $5 order by position desc limit 1";
    BEFORE_EPOCH = "select previous from ledger_history where workspace = $1 and epoch = $2 and account = $3 order by position limit 1";
    // The account's last position in each epoch in which it moved, the newest first, down to the first epoch at or below $3:
    // one seek each.
    EPOCHS_BACK = "with recursive walk (position) as (
          select b.position from ledger_balances b where b.workspace = $1 and b.account = $2
          union all
          select (select h.previous from ledger_history h
              where h.workspace = $1 and h.epoch = w.position / 4096 and h.account = $2 order by h.position limit 1)
          from walk w where w.position / 4096 > $3)
        select position from walk where position > 0 order by position desc";
    // From row to row by `previous`: as many seeks as lines, wherever they stand.
    LINES_BACK = "with recursive chain (position, previous, transfer, side, booked_at, debits_posted, credits_posted, debits_pending,
            credits_pending, lines) as (
          select h.position, h.previous, h.transfer, h.side, h.booked_at, h.debits_posted, h.credits_posted, h.debits_pending,
            h.credits_pending, cast(1 as bigint)
          from ledger_history h where h.workspace = $1 and h.epoch = $3 and h.account = $2 and h.position = $4
          union all
          select h.position, h.previous, h.transfer, h.side, h.booked_at, h.debits_posted, h.credits_posted, h.debits_pending,
            h.credits_pending, c.lines + 1
          from chain c join ledger_history h
            on h.workspace = $1 and h.epoch = c.previous / 4096 and h.account = $2 and h.position = c.previous
          where c.previous > 0 and c.lines < $6 and c.booked_at >= $5)
        select c.position, c.side, c.booked_at, c.debits_posted, c.credits_posted, c.debits_pending, c.credits_pending,
          t.id, t.kind, t.debit, t.credit, t.unit, t.amount, t.released, t.pending, t.expires_at, t.effective_at, t.recorded_at,
          t.entry, t.source, t.memo, t.metadata, t.actor
        from chain c join ledger_transfers t on t.workspace = $1 and t.id = c.transfer
        where c.booked_at >= $5 order by c.position desc limit $6";
    LINES_FORWARD = "select h.position, h.side, h.booked_at, h.debits_posted, h.credits_posted, h.debits_pending, h.credits_pending,
          t.id, t.kind, t.debit, t.credit, t.unit, t.amount, t.released, t.pending, t.expires_at, t.effective_at, t.recorded_at,
          t.entry, t.source, t.memo, t.metadata, t.actor
        from ledger_history h join ledger_transfers t on t.workspace = $1 and t.id = h.transfer
        where h.workspace = $1 and h.epoch = $3 and h.account = $2 and h.position >= $4 and h.booked_at >= $5 and h.booked_at < $6
        order by h.position limit $7";
    // Where the first transfer that was booked at an instant or later may stand.
    BLOCK_FROM = "select first_position, last_position from ledger_blocks where workspace = $1 and booked_at >= $2
        order by booked_at, number limit 1";
    // What counts from another day than the one it was booked on. The sums are made of halves, so that none overflows.
    DATED = "select
          cast(coalesce(sum(case when position > $4 then debit / 4294967296 else -(debit / 4294967296) end), 0) as bigint) as debits_high,
          cast(coalesce(sum(case when position > $4 then debit % 4294967296 else -(debit % 4294967296) end), 0) as bigint) as debits_low,
          cast(coalesce(sum(case when position > $4 then credit / 4294967296 else -(credit / 4294967296) end), 0) as bigint) as credits_high,
          cast(coalesce(sum(case when position > $4 then credit % 4294967296 else -(credit % 4294967296) end), 0) as bigint) as credits_low
        from ledger_dated where workspace = $1 and account = $2 and position <= $3
          and ((position > $4 and effective_at <= $5) or (position <= $4 and effective_at > $5))";
    // How far the books have come, and up to where they count at an instant: what is booked later is above it.
    BOUND = "select era, xid, seq,
          coalesce((select b.last_position from ledger_blocks b where b.workspace = $1 and b.booked_at > $2
            order by b.booked_at, b.number limit 1),
            (select n.last_position from ledger_blocks n where n.workspace = $1 order by n.number desc limit 1), 0) as bound
        from ledger_keeper where id = 1";
    // The totals of many accounts at once: as they stand where nothing came later, and else each by a walk of its own over the
    // epochs that came after the instant.
    TOTALS_AT = "with recursive page (account, position, booked_at, debits_posted, credits_posted, debits_pending, credits_pending) as (
          select account, position, booked_at, debits_posted, credits_posted, debits_pending, credits_pending from ledger_balances
          where workspace = $1 and account > $4 and account <= $5),
        walk (account, position) as (
          select p.account, p.position from page p where p.position > $3 or p.booked_at > $2
          union all
          select w.account, f.previous from walk w join ledger_history f
            on f.workspace = $1 and f.epoch = w.position / 4096 and f.account = w.account
            and f.position = (select min(m.position) from ledger_history m
              where m.workspace = $1 and m.epoch = w.position / 4096 and m.account = w.account)
          where f.previous > 0 and (f.booked_at > $2 or f.position > $3))
        select a.id, a.code, a.name, a.kind, a.unit, a.limits, a.metadata, a.created_at, a.closed_at,
          p.debits_posted, p.credits_posted, p.debits_pending, p.credits_pending
        from page p join ledger_accounts a on a.workspace = $1 and a.id = p.account
        where p.position <= $3 and p.booked_at <= $2
        union all
        select a.id, a.code, a.name, a.kind, a.unit, a.limits, a.metadata, a.created_at, a.closed_at,
          h.debits_posted, h.credits_posted, h.debits_pending, h.credits_pending
        from (select account, min(position) as position from walk group by account) w
        join ledger_accounts a on a.workspace = $1 and a.id = w.account
        join ledger_history h on h.workspace = $1 and h.epoch = w.position / 4096 and h.account = w.account
          and h.position = (select l.position from ledger_history l
            where l.workspace = $1 and l.epoch = w.position / 4096 and l.account = w.account and l.position <= w.position
              and l.position <= $3 and l.booked_at <= $2 order by l.position desc limit 1)";
    ACCOUNTS_MOVED = "select account from ledger_balances where workspace = $1 and account > $2 order by account limit $3";
}

pub(crate) fn position(row: &Row<'_>) -> Result<i64, StoreError> {
    row.get(0)
}

pub(crate) fn positions(row: &Row<'_>) -> Result<(i64, i64), StoreError> {
    Ok((row.get(0)?, row.get(1)?))
}

pub(crate) fn moved(row: &Row<'_>) -> Result<AccountId, StoreError> {
    id(row, "account")
}

pub(crate) fn position_and_totals(row: &Row<'_>) -> Result<(i64, Totals), StoreError> {
    Ok((row.get("position")?, totals(row)?))
}

pub(crate) fn line(row: &Row<'_>) -> Result<Line, StoreError> {
    Ok(Line {
        position: row.get("position")?,
        side: row.parsed("side")?,
        booked_at: row.time("booked_at")?,
        transfer: transfer_from(row, 7)?,
        after: totals(row)?,
    })
}

/// Posted debits and credits that count from another day.
pub(crate) fn dated(row: &Row<'_>) -> Result<Totals, StoreError> {
    let whole = |high: i64, low: i64| i128::from(high) * (1_i128 << 32) + i128::from(low);
    Ok(Totals {
        debits_posted: whole(row.get("debits_high")?, row.get("debits_low")?),
        credits_posted: whole(row.get("credits_high")?, row.get("credits_low")?),
        ..Totals::default()
    })
}

pub(crate) fn account_and_totals(row: &Row<'_>) -> Result<(Account, Totals), StoreError> {
    Ok((account(row)?, totals(row)?))
}
