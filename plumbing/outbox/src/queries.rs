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
