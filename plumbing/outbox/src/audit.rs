//! The audit trail: who did what to which thing. Appended in the unit that does it, and never changed or shortened.

use kernel::{Id, RawId, Timestamp, WorkspaceId};
use store::{Reads, StoreError, Tx, params};

use crate::sql;

kernel::id!(
    /// One line of the audit trail; later ones sort later.
    pub struct AuditId = "aud"
);

/// One line of the audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audited {
    /// The line.
    pub id: AuditId,
    /// When the unit ran.
    pub at: Timestamp,
    /// Who: a member's or key's id, `visitor`, or `system:` and a reason.
    pub actor: String,
    /// What was done, `thing.verb`, for example `card.created`.
    pub action: String,
    /// The id of the thing.
    pub subject: String,
    /// Ids and names of fields; no personal data.
    pub details: serde_json::Value,
}

/// Adds a line to the audit trail: the caller of the unit did `action` to `subject`. `details` holds ids and names of
/// fields, never personal data, because the trail is kept for ever.
pub async fn audit(
    tx: &mut Tx,
    workspace: WorkspaceId,
    action: &str,
    subject: &str,
    details: &serde_json::Value,
) -> Result<(), StoreError> {
    let (id, now, actor, details) = (tx.new_id::<AuditId>(), tx.now(), tx.caller().actor(), details.to_string());
    tx.execute_later(&sql::AUDIT, params![&id, &workspace, now, &actor, action, subject, &details]).await?;
    Ok(())
}

/// The trail of a workspace, newest first: at most `limit` lines that are older than `before`.
pub async fn audit_list(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    before: Option<AuditId>,
    limit: u32,
) -> Result<Vec<Audited>, StoreError> {
    let before = before.unwrap_or_else(last_id);
    reads.rows(&sql::AUDIT_LIST, params![&workspace, &before, limit], sql::audited).await
}

/// The trail of one thing, newest first: at most `limit` lines that are older than `before`.
pub async fn audit_of_subject(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    subject: &str,
    before: Option<AuditId>,
    limit: u32,
) -> Result<Vec<Audited>, StoreError> {
    let before = before.unwrap_or_else(last_id);
    reads.rows(&sql::AUDIT_OF_SUBJECT, params![&workspace, subject, &before, limit], sql::audited).await
}

fn last_id() -> AuditId {
    AuditId::from_raw(RawId::from_bits(u128::MAX))
}
