//! The statements that post, and how rows of accounts and transfers are read.
//!
//! Tables: `ledger_accounts`, `ledger_guarded`, `ledger_transfers`. What keeps and reads the books stands in `sql/`.

pub(crate) mod by_day;
pub(crate) mod check;
pub(crate) mod history;
pub(crate) mod keep;
pub(crate) mod read;

use kernel::{Id, RawId, Timestamp};
use store::{Index, P, Row, StoreError};

use crate::account::{Account, AccountId, Totals};
use crate::judge::Known;
use crate::transfer::{Transfer, TransferId, TransferKind};

store::statements! {
    INSERT_ACCOUNT = "insert into ledger_accounts (workspace, id, code, name, kind, unit, limits, metadata, created_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict (workspace, code) do nothing";
    INSERT_GUARDED = "insert into ledger_guarded (workspace, account, debits_posted, credits_posted, debits_pending, credits_pending)
        values ($1, $2, '0', '0', '0', '0')";
    CLOSE_ACCOUNT = "update ledger_accounts set closed_at = $3 where workspace = $1 and id = $2 and closed_at is null";
    REOPEN_ACCOUNT = "update ledger_accounts set closed_at = null where workspace = $1 and id = $2 and closed_at is not null";
    // Only what is given, so that of two changes at once neither takes back the other's.
    CHANGE_ACCOUNT = "update ledger_accounts set name = coalesce(cast($3 as text), name),
        metadata = case when cast($4 as boolean) then cast($5 as text) else metadata end where workspace = $1 and id = $2";
    // SQLite goes through the list and looks each one up; `in (select …)` would sort the list into a table of its own first.
    KNOW_ACCOUNTS = sqlite "select a.id, a.unit, a.limits, a.closed_at from rarray($2) k
        cross join ledger_accounts a on a.workspace = $1 and a.id = k.value"
      postgres "select id, unit, limits, closed_at from ledger_accounts where workspace = $1 and id = any($2)";
    // In the order of their keys, so that two units that lock the same accounts never wait for each other in a ring.
    LOCK_GUARDED = sqlite "select g.account, g.debits_posted, g.credits_posted, g.debits_pending, g.credits_pending from rarray($2) k
        cross join ledger_guarded g on g.workspace = $1 and g.account = k.value"
      postgres "select account, debits_posted, credits_posted, debits_pending, credits_pending from ledger_guarded
        where workspace = $1 and account = any($2) order by account for update";
    UPDATE_GUARDED = sqlite "update ledger_guarded set debits_posted = $3, credits_posted = $4, debits_pending = $5, credits_pending = $6
        where workspace = $1 and account = $2"
      postgres "update ledger_guarded g set debits_posted = v.a, credits_posted = v.b, debits_pending = v.c, credits_pending = v.d
        from unnest($1::bytea[], $2::bytea[], $3::text[], $4::text[], $5::text[], $6::text[]) as v(workspace, account, a, b, c, d)
        where g.workspace = v.workspace and g.account = v.account";
    KNOW_TRANSFERS = sqlite "select t.id, t.kind, t.debit, t.credit, t.unit, t.amount, t.released, t.pending, t.expires_at, t.effective_at,
        t.recorded_at, t.entry, t.source, t.memo, t.metadata, t.actor from rarray($2) k
        cross join ledger_transfers t on t.workspace = $1 and t.id = k.value"
      postgres "select id, kind, debit, credit, unit, amount, released, pending, expires_at, effective_at, recorded_at,
        entry, source, memo, metadata, actor from ledger_transfers where workspace = $1 and id = any($2)";
    KNOW_RESOLUTIONS = sqlite "select t.pending, t.kind from rarray($2) k
        cross join ledger_transfers t on t.workspace = $1 and t.pending is not null and t.pending = k.value"
      postgres "select pending, kind from ledger_transfers where workspace = $1 and pending is not null and pending = any($2)";
    INSERT_TRANSFER = sqlite "insert into ledger_transfers (workspace, id, kind, debit, credit, unit, amount, released, pending, expires_at,
        effective_at, recorded_at, entry, source, memo, metadata, actor)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) on conflict do nothing"
      postgres "insert into ledger_transfers (workspace, id, kind, debit, credit, unit, amount, released, pending, expires_at,
        effective_at, recorded_at, entry, source, memo, metadata, actor)
        select * from unnest($1::bytea[], $2::bytea[], $3::text[], $4::bytea[], $5::bytea[], $6::text[], $7::bigint[], $8::bigint[],
          $9::bytea[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bytea[], $14::text[], $15::text[], $16::text[], $17::text[])
        on conflict do nothing";
}

/// The bytes behind an identifier, as the ledger's tables hold it.
pub(crate) fn raw(id: impl Id) -> [u8; 16] {
    id.raw().bits().to_be_bytes()
}

/// The same as a parameter.
pub(crate) fn raw_p(id: impl Id) -> P<'static> {
    P::Bytes(raw(id).to_vec().into())
}

/// A list of identifiers as one parameter.
pub(crate) fn raw_list<I: Id>(ids: impl IntoIterator<Item = I>) -> P<'static> {
    P::List(ids.into_iter().map(raw_p).collect())
}

fn from_raw<I: Id>(bytes: &[u8]) -> Result<I, StoreError> {
    let bytes: [u8; 16] = bytes.try_into().map_err(StoreError::decode)?;
    Ok(I::from_raw(RawId::from_bits(u128::from_be_bytes(bytes))))
}

