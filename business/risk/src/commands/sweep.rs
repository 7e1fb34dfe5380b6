//! Forgetting what no window reaches any more.

use std::time::Duration;

use store::{StoreError, Tx, params};

use crate::sql;
use crate::window::WINDOW_MAX;

/// How many rows one sweep takes of each table at most.
const SWEEP_MAX: i64 = 500;
/// What is kept beyond the longest window, so that the clocks of several nodes may differ.
const MARGIN: Duration = Duration::from_secs(24 * 3600);

/// Forgets activities and counters that are older than the longest window and a day. Answers how many rows went; call it
/// again while that is not 0. Decisions are kept.
pub async fn sweep_everywhere(tx: &mut Tx) -> Result<u64, StoreError> {
    let before = tx.now().minus(WINDOW_MAX + MARGIN);
    let activities = tx.execute(&sql::SWEEP_ACTIVITIES_EVERYWHERE, params![before, SWEEP_MAX]).await?;
    let counters = tx.execute(&sql::SWEEP_COUNTERS_EVERYWHERE, params![before, SWEEP_MAX]).await?;
    Ok(activities + counters)
}
