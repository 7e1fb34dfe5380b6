//! The statements that look at the books as a whole. They read what is there, however it came there: a row that cannot be
//! understood is an answer too.
//!
//! Tables: `ledger_keeper`, `ledger_transfers`, `ledger_accounts`, `ledger_guarded`, `ledger_blocks`, `ledger_balances`,
//! `ledger_history`, `ledger_dated`.

use kernel::{Id, RawId, Timestamp, WorkspaceId};
use store::{Row, StoreError};

use crate::account::{AccountId, Limits, Side, Totals, Unit};
use crate::seal::{Hash, Seal};
use crate::transfer::{Transfer, TransferKind};

store::statements! {
    // The eras of a database that has moved: where each begins and ends is in its blocks.
    ERAS_EVERYWHERE = "select era, max(first_seq), max(last_seq), min(first_seq), min(last_seq),
        cast(sum(last_position - first_position + 1) as bigint) from ledger_blocks group by era order by era limit 10000";
    COUNT_UNTIL_EVERYWHERE = "select count(*) from ledger_transfers where seq <= $1";
    NTH_AFTER_EVERYWHERE = "select seq from ledger_transfers where seq > $1 order by seq limit 1 offset $2";
    // One era of the log in the order in which the keeper books it.
    LOG_EVERYWHERE = sqlite "select xid, seq, workspace, id, kind, debit, credit, unit, amount, released, pending, expires_at,
        effective_at, recorded_at, entry, source, memo, metadata, actor from ledger_transfers
        where seq > $2 and seq >= $3 and seq <= $4 and workspace >= $5 and workspace <= $6 order by seq limit $7"
      postgres "select xid, seq, workspace, id, kind, debit, credit, unit, amount, released, pending, expires_at,
        effective_at, recorded_at, entry, source, memo, metadata, actor from ledger_transfers
        where (xid, seq) > ($1, $2) and seq >= $3 and seq <= $4 and workspace >= $5 and workspace <= $6 order by xid, seq limit $7";
    BLOCKS = "select number, first_position, last_position, era, first_xid, first_seq, last_xid, last_seq, booked_at, leaves, hash
        from ledger_blocks where workspace = $1 and number > $2 order by number limit $3";
    SEAL = "select workspace, number, last_position, booked_at, hash from ledger_blocks where workspace = $1 and number = $2";
    // Jumps from workspace to workspace, however many blocks each has.
    NEWEST_EVERYWHERE = sqlite "with recursive w(workspace, n) as (
          select (select workspace from ledger_blocks where workspace > $1 order by workspace limit 1), 1
          union all
          select (select b.workspace from ledger_blocks b where b.workspace > w.workspace order by b.workspace limit 1), w.n + 1
          from w where w.workspace is not null and w.n < $2)
        select b.workspace, b.number, b.last_position, b.booked_at, b.hash from w join ledger_blocks b on b.workspace = w.workspace
          and b.number = (select max(m.number) from ledger_blocks m where m.workspace = w.workspace)
        where w.workspace is not null order by b.workspace"
      postgres "with recursive w(workspace, n) as (
          select (select workspace from ledger_blocks where workspace > $1 order by workspace limit 1), cast(1 as bigint)
          union all
          select (select b.workspace from ledger_blocks b where b.workspace > w.workspace order by b.workspace limit 1), w.n + 1
          from w where w.workspace is not null and w.n < $2)
        select b.workspace, b.number, b.last_position, b.booked_at, b.hash from w cross join lateral (select workspace, number,
          last_position, booked_at, hash from ledger_blocks where workspace = w.workspace order by number desc limit 1) b
        where w.workspace is not null order by b.workspace";
    ACCOUNTS_EVERYWHERE = "select workspace, id, code, unit, limits, closed_at from ledger_accounts
        where (workspace, id) > ($1, $2) and workspace <= $3 order by workspace, id limit $4";
    BALANCES_EVERYWHERE = "select workspace, account, debits_posted, credits_posted, debits_pending, credits_pending, position, booked_at
        from ledger_balances where (workspace, account) > ($1, $2) and workspace <= $3 order by workspace, account limit $4";
    GUARDED_EVERYWHERE = "select workspace, account, debits_posted, credits_posted, debits_pending, credits_pending
        from ledger_guarded where (workspace, account) > ($1, $2) and workspace <= $3 order by workspace, account limit $4";
    HISTORY_EVERYWHERE = "select workspace, epoch, account, position, previous, transfer, side, booked_at, debits_posted, credits_posted,
        debits_pending, credits_pending from ledger_history where (workspace, epoch, account, position) > ($1, $2, $3, $4)
        and workspace <= $5 order by workspace, epoch, account, position limit $6";
    DATED_EVERYWHERE = "select workspace, account, position, effective_at, booked_at, debit, credit from ledger_dated
        where (workspace, account, position) > ($1, $2, $3) and workspace <= $4 order by workspace, account, position limit $5";
}