/// An identifier in a column.
pub(crate) fn id<I: Id>(row: &Row<'_>, column: impl Index) -> Result<I, StoreError> {
    from_raw(&row.get::<Vec<u8>>(column)?)
}

/// An identifier or null.
pub(crate) fn opt_id<I: Id>(row: &Row<'_>, column: impl Index) -> Result<Option<I>, StoreError> {
    row.get::<Option<Vec<u8>>>(column)?.map(|bytes| from_raw(&bytes)).transpose()
}

/// A decimal number of any length.
fn total(row: &Row<'_>, column: impl Index) -> Result<i128, StoreError> {
    row.get::<String>(column)?.parse().map_err(StoreError::decode)
}

pub(crate) fn totals(row: &Row<'_>) -> Result<Totals, StoreError> {
    Ok(Totals {
        debits_posted: total(row, "debits_posted")?,
        credits_posted: total(row, "credits_posted")?,
        debits_pending: total(row, "debits_pending")?,
        credits_pending: total(row, "credits_pending")?,
    })
}

/// Totals whose four columns begin at `first`.
pub(crate) fn totals_from(row: &Row<'_>, first: usize) -> Result<Totals, StoreError> {
    Ok(Totals {
        debits_posted: total(row, first)?,
        credits_posted: total(row, first + 1)?,
        debits_pending: total(row, first + 2)?,
        credits_pending: total(row, first + 3)?,
    })
}

/// Totals as four parameters.
pub(crate) fn totals_p(totals: &Totals) -> [P<'static>; 4] {
    [totals.debits_posted, totals.credits_posted, totals.debits_pending, totals.credits_pending]
        .map(|total| P::Text(total.to_string().into()))
}

pub(crate) fn known(row: &Row<'_>) -> Result<(AccountId, Known), StoreError> {
    let known = Known { unit: row.parsed(1)?, limits: row.parsed(2)?, is_closed: row.opt_time(3)?.is_some() };
    Ok((id(row, 0)?, known))
}

pub(crate) fn guarded(row: &Row<'_>) -> Result<(AccountId, Totals), StoreError> {
    Ok((id(row, 0)?, totals_from(row, 1)?))
}

pub(crate) fn resolution(row: &Row<'_>) -> Result<(TransferId, TransferKind), StoreError> {
    Ok((id(row, "pending")?, row.parsed("kind")?))
}

/// JSON text or null.
fn opt_json(row: &Row<'_>, column: impl Index) -> Result<Option<serde_json::Value>, StoreError> {
    row.get::<Option<String>>(column)?.map(|text| serde_json::from_str(&text).map_err(StoreError::decode)).transpose()
}

pub(crate) fn transfer(row: &Row<'_>) -> Result<Transfer, StoreError> {
    transfer_from(row, 0)
}

/// A transfer whose sixteen columns begin at `first`, in the order of [`KNOW_TRANSFERS`]. By number: most rows that are read
/// are these, and finding a column by its name costs more than reading it.
pub(crate) fn transfer_from(row: &Row<'_>, first: usize) -> Result<Transfer, StoreError> {
    Ok(Transfer {
        id: id(row, first)?,
        kind: row.parsed(first + 1)?,
        debit: id(row, first + 2)?,
        credit: id(row, first + 3)?,
        unit: row.parsed(first + 4)?,
        amount: row.get(first + 5)?,
        released: row.get(first + 6)?,
        pending: opt_id(row, first + 7)?,
        expires_at: row.opt_time(first + 8)?,
        effective_at: row.time(first + 9)?,
        recorded_at: row.time(first + 10)?,
        entry: opt_id(row, first + 11)?,
        source: row.get(first + 12)?,
        memo: row.get(first + 13)?,
        metadata: opt_json(row, first + 14)?,
        actor: row.get(first + 15)?,
    })
}

pub(crate) fn account(row: &Row<'_>) -> Result<Account, StoreError> {
    Ok(Account {
        id: id(row, "id")?,
        code: row.parsed("code")?,
        name: row.get("name")?,
        kind: row.parsed("kind")?,
        unit: row.parsed("unit")?,
        limits: row.parsed("limits")?,
        metadata: opt_json(row, "metadata")?,
        created_at: row.time("created_at")?,
        closed_at: row.opt_time("closed_at")?,
    })
}

/// A transfer as a row of [`INSERT_TRANSFER`], after the workspace.
pub(crate) fn transfer_row<'a>(workspace: &'a [u8; 16], transfer: &'a Transfer) -> Vec<P<'a>> {
    let bytes = |id: [u8; 16]| P::Bytes(id.to_vec().into());
    let text = |text: &'a Option<String>| text.as_deref().map_or(P::Null, |text| P::Text(text.into()));
    let time = |time: Timestamp| P::Int(time.as_micros());
    vec![
        P::Bytes(workspace.as_slice().into()),
        bytes(raw(transfer.id)),
        P::Text(transfer.kind.as_str().into()),
        bytes(raw(transfer.debit)),
        bytes(raw(transfer.credit)),
        P::Text(transfer.unit.as_str().into()),
        P::Int(transfer.amount),
        P::Int(transfer.released),
        transfer.pending.map_or(P::Null, raw_p),
        transfer.expires_at.map_or(P::Null, time),
        time(transfer.effective_at),
        time(transfer.recorded_at),
        transfer.entry.map_or(P::Null, raw_p),
        text(&transfer.source),
        text(&transfer.memo),
        transfer.metadata.as_ref().map_or(P::Null, |value| P::Text(value.to_string().into())),
        P::Text(transfer.actor.as_str().into()),
    ]
}
