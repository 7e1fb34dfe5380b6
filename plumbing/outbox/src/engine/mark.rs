//! How an entry ends: the statements that mark it finished, each in the commit of what follows from it.
//!
//! Two things together make an effect happen once. The mark is a row that only one transaction can insert (an entry of the
//! log) or delete (a waiting one): a second one waits for the first to end and then finds that it came too late. And after
//! the mark the lease is checked: if the token is still ours now, nobody else has worked on the entry before our mark, and
//! whoever comes later runs into it. So the mark comes first and the check second, and no lock on the shard is needed, which
//! every effect would share and the renewal of the lease would wait for.

use std::sync::Arc;

use kernel::Timestamp;
use store::{Reads, StoreError, Tx, params};

use super::{Ready, Source};
use crate::{EntryKind, sql};

/// Why an entry could not be marked.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The lease on this shard is over.
    LeaseLost(usize),
    /// It is finished already.
    Finished,
    /// The database.
    Store(StoreError),
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What it takes to mark one entry finished.
#[derive(Clone)]
pub(crate) struct Mark {
    pub(crate) ready: Arc<Ready>,
    pub(crate) source: Source,
    pub(crate) holder: Arc<str>,
}

impl Mark {
    pub(crate) fn of(ready: &Arc<Ready>, source: Source, holder: &Arc<str>) -> Self {
        Self { ready: Arc::clone(ready), source, holder: Arc::clone(holder) }
    }

    /// Marks the entry finished in the unit, which must fail when this fails.
    pub(crate) async fn take(&self, tx: &mut Tx) -> Result<(), Refused> {
        let marked = match self.source {
            Source::Log(at) => tx.execute(&sql::FINISH_EVERYWHERE, params![self.ready.shard as i64, at.xid, at.seq]).await?,
            Source::Waiting => tx.execute(&sql::TAKE_WAITING_EVERYWHERE, params![&*self.ready.id, self.ready.attempts]).await?,
            Source::Finished => 0,
        };
        self.check(tx, marked).await
    }

    /// Has the entry wait until `due`, one failed attempt richer.
    pub(crate) async fn wait_again(&self, tx: &mut Tx, due: Timestamp, reason: &str) -> Result<(), Refused> {
        let (ready, attempts) = (&self.ready, self.ready.attempts);
        if self.source != Source::Waiting {
            self.take(tx).await?;
            wait(tx, ready, attempts + 1, Some(reason), due).await?;
            return Ok(());
        }
        let marked = tx.execute(&sql::WAIT_AGAIN_EVERYWHERE, params![&*ready.id, attempts, reason, due]).await?;
        self.check(tx, marked).await
    }

    /// Gives the entry up.
    pub(crate) async fn bury(&self, tx: &mut Tx, reason: &str) -> Result<(), Refused> {
        self.take(tx).await?;
        let (ready, now, kind) = (&self.ready, tx.now(), EntryKind::Job.as_str());
        let (id, shard, lane, attempts) = (&*ready.id, ready.shard as i64, ready.lane(), ready.attempts + 1);
        tx.execute(
            &sql::BURY_EVERYWHERE,
            params![
                id,
                shard,
                kind,
                &ready.name,
                lane,
                &ready.workspace,
                &ready.subject,
                0_i64,
                &ready.payload,
                attempts,
                reason,
                ready.created_at,
                now
            ],
        )
        .await?;
        Ok(())
    }

    async fn check(&self, tx: &mut Tx, marked: u64) -> Result<(), Refused> {
        if marked == 0 {
            return Err(Refused::Finished);
        }
        check_lease(tx, self.ready.shard, self.ready.token, &self.holder).await
    }
}

/// Refuses when the lease on `shard` is over, by the database's clock at this moment.
pub(crate) async fn check_lease(tx: &mut Tx, shard: usize, token: i64, holder: &str) -> Result<(), Refused> {
    let held = tx.row(&sql::HOLDS_EVERYWHERE, params![shard as i64, token, holder], |_| Ok(())).await?;
    held.ok_or(Refused::LeaseLost(shard))
}

/// Puts an entry among the waiting.
pub(crate) async fn wait(tx: &mut Tx, ready: &Ready, attempts: i64, reason: Option<&str>, due: Timestamp) -> Result<(), StoreError> {
    let (shard, lane) = (ready.shard as i64, ready.lane());
    tx.execute(
        &sql::WAIT_EVERYWHERE,
        params![
            &*ready.id,
            shard,
            &ready.name,
            lane,
            &ready.workspace,
            &ready.subject,
            &ready.payload,
            attempts,
            reason,
            due,
            ready.created_at
        ],
    )
    .await?;
    Ok(())
}
