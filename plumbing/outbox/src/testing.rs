//! For tests: runs an outbox to quiescence by hand, with no time passing.

use std::time::Duration;

use store::StoreError;

use crate::Outbox;
use crate::engine::Ran;

/// What a drain did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drained {
    /// How many entries of the log were read, facts included.
    pub entries: usize,
    /// How many attempts succeeded.
    pub finished: usize,
    /// How many failed and will be tried again.
    pub retried: usize,
    /// How many jobs were given up.
    pub dead: usize,
    /// How many attempts changed nothing, because their entry was finished or is another's.
    pub dropped: usize,
}

/// Runs everything that is due by the store's clock, one job after the other, with what follows from it, until nothing is
/// left. The outbox was built [`by_hand`](crate::Builder::by_hand).
pub async fn drain(outbox: &Outbox) -> Result<Drained, StoreError> {
    let engine = &outbox.engine;
    let mut drained = Drained::default();
    loop {
        if !engine.is_follow_only {
            engine.lease_round(false).await?;
        }
        engine.attach_new().await?;
        let mut is_quiet = true;
        loop {
            let entries = engine.read_tail().await?;
            drained.entries += entries;
            is_quiet &= entries == 0;
            // On a PostgreSQL server that others use, their open transactions hold the reader back for a moment.
            if entries == 0 && engine.has_read_all().await? {
                break;
            }
            if entries == 0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        engine.feed.set_following(true);
        engine.sweep().await?;
        engine.fire_due().await?;
        while let Some(ready) = engine.next_by_hand() {
            is_quiet = false;
            match engine.run_one(ready).await {
                Ran::Finished => drained.finished += 1,
                Ran::Again => drained.retried += 1,
                Ran::Dead => drained.dead += 1,
                Ran::Gone | Ran::Lost => drained.dropped += 1,
            }
        }
        engine.checkpoint().await?;
        if is_quiet {
            return Ok(drained);
        }
    }
}

/// Deletes what is older than the log is kept and finished; says how many entries that were.
pub async fn drop_old(outbox: &Outbox) -> Result<u64, StoreError> {
    outbox.engine.drop_old().await
}
