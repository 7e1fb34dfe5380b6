//! What can be done with the books: accounts are opened and closed, transfers are posted. Nothing is ever edited.

pub mod asked;
mod convert;

use std::collections::{HashMap, HashSet};

use kernel::{Id, WorkspaceId};
use serde_json::json;
use store::{P, Reads, Tx};

use crate::account::{Account, AccountCode, AccountId, AccountKind, Limits, NewAccount, Unit};
use crate::error::LedgerError;
use crate::jobs::ExpirePending;
use crate::judge::{Judged, Judgement, Scene, judge};
use crate::transfer::{Action, EntryId, NewTransfer, Outcome, Transfer, TransferId, TransferKind};
use crate::{queries, sql};

pub use convert::{Conversion, Converted, Rate, convert, parse_rounding, rounding_word};

/// What closing an account excludes, and posting does not.
const LOCK: &str = "ledger";

/// Posts a batch in the caller's unit and says what became of each transfer. A refused one changes nothing and leaves the
/// caller to decide; whatever the caller does, the unit stays good.
pub async fn post_batch(tx: &mut Tx, workspace: WorkspaceId, batch: Vec<NewTransfer>) -> Result<Vec<Judged>, LedgerError> {
    if batch.is_empty() {
        return Ok(Vec::new());
    }
    tx.lock_shared(LOCK, &workspace.to_string()).await?;
    let mut scene = gather(tx, workspace, &batch).await?;
    let actor = tx.caller().actor();
    let judgement = judge(&mut scene, batch, tx.now(), &actor);
    record(tx, workspace, &scene, &judgement).await?;
    Ok(judgement.rows)
}

/// Posts transfers that stand or fall together, as one entry; the first refusal is the error, and the caller may go on.
/// An entry without an identifier of its own takes that of its first transfer, so that a repetition is the same entry.
pub async fn post(tx: &mut Tx, workspace: WorkspaceId, source: &str, mut transfers: Vec<NewTransfer>) -> Result<Vec<Judged>, LedgerError> {
    let entry = transfers.first().filter(|_| transfers.len() > 1).map(|first| EntryId::from_raw(first.id.raw()));
    let last = transfers.len().saturating_sub(1);
    for (index, transfer) in transfers.iter_mut().enumerate() {
        transfer.linked = index < last;
        transfer.source.get_or_insert_with(|| source.to_owned());
        transfer.entry = transfer.entry.or(entry);
    }
    let rows = post_batch(tx, workspace, transfers).await?;
    let refused = || rows.iter().enumerate().filter(|(_, row)| !row.outcome.stands());
    // The reason stands at one row; at none where some of the identifiers stood before and the others did not.
    match refused().find(|(_, row)| row.outcome != Outcome::LinkedEventFailed).or_else(|| refused().next()) {
        Some((index, row)) => Err(LedgerError::Refused { index, outcome: row.outcome }),
        None => Ok(rows),
    }
}

