//! Following the log: its tail for all shards, and the backlog of each shard that is taken over.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use kernel::Timestamp;
use store::{Reads, StoreError, Tx, params};

use super::mark::{check_lease, wait};
use super::{CALLER, Engine, Ready, Refused, Source};
use crate::entry::SHARDS;
use crate::sql::LogRow;
use crate::{EntryKind, NewJob, Position, commands, sql};

/// How many entries one look at the log reads.
const BATCH: i64 = 500;
/// How many entries one unit marks.
const UNIT_MAX: usize = 50;
/// Timers that are due within this time are held in memory.
pub(crate) const SOON: Duration = Duration::from_secs(60);
/// How long an entry waits that found its lane full.
pub(crate) const SPILLED: Duration = Duration::from_millis(100);

/// What one unit does to an entry of the log, beside marking it finished there.
#[derive(Clone)]
pub(crate) struct Step {
    pub(crate) shard: usize,
    pub(crate) token: i64,
    pub(crate) position: Position,
    pub(crate) act: Act,
}

#[derive(Clone)]
pub(crate) enum Act {
    /// The reactions to a fact follow it into the log.
    React(Vec<NewJob>),
    /// A fact whose reactions could not be made.
    Bury(LogRow),
    /// A job that is not to run yet.
    Wait(Arc<Ready>, Timestamp),
}

impl Engine {
    /// Reads on from the tail; says how many entries there were.
    pub(crate) async fn read_tail(self: &Arc<Self>) -> Result<usize, StoreError> {
        let tail = self.state().tail;
        let rows = self.store.read().rows(&sql::TAIL_EVERYWHERE, params![tail.xid, tail.seq, BATCH], sql::log_row).await?;
        let Some(last) = rows.last().map(|row| row.entry.position) else { return Ok(0) };
        let count = rows.len();
        for row in rows.iter().filter(|row| row.entry.kind == EntryKind::Fact) {
            self.feed.tell(&row.entry);
        }
        let held = {
            let state = self.state();
            state.shards.each_ref().map(|shard| shard.as_ref().filter(|s| s.is_attached && !s.is_draining).map(|s| s.token))
        };
        self.dispatch(rows, held, &HashSet::new()).await?;
        self.state().tail = last;
        Ok(count)
    }

    /// Whether everything that is committed was read: not while a transaction is open that began before it.
    pub(crate) async fn has_read_all(&self) -> Result<bool, StoreError> {
        let tail = self.state().tail;
        let next = self.store.read().row(&sql::FIRST_AFTER_EVERYWHERE, params![tail.xid, tail.seq], |row| row.time(0)).await?;
        Ok(next.is_none())
    }

    /// Sets the tail to the log's end: what was told before this process began is not told again.
    pub(crate) async fn begin_at_end(&self) -> Result<(), StoreError> {
        let end = self.store.read().row(&sql::END_EVERYWHERE, params![], sql::position).await?;
        self.state().tail = end.unwrap_or_default();
        Ok(())
    }

    /// Reads the backlog of every shard that was taken over: what lies between its cursor and the tail and is not finished.
    pub(crate) async fn attach_new(self: &Arc<Self>) -> Result<(), StoreError> {
        loop {
            let next = {
                let state = self.state();
                let mut new =
                    state.shards.iter().enumerate().filter_map(|(n, shard)| Some((n, shard.as_ref().filter(|s| !s.is_attached)?)));
                new.next().map(|(n, shard)| (n, shard.token, shard.cursor, state.tail))
            };
            let Some((shard, token, cursor, tail)) = next else { return Ok(()) };
            self.attach(shard, token, cursor, tail).await?;
        }
    }

    async fn attach(self: &Arc<Self>, shard: usize, token: i64, cursor: Position, tail: Position) -> Result<(), StoreError> {
        let mut reads = self.store.read();
        let finished: HashSet<Position> = reads
            .rows(&sql::FINISHED_EVERYWHERE, params![shard as i64, cursor.xid, cursor.seq], sql::position)
            .await?
            .into_iter()
            .collect();
        let mut held = [None; SHARDS];
        held[shard] = Some(token);
        let mut at = cursor;
        loop {
            let rows = reads
                .rows(&sql::BACKLOG_EVERYWHERE, params![shard as i64, at.xid, at.seq, tail.xid, tail.seq, BATCH], sql::log_row)
                .await?;
            let (count, last) = (rows.len(), rows.last().map(|row| row.entry.position));
            self.dispatch(rows, held, &finished).await?;
            at = last.unwrap_or(at);
            if (count as i64) < BATCH {
                break;
            }
        }
        if let Some(shard) = self.state().held(shard, token) {
            shard.is_attached = true;
        }
        self.timers_changed.notify_one();
        Ok(())
    }

    /// Takes entries into memory, in the log's order, each for its shard if that is among `held`. Returns when each is
    /// queued, or marked finished in the log with what follows from it: so it never waits for a lane.
    async fn dispatch(
        self: &Arc<Self>,
        rows: Vec<LogRow>,
        held: [Option<i64>; SHARDS],
        finished: &HashSet<Position>,
    ) -> Result<(), StoreError> {
        let now = self.store.clock().now();
        let mut steps = Vec::new();
        {
            let mut state = self.state();
            for row in rows {
                let (shard, position) = (row.shard, row.entry.position);
                let Some(token) = held[shard] else { continue };
                // What is read again after an error in the middle is in memory already.
                let Some(top) = state.held(shard, token).map(|shard| shard.top()) else { continue };
                if position <= top {
                    continue;
                }
                let (mut queued, mut act) = (None, None);
                if !finished.contains(&position) {
                    match row.entry.kind {
                        EntryKind::Fact => act = self.react(row),
                        EntryKind::Job => {
                            let due = row.due_at.filter(|due| *due > now);
                            let ready = self.ready_from_log(row, token);
                            let is_new = state.know(&ready);
                            act = match due {
                                Some(due) => Some(Act::Wait(ready, due)),
                                None if !is_new || state.offer(Arc::clone(&ready)).is_err() => Some(Act::Wait(ready, now.plus(SPILLED))),
                                None => {
                                    queued = Some(ready);
                                    None
                                }
                            };
                        }
                    }
                }
                let is_open = queued.is_some() || act.is_some();
                if let Some(shard) = state.held(shard, token) {
                    shard.note(position, is_open, queued);
                }
                steps.extend(act.map(|act| Step { shard, token, position, act }));
            }
        }
        self.pump();
        for chunk in steps.chunks(UNIT_MAX) {
            self.take_steps(chunk.to_vec()).await?;
        }
        Ok(())
    }