/// Parameters that own their values.
macro_rules! owned {
    ($($value:expr),+ $(,)?) => { &[$(store::Param::p(&$value).into_owned()),+] };
}
pub(crate) use owned;

/// Bytes that should be an identifier.
pub(crate) type Raw = Vec<u8>;

/// The bits of an identifier, or none where it is not one.
pub(crate) fn bits(raw: &[u8]) -> Option<u128> {
    raw.try_into().ok().map(u128::from_be_bytes)
}

fn raw_id<I: Id>(raw: &[u8]) -> Option<I> {
    bits(raw).map(|bits| I::from_raw(RawId::from_bits(bits)))
}

/// A row of the log as it is there.
#[derive(Debug, Clone)]
pub(crate) struct LogRow {
    pub(crate) xid: i64,
    pub(crate) seq: i64,
    pub(crate) workspace: Raw,
    pub(crate) id: Raw,
    /// Which column cannot be understood, where there is one.
    pub(crate) transfer: Result<Box<Transfer>, &'static str>,
}

pub(crate) fn log_row(row: &Row<'_>) -> Result<LogRow, StoreError> {
    let id: Raw = row.get(3)?;
    let transfer = transfer(row, &id)?;
    Ok(LogRow { xid: row.get(0)?, seq: row.get(1)?, workspace: row.get(2)?, id, transfer })
}

/// By position and not by name: ten million rows are read this way.
fn transfer(row: &Row<'_>, id: &[u8]) -> Result<Result<Box<Transfer>, &'static str>, StoreError> {
    let Some(id) = raw_id(id) else { return Ok(Err("id")) };
    let (Some(debit), Some(credit)) = (raw_id(&row.get::<Raw>(5)?), raw_id(&row.get::<Raw>(6)?)) else { return Ok(Err("debit or credit")) };
    let Ok(kind) = row.get::<String>(4)?.parse::<TransferKind>() else { return Ok(Err("kind")) };
    let Ok(unit) = row.get::<String>(7)?.parse::<Unit>() else { return Ok(Err("unit")) };
    let pending = match row.get::<Option<Raw>>(10)? {
        None => None,
        Some(raw) => match raw_id(&raw) {
            Some(pending) => Some(pending),
            None => return Ok(Err("pending")),
        },
    };
    let entry = match row.get::<Option<Raw>>(14)? {
        None => None,
        Some(raw) => match raw_id(&raw) {
            Some(entry) => Some(entry),
            None => return Ok(Err("entry")),
        },
    };
    let metadata = match row.get::<Option<String>>(17)? {
        None => None,
        // Another text of the same value is not what was written. (The last digit of a fraction may come out otherwise.)
        Some(text) => {
            let Ok(value) = serde_json::from_str::<serde_json::Value>(&text) else { return Ok(Err("metadata")) };
            let written = value.to_string();
            if written != text && !has_fraction(&value) {
                return Ok(Err("metadata"));
            }
            Some(value)
        }
    };
    Ok(Ok(Box::new(Transfer {
        id,
        kind,
        debit,
        credit,
        unit,
        amount: row.get(8)?,
        released: row.get(9)?,
        pending,
        expires_at: row.opt_time(11)?,
        effective_at: row.time(12)?,
        recorded_at: row.time(13)?,
        entry,
        source: row.get(15)?,
        memo: row.get(16)?,
        metadata,
        actor: row.get(18)?,
    })))
}

fn has_fraction(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Number(number) => number.is_f64(),
        serde_json::Value::Array(values) => values.iter().any(has_fraction),
        serde_json::Value::Object(fields) => fields.values().any(has_fraction),
        _ => false,
    }
}