/// Reads what the books hold of everything that `batch` names. Accounts with a limit are locked until the unit ends.
async fn gather(tx: &mut Tx, workspace: WorkspaceId, batch: &[NewTransfer]) -> Result<Scene, LedgerError> {
    let mut ids = HashSet::with_capacity(batch.len());
    let (mut accounts, mut pendings) = (HashSet::new(), HashSet::new());
    for new in batch {
        ids.insert(new.id);
        match &new.action {
            Action::Post { debit, credit, .. } | Action::Hold { debit, credit, .. } => {
                accounts.extend([*debit, *credit]);
            }
            Action::PostPending { pending, .. } | Action::VoidPending { pending } | Action::ExpirePending { pending } => {
                pendings.insert(*pending);
                ids.insert(*pending);
            }
        }
    }
    let own = sql::raw_p(workspace);
    let known = tx.rows(&sql::KNOW_TRANSFERS, &[own.clone(), sql::raw_list(ids)], sql::transfer).await?;
    let transfers: HashMap<TransferId, Transfer> = known.into_iter().map(|transfer| (transfer.id, transfer)).collect();
    let resolved = if pendings.is_empty() {
        HashMap::new()
    } else {
        let held = pendings.iter().filter_map(|pending| transfers.get(pending));
        accounts.extend(held.flat_map(|held| [held.debit, held.credit]));
        tx.rows(&sql::KNOW_RESOLUTIONS, &[own.clone(), sql::raw_list(pendings)], sql::resolution).await?.into_iter().collect()
    };
    let known = tx.rows(&sql::KNOW_ACCOUNTS, &[own.clone(), sql::raw_list(accounts)], sql::known).await?;
    let accounts: HashMap<_, _> = known.into_iter().collect();
    let limited: Vec<AccountId> = accounts.iter().filter(|(_, known)| known.limits != Limits::None).map(|(id, _)| *id).collect();
    let guarded = if limited.is_empty() {
        HashMap::new()
    } else {
        tx.rows(&sql::LOCK_GUARDED, &[own, sql::raw_list(limited)], sql::guarded).await?.into_iter().collect()
    };
    Ok(Scene { accounts, guarded, transfers, resolved })
}

async fn record(tx: &mut Tx, workspace: WorkspaceId, scene: &Scene, judgement: &Judgement) -> Result<(), LedgerError> {
    if judgement.created.is_empty() {
        return Ok(());
    }
    let own = sql::raw(workspace);
    let rows: Vec<Vec<P<'_>>> = judgement.created.iter().map(|transfer| sql::transfer_row(&own, transfer)).collect();
    let inserted = tx.execute_columns(&sql::INSERT_TRANSFER, &rows).await?;
    if inserted != rows.len() as u64 {
        // Another transaction took one of the identifiers, or resolved one of the pending transfers, in between.
        return Err(tx.overtaken().into());
    }
    let totals = judgement.touched.iter().filter_map(|account| scene.guarded.get(account).map(|totals| (account, totals)));
    let rows: Vec<Vec<P<'_>>> = totals
        .map(|(account, totals)| {
            let [a, b, c, d] = sql::totals_p(totals);
            vec![P::Bytes(own.as_slice().into()), sql::raw_p(*account), a, b, c, d]
        })
        .collect();
    tx.execute_columns(&sql::UPDATE_GUARDED, &rows).await?;
    for transfer in judgement.created.iter().filter(|transfer| transfer.kind == TransferKind::Pending) {
        if let Some(due) = transfer.expires_at {
            outbox::enqueue_at(tx, workspace, due, &ExpirePending { pending: transfer.id }).await?;
        }
    }
    tx.after_commit(crate::keeper::ring);
    Ok(())
}

/// Releases a pending transfer whose time is over; nothing where it was resolved before.
pub async fn expire(tx: &mut Tx, workspace: WorkspaceId, pending: TransferId) -> Result<(), LedgerError> {
    let Some(held) = queries::transfer(tx, workspace, pending).await? else { return Ok(()) };
    if held.expires_at.is_none_or(|end| end > tx.now()) {
        return Ok(());
    }
    let id = tx.new_id();
    post_batch(tx, workspace, vec![NewTransfer::new(id, Action::ExpirePending { pending })]).await?;
    Ok(())
}

/// Opens an account; its code must be free.
pub async fn open(tx: &mut Tx, workspace: WorkspaceId, new: NewAccount) -> Result<Account, LedgerError> {
    match insert(tx, workspace, &new).await? {
        Some(account) => Ok(account),
        None => Err(LedgerError::CodeTaken { code: new.code.as_str().to_owned() }),
    }
}

/// The account of this code, opened now if it is not there yet.
pub async fn ensure(tx: &mut Tx, workspace: WorkspaceId, new: NewAccount) -> Result<Account, LedgerError> {
    if let Some(account) = queries::account_by_code(tx, workspace, &new.code).await? {
        return Ok(account);
    }
    match insert(tx, workspace, &new).await? {
        Some(account) => Ok(account),
        // Somebody opened it in between, and is committed by now.
        None => queries::account_by_code(tx, workspace, &new.code).await?.ok_or(LedgerError::NotFound { what: "account" }),
    }
}

