//! What can be done with leads.

mod capture;
mod change;
mod consent;
mod erase;

pub use capture::{Captured, Given, capture, create, record};
pub use change::{Change, NoteAdded, add_note, add_tag, assign, change, change_status, remove_tag};
pub use consent::put_consent;
pub use erase::{Erased, erase, erase_person, note_export};

use kernel::WorkspaceId;
use store::{Reads, StoreError, Tx, params};

use crate::lead::{HistoryId, Lead, LeadId};
use crate::{LeadError, queries, sql};

/// Reads a lead that no other unit changes until this one is committed.
async fn hold(tx: &mut Tx, workspace: WorkspaceId, id: LeadId) -> Result<Lead, LeadError> {
    tx.lock("leads", &format!("{workspace}:{id}")).await?;
    let lead = queries::get(tx, workspace, id).await?;
    if lead.erased_at.is_some() { Err(LeadError::Erased) } else { Ok(lead) }
}

/// Writes one line of a lead's history.
async fn history(
    tx: &mut Tx,
    workspace: WorkspaceId,
    lead: LeadId,
    what: &str,
    from: Option<&str>,
    to: Option<&str>,
) -> Result<(), StoreError> {
    let (id, actor, now) = (tx.new_id::<HistoryId>(), tx.caller().actor(), Reads::now(tx));
    tx.execute(&sql::INSERT_HISTORY, params![workspace, id, lead, actor, what, from, to, now]).await?;
    Ok(())
}
