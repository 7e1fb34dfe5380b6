//! Reading the log again, for a reader that was away.

use kernel::WorkspaceId;
use store::{Reads, StoreError, params};

use crate::{Entry, Position, sql};

/// The facts of a workspace after `after` whose names begin with `prefix` (empty for all), in the log's order, at most
/// `limit`. None is missing between two answers of which the second goes on after the last position of the first. The log
/// goes back one day.
pub async fn facts_after(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    after: Position,
    prefix: &str,
    limit: u32,
) -> Result<Vec<Entry>, StoreError> {
    reads.rows(&sql::FACTS_AFTER, params![&workspace, after.xid, after.seq, prefix, limit], sql::entry).await
}

/// The end of the log as readers see it now: whatever they see later has a higher position. Where a reader begins that wants
/// only what happens from now on.
pub async fn log_end(reads: &mut impl Reads) -> Result<Position, StoreError> {
    Ok(reads.row(&sql::END_EVERYWHERE, params![], sql::position).await?.unwrap_or_default())
}
