//! Appending to the log, in the caller's unit of work.

use std::sync::LazyLock;

use kernel::{Timestamp, WorkspaceId};
use store::{StoreError, Tx, params};
use tokio::sync::watch;

use crate::entry::shard_of;
use crate::{EntryKind, Fact, Job, JobId, NewJob, sql};

/// Rings after each commit of this process that appended something, so that its readers need not wait for their next look.
static BELL: LazyLock<watch::Sender<()>> = LazyLock::new(|| watch::channel(()).0);

/// Hears of commits of this process.
pub(crate) fn bell() -> watch::Receiver<()> {
    BELL.subscribe()
}

/// Publishes a fact: it is told to every process, and its reactions run, once the unit is committed.
pub async fn publish<F: Fact>(tx: &mut Tx, workspace: WorkspaceId, fact: &F) -> Result<(), StoreError> {
    let payload = serde_json::to_string(fact).map_err(StoreError::decode)?;
    let (id, subject, now) = (tx.new_id::<JobId>(), fact.subject(), tx.now());
    let shard = shard_of(&subject) as i64;
    let kind = EntryKind::Fact.as_str();
    tx.execute_later(
        &sql::APPEND,
        params![&id, shard, kind, F::NAME, "", &workspace, &subject, fact.version(), &payload, None::<Timestamp>, now],
    )
    .await?;
    tx.after_commit(|| BELL.send_replace(()));
    Ok(())
}

/// Has a job run once the unit is committed.
pub async fn enqueue<J: Job>(tx: &mut Tx, workspace: WorkspaceId, job: &J) -> Result<JobId, StoreError> {
    append(tx, &NewJob::of(workspace, job)).await
}

/// Has a job run at `due`, or at once if that is past.
pub async fn enqueue_at<J: Job>(tx: &mut Tx, workspace: WorkspaceId, due: Timestamp, job: &J) -> Result<JobId, StoreError> {
    append(tx, &NewJob::of(workspace, job).at(due)).await
}

pub(crate) async fn append(tx: &mut Tx, job: &NewJob) -> Result<JobId, StoreError> {
    let (id, now) = (tx.new_id::<JobId>(), tx.now());
    let shard = shard_of(&job.key) as i64;
    let kind = EntryKind::Job.as_str();
    tx.execute_later(
        &sql::APPEND,
        params![&id, shard, kind, job.name, job.lane, &job.workspace, &job.key, 0_i64, &job.payload, job.due_at, now],
    )
    .await?;
    tx.after_commit(|| BELL.send_replace(()));
    Ok(id)
}

/// Rings after the commit of `tx`, for what was appended by a statement of its own.
pub(crate) fn ring_after(tx: &mut Tx) {
    tx.after_commit(|| BELL.send_replace(()));
}
