//! The statements that keep the books, for all workspaces at once: the log has one order, and one keeper follows it.
//!
//! Tables: `ledger_keeper`, `ledger_transfers`, `ledger_blocks`, `ledger_balances`, `ledger_history`, `ledger_dated`.

use store::{Row, StoreError};

use super::{id, totals_from, transfer_from};
use crate::account::{AccountId, Totals};
use crate::keeper::{Cursor, Logged, Sealed};

store::statements! {
    CURSOR_EVERYWHERE = sqlite "select era, first_seq, xid, seq, 9223372036854775807 as newest_xid from ledger_keeper where id = 1"
      postgres "select era, first_seq, xid, seq, cast(cast(pg_snapshot_xmax(pg_current_snapshot()) as text) as bigint) as newest_xid
        from ledger_keeper where id = 1";
    UNBOOKED_EVERYWHERE = sqlite "select xid, seq, workspace, id, kind, debit, credit, unit, amount, released, pending, expires_at,
        effective_at, recorded_at, entry, source, memo, metadata, actor from ledger_transfers where seq > $2 and xid >= $1 and seq >= $3
        order by seq limit $4"
      postgres "select xid, seq, workspace, id, kind, debit, credit, unit, amount, released, pending, expires_at,
        effective_at, recorded_at, entry, source, memo, metadata, actor from ledger_transfers
        where (xid, seq) > ($1, $2) and seq >= $3 and xid < cast(cast(pg_snapshot_xmin(pg_current_snapshot()) as text) as bigint)
        order by xid, seq limit $4";
    // After a move to another server nothing of the old one can still be under way, whatever its transactions' numbers.
    FOREIGN_EVERYWHERE = sqlite "select xid, seq, workspace, id, kind, debit, credit, unit, amount, released, pending, expires_at,
        effective_at, recorded_at, entry, source, memo, metadata, actor from ledger_transfers where seq > $2 and xid >= $1 and seq >= $3
        order by seq limit $4"
      postgres "select xid, seq, workspace, id, kind, debit, credit, unit, amount, released, pending, expires_at,
        effective_at, recorded_at, entry, source, memo, metadata, actor from ledger_transfers
        where (xid, seq) > ($1, $2) and seq >= $3 order by xid, seq limit $4";
    // What a statement sees was committed below the end of its own snapshot, unless another server committed it.
    TO_COME_EVERYWHERE = sqlite "select xid, seq from ledger_transfers where seq > $2 and xid > $1 and xid > 0 order by seq limit $3"
      postgres "select xid, seq from ledger_transfers where (xid, seq) > ($1, $2)
        and xid >= cast(cast(pg_snapshot_xmax(pg_current_snapshot()) as text) as bigint) order by xid, seq limit $3";
    NEW_ERA_EVERYWHERE = "update ledger_keeper set era = era + 1, xid = 0, seq = 0,
        first_seq = (select coalesce(max(seq), 0) + 1 from ledger_transfers) where id = 1 and era = $1 and xid = $2 and seq = $3";
    // Guarded by where it stood: of two keepers that booked the same, one changes nothing.
    ADVANCE_EVERYWHERE = "update ledger_keeper set xid = $4, seq = $5 where id = 1 and era = $1 and xid = $2 and seq = $3";
    LAST_BLOCK = "select number, last_position, booked_at, hash from ledger_blocks where workspace = $1 order by number desc limit 1";
    BALANCES = sqlite "select b.account, b.position, b.debits_posted, b.credits_posted, b.debits_pending, b.credits_pending
        from rarray($2) k cross join ledger_balances b on b.workspace = $1 and b.account = k.value"
      postgres "select account, position, debits_posted, credits_posted, debits_pending, credits_pending from ledger_balances
        where workspace = $1 and account = any($2)";
    PUT_BALANCE = sqlite "insert into ledger_balances (workspace, account, position, booked_at, debits_posted, credits_posted, debits_pending,
        credits_pending) values ($1, $2, $3, $4, $5, $6, $7, $8)
        on conflict (workspace, account) do update set position = excluded.position, booked_at = excluded.booked_at,
          debits_posted = excluded.debits_posted, credits_posted = excluded.credits_posted,
          debits_pending = excluded.debits_pending, credits_pending = excluded.credits_pending"
      postgres "insert into ledger_balances (workspace, account, position, booked_at, debits_posted, credits_posted, debits_pending,
        credits_pending)
        select * from unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[])
        on conflict (workspace, account) do update set position = excluded.position, booked_at = excluded.booked_at,
          debits_posted = excluded.debits_posted, credits_posted = excluded.credits_posted,
          debits_pending = excluded.debits_pending, credits_pending = excluded.credits_pending";
    INSERT_HISTORY = sqlite "insert into ledger_history (workspace, epoch, account, position, previous, transfer, side, booked_at,
        debits_posted, credits_posted, debits_pending, credits_pending) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
      postgres "insert into ledger_history (workspace, epoch, account, position, previous, transfer, side, booked_at,
        debits_posted, credits_posted, debits_pending, credits_pending)
        select * from unnest($1::bytea[], $2::bigint[], $3::bytea[], $4::bigint[], $5::bigint[], $6::bytea[], $7::text[], $8::bigint[],
          $9::text[], $10::text[], $11::text[], $12::text[])";
    INSERT_DATED = sqlite "insert into ledger_dated (workspace, account, position, effective_at, booked_at, debit, credit)
        values ($1, $2, $3, $4, $5, $6, $7)"
      postgres "insert into ledger_dated (workspace, account, position, effective_at, booked_at, debit, credit)
        select * from unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])";
    INSERT_BLOCK = "insert into ledger_blocks (workspace, number, first_position, last_position, era, first_xid, first_seq, last_xid, last_seq,
        booked_at, leaves, hash) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
}

pub(crate) fn cursor(row: &Row<'_>) -> Result<(Cursor, i64), StoreError> {
    let cursor = Cursor { era: row.get("era")?, first_seq: row.get("first_seq")?, xid: row.get("xid")?, seq: row.get("seq")? };
    Ok((cursor, row.get("newest_xid")?))
}

/// Transaction and place.
pub(crate) fn at(row: &Row<'_>) -> Result<(i64, i64), StoreError> {
    Ok((row.get(0)?, row.get(1)?))
}

pub(crate) fn logged(row: &Row<'_>) -> Result<Logged, StoreError> {
    Ok(Logged { xid: row.get(0)?, seq: row.get(1)?, workspace: id(row, 2)?, transfer: transfer_from(row, 3)? })
}

pub(crate) fn last_block(row: &Row<'_>) -> Result<Sealed, StoreError> {
    let hash: Vec<u8> = row.get("hash")?;
    Ok(Sealed {
        number: row.get("number")?,
        last_position: row.get("last_position")?,
        booked_at: row.time("booked_at")?,
        hash: hash.try_into().map_err(|_| StoreError::decode(crate::account::WordError("a seal has 32 bytes")))?,
    })
}

pub(crate) fn balance(row: &Row<'_>) -> Result<(AccountId, i64, Totals), StoreError> {
    Ok((id(row, 0)?, row.get(1)?, totals_from(row, 2)?))
}