    /// What follows from a fact; None when nothing does.
    fn react(&self, row: LogRow) -> Option<Act> {
        match std::panic::catch_unwind(AssertUnwindSafe(|| (self.reactions)(&row.entry))) {
            Ok(jobs) if jobs.is_empty() => None,
            Ok(jobs) => Some(Act::React(jobs)),
            Err(_) => {
                tracing::error!(fact = row.entry.name, position = %row.entry.position, "the reactions to a fact panicked; it is kept among the dead jobs");
                Some(Act::Bury(row))
            }
        }
    }

    fn ready_from_log(&self, row: LogRow, token: i64) -> Arc<Ready> {
        let position = row.entry.position;
        let mut ready = self.ready(row.shard, token, row.entry.name, row.entry.workspace, row.entry.payload);
        ready.id = row.id.into();
        ready.position = Some(position);
        ready.source = tokio::sync::Mutex::new(Source::Log(position));
        ready.subject = row.entry.subject;
        ready.created_at = row.entry.created_at;
        Arc::new(ready)
    }

    /// Marks entries finished in the log together with what follows, in one commit, and goes on trying while their shards
    /// are held.
    async fn take_steps(&self, mut steps: Vec<Step>) -> Result<(), StoreError> {
        for tries in 0_u32.. {
            {
                let mut state = self.state();
                steps.retain(|step| state.held(step.shard, step.token).is_some());
            }
            if steps.is_empty() {
                return Ok(());
            }
            let input = (Arc::from(steps.as_slice()), Arc::clone(&self.node));
            let done = self.store.write(&CALLER, input, |tx, (steps, holder): (Arc<[Step]>, Arc<str>)| {
                Box::pin(async move { run_steps(tx, &steps, &holder).await })
            });
            match done.await {
                Ok(marked) => {
                    self.took(&steps, &marked).await;
                    return Ok(());
                }
                Err(Refused::LeaseLost(shard)) => {
                    let lost = steps.iter().find(|step| step.shard == shard).map(|step| step.token);
                    self.lose(shard, lost.unwrap_or_default());
                }
                Err(Refused::Finished) => return Ok(()),
                Err(Refused::Store(error)) => {
                    tracing::warn!(%error, "entries of the log could not be taken; trying again");
                    if self.is_by_hand && tries > 20 {
                        return Err(error);
                    }
                    tokio::time::sleep(Duration::from_millis(50) * 2_u32.pow(tries.min(5))).await;
                }
            }
        }
        Ok(())
    }

    async fn took(&self, steps: &[Step], marked: &[bool]) {
        for step in steps {
            if let Act::Wait(ready, _) = &step.act {
                *ready.source.lock().await = Source::Waiting;
            }
        }
        let soon = self.store.clock().now().plus(SOON);
        let mut state = self.state();
        for (step, marked) in steps.iter().zip(marked) {
            state.settle(step.shard, step.token, step.position);
            match &step.act {
                Act::Wait(ready, due) if *marked && *due < soon && state.has_room_at(*due) => state.set_timer(*due, Arc::clone(ready)),
                Act::Wait(ready, _) => state.forget(ready),
                Act::React(_) | Act::Bury(_) => {}
            }
        }
        drop(state);
        self.timers_changed.notify_one();
    }
}

/// Says for each step whether it was this unit that marked the entry.
pub(crate) async fn run_steps(tx: &mut Tx, steps: &[Step], holder: &str) -> Result<Vec<bool>, Refused> {
    let mut marked = Vec::with_capacity(steps.len());
    for step in steps {
        marked.push(tx.execute(&sql::FINISH_EVERYWHERE, params![step.shard as i64, step.position.xid, step.position.seq]).await? > 0);
        if marked.last() == Some(&false) {
            continue;
        }
        match &step.act {
            Act::React(jobs) => {
                for job in jobs {
                    commands::append(tx, job).await?;
                }
            }
            Act::Wait(ready, due) => wait(tx, ready, 0, None, *due).await?,
            Act::Bury(row) => {
                let (entry, kind, now) = (&row.entry, EntryKind::Fact.as_str(), tx.now());
                let reason = "its reactions panicked";
                tx.execute(
                    &sql::BURY_EVERYWHERE,
                    params![
                        &row.id,
                        step.shard as i64,
                        kind,
                        &entry.name,
                        "",
                        &entry.workspace,
                        &entry.subject,
                        entry.version,
                        &entry.payload,
                        1_i64,
                        reason,
                        entry.created_at,
                        now
                    ],
                )
                .await?;
            }
        }
    }
    let mut leases: Vec<(usize, i64)> = steps.iter().map(|step| (step.shard, step.token)).collect();
    leases.sort_unstable();
    leases.dedup();
    for (shard, token) in leases {
        check_lease(tx, shard, token, holder).await?;
    }
    Ok(marked)
}