/// A block as it is there.
#[derive(Debug, Clone)]
pub(crate) struct BlockRow {
    pub(crate) number: i64,
    pub(crate) first_position: i64,
    pub(crate) last_position: i64,
    pub(crate) era: i64,
    pub(crate) first: (i64, i64),
    pub(crate) last: (i64, i64),
    pub(crate) booked_at: Timestamp,
    pub(crate) leaves: Vec<u8>,
    pub(crate) hash: Vec<u8>,
}

pub(crate) fn block_row(row: &Row<'_>) -> Result<BlockRow, StoreError> {
    Ok(BlockRow {
        number: row.get(0)?,
        first_position: row.get(1)?,
        last_position: row.get(2)?,
        era: row.get(3)?,
        first: (row.get(4)?, row.get(5)?),
        last: (row.get(6)?, row.get(7)?),
        booked_at: row.time(8)?,
        leaves: row.get(9)?,
        hash: row.get(10)?,
    })
}

/// The newest block of a workspace, or another one; none where its workspace or its hash is no such thing.
pub(crate) fn seal(row: &Row<'_>) -> Result<Option<Seal>, StoreError> {
    let (workspace, hash): (Raw, Vec<u8>) = (row.get(0)?, row.get(4)?);
    let (Some(workspace), Ok(hash)) = (raw_id::<WorkspaceId>(&workspace), Hash::try_from(hash)) else { return Ok(None) };
    Ok(Some(Seal { workspace, number: row.get(1)?, last_position: row.get(2)?, booked_at: row.time(3)?, hash }))
}

pub(crate) struct EraRow {
    pub(crate) era: i64,
    /// The greatest place that surely belongs to it.
    pub(crate) last_seq: i64,
    /// The least one.
    pub(crate) first_seq: i64,
    pub(crate) transfers: i64,
}

pub(crate) fn era_row(row: &Row<'_>) -> Result<EraRow, StoreError> {
    let (a, b, c, d): (i64, i64, i64, i64) = (row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?);
    Ok(EraRow { era: row.get(0)?, last_seq: a.max(b), first_seq: c.min(d), transfers: row.get(5)? })
}

pub(crate) fn number(row: &Row<'_>) -> Result<i64, StoreError> {
    row.get(0)
}

#[derive(Debug, Clone)]
pub(crate) struct AccountRow {
    pub(crate) workspace: Raw,
    pub(crate) raw: Raw,
    pub(crate) id: Option<AccountId>,
    pub(crate) code: String,
    pub(crate) unit: Option<Unit>,
    pub(crate) limits: Option<Limits>,
    pub(crate) is_closed: bool,
}

pub(crate) fn account_row(row: &Row<'_>) -> Result<AccountRow, StoreError> {
    let raw: Raw = row.get(1)?;
    Ok(AccountRow {
        workspace: row.get(0)?,
        id: raw_id(&raw),
        raw,
        code: row.get(2)?,
        unit: row.get::<String>(3)?.parse().ok(),
        limits: row.get::<String>(4)?.parse().ok(),
        is_closed: row.opt_time(5)?.is_some(),
    })
}

