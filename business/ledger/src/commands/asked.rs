//! The verbs that a door faces: each asks for the right first.

use kernel::WorkspaceId;
use serde_json::{Value, json};
use store::Tx;

use super::{Conversion, Converted, Owner};
use crate::account::{Account, AccountId, KEPT_BY_MODULES, NewAccount, Unit};
use crate::error::LedgerError;
use crate::judge::Judged;
use crate::transfer::NewTransfer;
use crate::{grants, queries, sql};

/// What shall be different about an account; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AccountEdit {
    /// What people call it, as [`crate::parse_name`] reads it.
    pub name: Option<String>,
    /// The caller's own words about it; `Some(None)` takes them away.
    pub metadata: Option<Option<Value>>,
}

fn may(tx: &Tx) -> Result<WorkspaceId, LedgerError> {
    Ok(tx.caller().may(grants::POST)?)
}

/// Opens an account; its code must be free, and none of those that a module keeps for itself.
pub async fn open(tx: &mut Tx, new: NewAccount) -> Result<Account, LedgerError> {
    let workspace = may(tx)?;
    if let Some(kept) = KEPT_BY_MODULES.iter().find(|kept| new.code.as_str().starts_with(**kept)) {
        return Err(LedgerError::field("code", format!("must not begin with {kept} which a module keeps for its own accounts")));
    }
    super::open(tx, workspace, new).await
}

/// Changes the name or the metadata of an account.
pub async fn edit(tx: &mut Tx, id: AccountId, edit: AccountEdit) -> Result<Account, LedgerError> {
    let workspace = may(tx)?;
    let is_given = edit.metadata.is_some();
    let metadata = edit.metadata.flatten().map(|metadata| metadata.to_string());
    let (own, raw_id) = (sql::raw_p(workspace), sql::raw_p(id));
    if tx.execute(&sql::CHANGE_ACCOUNT, store::params![own, raw_id, edit.name, is_given, metadata]).await? == 1 {
        let fields = json!({ "name": edit.name.is_some(), "metadata": is_given });
        outbox::audit(tx, workspace, "ledger.account_changed", &id.to_string(), &fields).await?;
    }
    queries::account(tx, workspace, id).await
}

/// Closes an account that holds nothing, and that no module keeps for itself.
pub async fn close(tx: &mut Tx, id: AccountId) -> Result<Account, LedgerError> {
    let workspace = may(tx)?;
    if queries::account(tx, workspace, id).await?.code.is_kept_by_a_module() {
        return Err(LedgerError::KeptByModule);
    }
    super::close(tx, workspace, id).await
}

/// Opens a closed account again.
pub async fn reopen(tx: &mut Tx, id: AccountId) -> Result<Account, LedgerError> {
    let workspace = may(tx)?;
    super::reopen(tx, workspace, id).await
}

/// The wallet of `owner` for `unit`, opened when it is first asked for.
pub async fn wallet(tx: &mut Tx, owner: Owner, unit: Unit, name: String) -> Result<Account, LedgerError> {
    let workspace = may(tx)?;
    super::wallet(tx, workspace, &owner, unit, name).await
}

/// Posts a batch and says what became of each transfer.
pub async fn post_batch(tx: &mut Tx, batch: Vec<NewTransfer>) -> Result<Vec<Judged>, LedgerError> {
    let workspace = may(tx)?;
    super::post_batch(tx, workspace, batch).await
}

/// Posts transfers that stand or fall together, as one entry.
pub async fn post(tx: &mut Tx, source: &str, transfers: Vec<NewTransfer>) -> Result<Vec<Judged>, LedgerError> {
    let workspace = may(tx)?;
    super::post(tx, workspace, source, transfers).await
}

/// Converts one unit into another.
pub async fn convert(tx: &mut Tx, asked: Conversion) -> Result<Converted, LedgerError> {
    let workspace = may(tx)?;
    super::convert(tx, workspace, asked).await
}
