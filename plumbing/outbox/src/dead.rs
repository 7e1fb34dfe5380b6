//! Dead jobs: what was tried often enough, kept until a person replays or discards it.

use kernel::{Id, RawId, Timestamp, WorkspaceId};
use store::{Reads, StoreError, Tx, params};

use crate::{EntryKind, JobId, OutboxError, audit, commands, sql};

/// A job that was given up, or a fact whose reactions could not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadJob {
    /// The job.
    pub id: JobId,
    /// A job, or a fact.
    pub kind: EntryKind,
    /// The name of the job or fact.
    pub name: String,
    /// What it is about.
    pub subject: String,
    /// The job itself, as JSON.
    pub payload: String,
    /// How often it was tried.
    pub attempts: i64,
    /// Why the last attempt failed.
    pub reason: String,
    /// When it was enqueued.
    pub created_at: Timestamp,
    /// When it was given up.
    pub died_at: Timestamp,
}

/// The dead jobs of a workspace, newest first: at most `limit` that are older than `before`.
pub async fn dead_list(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    before: Option<JobId>,
    limit: u32,
) -> Result<Vec<DeadJob>, StoreError> {
    let before = before.unwrap_or_else(|| JobId::from_raw(RawId::from_bits(u128::MAX)));
    reads.rows(&sql::DEAD_LIST, params![&workspace, &before, limit], sql::dead).await
}

/// One dead job of a workspace.
pub async fn dead_find(reads: &mut impl Reads, workspace: WorkspaceId, id: JobId) -> Result<Option<DeadJob>, StoreError> {
    reads.row(&sql::DEAD_FIND, params![&workspace, &id], sql::dead).await
}

/// How many dead jobs a workspace has.
pub async fn dead_count(reads: &mut impl Reads, workspace: WorkspaceId) -> Result<i64, StoreError> {
    Ok(reads.row(&sql::DEAD_COUNT, params![&workspace], |row| row.get("dead")).await?.unwrap_or(0))
}

/// Runs a dead job again, with all its attempts before it and under the same id.
pub async fn replay(tx: &mut Tx, workspace: WorkspaceId, id: JobId) -> Result<(), OutboxError> {
    let now = tx.now();
    // Only one of two replays at once finds the row to delete; the other's copy is rolled back with its unit.
    tx.execute(&sql::DEAD_REPLAY, params![&workspace, &id, now]).await?;
    if tx.execute(&sql::DEAD_DISCARD, params![&workspace, &id]).await? == 0 {
        return Err(OutboxError::NotFound);
    }
    commands::ring_after(tx);
    audit(tx, workspace, "job.replayed", &id.to_string(), &serde_json::Value::Null).await?;
    Ok(())
}

/// Discards a dead job for good.
pub async fn discard(tx: &mut Tx, workspace: WorkspaceId, id: JobId) -> Result<(), OutboxError> {
    if tx.execute(&sql::DEAD_DISCARD, params![&workspace, &id]).await? == 0 {
        return Err(OutboxError::NotFound);
    }
    audit(tx, workspace, "job.discarded", &id.to_string(), &serde_json::Value::Null).await?;
    Ok(())
}