/// A decimal number as it is written, and in no other way.
fn total(text: &str) -> Option<i128> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_plain = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.is_empty() && (digits == text || digits != "0");
    if !is_plain || (digits.len() > 1 && digits.starts_with('0')) {
        return None;
    }
    if text.len() <= 18 { text.parse::<i64>().ok().map(i128::from) } else { text.parse().ok() }
}

/// Four columns from `at` on; none where one is no number.
fn totals(row: &Row<'_>, at: usize) -> Result<Option<Totals>, StoreError> {
    let mut read = [Some(0); 4];
    for (index, slot) in read.iter_mut().enumerate() {
        *slot = total(&row.get::<String>(at + index)?);
    }
    let [Some(debits_posted), Some(credits_posted), Some(debits_pending), Some(credits_pending)] = read else { return Ok(None) };
    Ok(Some(Totals { debits_posted, credits_posted, debits_pending, credits_pending }))
}

/// Totals of an account as they are kept, and for booked ones where they come from.
#[derive(Debug, Clone)]
pub(crate) struct TotalsRow {
    pub(crate) workspace: Raw,
    pub(crate) account: Raw,
    pub(crate) totals: Option<Totals>,
    pub(crate) place: Option<(i64, Timestamp)>,
}

pub(crate) fn guarded_row(row: &Row<'_>) -> Result<TotalsRow, StoreError> {
    Ok(TotalsRow { workspace: row.get(0)?, account: row.get(1)?, totals: totals(row, 2)?, place: None })
}

pub(crate) fn balance_row(row: &Row<'_>) -> Result<TotalsRow, StoreError> {
    Ok(TotalsRow { place: Some((row.get(6)?, row.time(7)?)), ..guarded_row(row)? })
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct HistoryRow {
    pub(crate) epoch: i64,
    pub(crate) account: u128,
    pub(crate) position: i64,
    pub(crate) previous: i64,
    pub(crate) transfer: u128,
    pub(crate) side: Side,
    pub(crate) booked_at: i64,
    pub(crate) totals: Totals,
}

/// A row of the history with its key as it is there; none where it cannot be understood.
pub(crate) struct HistoryAt {
    pub(crate) workspace: Raw,
    pub(crate) epoch: i64,
    pub(crate) account: Raw,
    pub(crate) position: i64,
    pub(crate) row: Option<HistoryRow>,
}

pub(crate) fn history_row(row: &Row<'_>) -> Result<HistoryAt, StoreError> {
    let (workspace, epoch, raw, position): (Raw, i64, Raw, i64) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
    let (transfer, side) = (bits(&row.get::<Raw>(5)?), row.get::<String>(6)?.parse().ok());
    let (previous, booked_at) = (row.get(4)?, row.get(7)?);
    let understood = bits(&raw).zip(transfer).zip(side).zip(totals(row, 8)?);
    let understood = understood.map(|(((account, transfer), side), totals)| HistoryRow {
        epoch,
        account,
        position,
        previous,
        transfer,
        side,
        booked_at,
        totals,
    });
    Ok(HistoryAt { workspace, epoch, account: raw, position, row: understood })
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct DatedRow {
    pub(crate) account: u128,
    pub(crate) position: i64,
    pub(crate) effective_at: i64,
    pub(crate) booked_at: i64,
    pub(crate) debit: i64,
    pub(crate) credit: i64,
}

pub(crate) struct DatedAt {
    pub(crate) workspace: Raw,
    pub(crate) account: Raw,
    pub(crate) position: i64,
    pub(crate) row: Option<DatedRow>,
}

pub(crate) fn dated_row(row: &Row<'_>) -> Result<DatedAt, StoreError> {
    let (workspace, raw, position): (Raw, Raw, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let (effective_at, booked_at, debit, credit) = (row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?);
    let understood = bits(&raw).map(|account| DatedRow { account, position, effective_at, booked_at, debit, credit });
    Ok(DatedAt { workspace, account: raw, position, row: understood })
}