/// Who a wallet belongs to: a kind and an identifier that the module above understands, such as `customer` and `cus_…`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Owner {
    /// The kind: small letters.
    pub kind: String,
    /// The identifier: letters, digits, underscores and hyphens.
    pub id: String,
}

/// The wallet of `owner` for `unit`: what the business owes them, never below zero. Opened when it is first asked for.
pub async fn wallet(tx: &mut Tx, workspace: WorkspaceId, owner: &Owner, unit: Unit, name: String) -> Result<Account, LedgerError> {
    let code = AccountCode::parse(&format!("wallet.{}.{}.{}", owner.kind, owner.id, unit.as_str().to_ascii_lowercase()))
        .map_err(|error| LedgerError::field("owner", error))?;
    let new = NewAccount { code, name, kind: AccountKind::Liability, unit, limits: Limits::DebitsWithinCredits, metadata: None };
    ensure(tx, workspace, new).await
}

async fn insert(tx: &mut Tx, workspace: WorkspaceId, new: &NewAccount) -> Result<Option<Account>, LedgerError> {
    let (id, now) = (tx.new_id::<AccountId>(), tx.now());
    let metadata = new.metadata.as_ref().map(ToString::to_string);
    let own = sql::raw_p(workspace);
    let (code, kind, limits) = (new.code.as_str(), new.kind.as_str(), new.limits.as_str());
    let (raw_id, unit) = (sql::raw_p(id), new.unit.as_str());
    let params = store::params![own, raw_id, code, new.name, kind, unit, limits, metadata, now];
    if tx.execute(&sql::INSERT_ACCOUNT, params).await? == 0 {
        return Ok(None);
    }
    if new.limits != Limits::None {
        tx.execute(&sql::INSERT_GUARDED, &[own, raw_id]).await?;
    }
    outbox::audit(tx, workspace, "ledger.account_opened", &id.to_string(), &json!({ "code": code, "kind": kind, "limits": limits }))
        .await?;
    Ok(Some(Account {
        id,
        code: new.code.clone(),
        name: new.name.clone(),
        kind: new.kind,
        unit: new.unit.clone(),
        limits: new.limits,
        metadata: new.metadata.clone(),
        created_at: now,
        closed_at: None,
    }))
}

/// Closes an account that holds nothing: nothing can be posted to it until it is opened again.
pub async fn close(tx: &mut Tx, workspace: WorkspaceId, id: AccountId) -> Result<Account, LedgerError> {
    // Waits for units that have posted and are not committed yet; those that come later see it closed.
    tx.lock(LOCK, &workspace.to_string()).await?;
    let account = queries::account(tx, workspace, id).await?;
    let totals = queries::totals(tx, workspace, &account).await?;
    if totals.debits_posted != totals.credits_posted || totals.debits_pending != 0 || totals.credits_pending != 0 {
        return Err(LedgerError::NotEmpty);
    }
    let now = tx.now();
    if tx.execute(&sql::CLOSE_ACCOUNT, store::params![sql::raw_p(workspace), sql::raw_p(id), now]).await? == 1 {
        outbox::audit(tx, workspace, "ledger.account_closed", &id.to_string(), &json!({})).await?;
    }
    queries::account(tx, workspace, id).await
}

/// Opens a closed account again.
pub async fn reopen(tx: &mut Tx, workspace: WorkspaceId, id: AccountId) -> Result<Account, LedgerError> {
    queries::account(tx, workspace, id).await?;
    if tx.execute(&sql::REOPEN_ACCOUNT, &[sql::raw_p(workspace), sql::raw_p(id)]).await? == 1 {
        outbox::audit(tx, workspace, "ledger.account_reopened", &id.to_string(), &json!({})).await?;
    }
    queries::account(tx, workspace, id).await
}
