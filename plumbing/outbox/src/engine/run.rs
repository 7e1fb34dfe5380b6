//! Running jobs: from a lane or a timer to an end that is on disk.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use kernel::Timestamp;
use store::{Reads, StoreError, params};

use super::follow::{SOON, SPILLED};
use super::state::TIMERS_MAX;
use super::{CALLER, Engine, Mark, Ready, Refused, Source};
use crate::job::{Next, backoff};
use crate::{JobContext, JobError, sql};

/// How many waiting jobs one look reads.
const PAGE: i64 = 500;
/// How often a job that this build has no code for is tried.
const UNKNOWN_ATTEMPTS_MAX: i64 = 12;
/// The longest reason that is kept, in characters.
const REASON_MAX: usize = 500;

/// What follows an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    Finished,
    Again { due: Timestamp, reason: String },
    Dead { reason: String },
}

/// How many attempts ended in which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ran {
    Finished,
    Again,
    Dead,
    /// It changed nothing: the entry was finished before.
    Gone,
    /// It changed nothing, and the entry is left to whoever holds its shard next.
    Lost,
}

impl Engine {
    /// Starts what may start.
    pub(crate) fn pump(self: &Arc<Self>) {
        if self.is_by_hand {
            return;
        }
        let mut start = Vec::new();
        {
            let mut state = self.state();
            if state.is_stopping {
                return;
            }
            for lane in state.lanes.values_mut() {
                start.extend(std::iter::from_fn(|| lane.next()));
            }
        }
        for ready in start {
            let engine = Arc::clone(self);
            self.spawn(async move {
                engine.run_one(ready).await;
                engine.pump();
            });
        }
    }

    /// The next job of any lane, for draining by hand.
    pub(crate) fn next_by_hand(&self) -> Option<Arc<Ready>> {
        let mut state = self.state();
        let mut lanes: Vec<&'static str> = state.lanes.keys().copied().collect();
        lanes.sort_unstable();
        lanes.into_iter().find_map(|lane| state.lanes.get_mut(lane)?.next())
    }

    /// Runs a job that its lane has given out, and sees to its end.
    pub(crate) async fn run_one(&self, ready: Arc<Ready>) -> Ran {
        let may_start = self.state().start(&ready);
        let ran = if may_start { self.attempt(&ready).await } else { Ran::Lost };
        {
            let mut state = self.state();
            if let Some(shard) = state.held(ready.shard, ready.token).filter(|_| may_start) {
                shard.running -= 1;
            }
            if ran != Ran::Lost {
                if let Some(position) = ready.position {
                    state.settle(ready.shard, ready.token, position);
                }
                state.forget(&ready);
            }
            if let Some(lane) = state.lanes.get_mut(ready.lane()) {
                lane.finished(&ready.group);
            }
        }
        self.idle.notify_waiters();
        ran
    }

    async fn attempt(&self, ready: &Arc<Ready>) -> Ran {
        let Some(handler) = &ready.handler else {
            let error = JobError::retry(format!("this build has no code for the job {}", ready.name));
            return self.end(ready, self.after(ready, error, UNKNOWN_ATTEMPTS_MAX, Duration::MAX)).await;
        };
        let context = JobContext::new(self.store.clone(), Arc::clone(&self.node), Arc::clone(ready), handler.name);
        let attempt = async {
            // Building the future may panic too.
            let run = async { (handler.run)(&ready.payload, context.clone()).await };
            match tokio::time::timeout(handler.timeout, AssertUnwindSafe(run).catch_unwind()).await {
                Ok(Ok(result)) => result,
                Ok(Err(panic)) => Err(JobError::retry(format!("it panicked: {}", panic_text(&*panic)))),
                Err(_) => Err(JobError::retry(format!("it took longer than {} s", handler.timeout.as_secs()))),
            }
        };
        let started = tokio::time::Instant::now();
        let result = attempt.await;
        metrics::histogram!("outbox_job_seconds", "job" => handler.name).record(started.elapsed());
        match result {
            Ok(()) if context.has_written() => Ran::Finished,
            Err(error) if context.has_written() => {
                tracing::warn!(job = handler.name, id = &*ready.id, %error, "a job failed after it had finished; its effect stays");
                Ran::Finished
            }
            Ok(()) => self.end(ready, End::Finished).await,
            Err(error) => self.end(ready, self.after(ready, error, handler.attempts_max, handler.pause_max)).await,
        }
    }

    /// What follows a failed attempt.
    fn after(&self, ready: &Ready, error: JobError, attempts_max: i64, pause_max: Duration) -> End {
        let (attempts, now) = (ready.attempts + 1, self.store.clock().now());
        let reason: String = error.reason.chars().filter(|c| *c != '\0').take(REASON_MAX).collect();
        let random = self.store.entropy().below(u64::MAX);
        let due = match error.next {
            Next::Never => None,
            Next::Dropped => return End::Again { due: now, reason },
            Next::Backoff => Some(now.plus(backoff(attempts, random).min(pause_max))),
            Next::After(pause) => Some(now.plus(pause)),
        };
        match due.filter(|_| attempts < attempts_max) {
            Some(due) => End::Again { due, reason },
            None => End::Dead { reason },
        }
    }

    /// Brings the end of an attempt to disk, and goes on trying while the shard is held.
    async fn end(&self, ready: &Arc<Ready>, end: End) -> Ran {
        for tries in 0_u32.. {
            let mut source = ready.source.lock().await;
            let mark = Mark::of(ready, *source, &self.node);
            let done = self.store.write(&CALLER, (mark, end.clone()), |tx, (mark, end): (Mark, End)| {
                Box::pin(async move {
                    match &end {
                        End::Finished => mark.take(tx).await,
                        End::Again { due, reason } => mark.wait_again(tx, *due, reason).await,
                        End::Dead { reason } => mark.bury(tx, reason).await,
                    }
                })
            });
            match done.await {
                Ok(()) => {
                    *source = Source::Finished;
                    break;
                }
                Err(Refused::Finished) => return Ran::Gone,
                Err(Refused::LeaseLost(shard)) => {
                    self.lose(shard, ready.token);
                    return Ran::Lost;
                }
                Err(Refused::Store(error)) => {
                    tracing::warn!(%error, job = ready.name, id = &*ready.id, "the end of a job could not be stored; trying again");
                    drop(source);
                    tokio::time::sleep(Duration::from_millis(50) * 2_u32.pow(tries.min(5))).await;
                    if self.state().held(ready.shard, ready.token).is_none() || (self.is_by_hand && tries > 20) {
                        return Ran::Lost;
                    }
                }
            }
        }
        match end {
            End::Finished => Ran::Finished,
            End::Again { due, reason } => {
                metrics::counter!("outbox_retries_total", "job" => ready.name.clone()).increment(1);
                tracing::info!(job = ready.name, id = &*ready.id, attempt = ready.attempts + 1, reason, %due, "a job is tried again");
                self.wait_in_memory(ready, due);
                Ran::Again
            }
            End::Dead { reason } => {
                metrics::counter!("outbox_dead_total", "job" => ready.name.clone()).increment(1);
                tracing::warn!(job = ready.name, id = &*ready.id, attempts = ready.attempts + 1, reason, "a job was given up");
                Ran::Dead
            }
        }
    }

    /// Sets the timer of a job that was just put back, if it is due soon.
    fn wait_in_memory(&self, ready: &Arc<Ready>, due: Timestamp) {
        let mut next = self.ready(ready.shard, ready.token, ready.name.clone(), ready.workspace, ready.payload.clone());
        next.id = Arc::clone(&ready.id);
        next.subject.clone_from(&ready.subject);
        next.created_at = ready.created_at;
        next.attempts = ready.attempts + 1;
        let next = Arc::new(next);
        let mut state = self.state();
        state.forget(ready);
        let is_near = due < self.store.clock().now().plus(SOON);
        let is_held = state.held(ready.shard, ready.token).is_some_and(|shard| !shard.is_draining);
        if is_near && is_held && state.has_room_at(due) && state.know(&next) {
            state.set_timer(due, next);
        }
        drop(state);
        self.timers_changed.notify_one();
    }

    /// Loads the timers of the next minute that are not in memory yet.
    pub(crate) async fn sweep(&self) -> Result<(), StoreError> {
        let soon = self.store.clock().now().plus(SOON);
        let (mut after, mut after_id) = (Timestamp::from_micros(i64::MIN), String::new());
        loop {
            let tokens = {
                let mut state = self.state();
                if state.timers.len() >= TIMERS_MAX {
                    return Ok(());
                }
                state.watch_leaving();
                state.shards.each_ref().map(|shard| shard.as_ref().filter(|s| s.is_attached && !s.is_draining).map(|s| s.token))
            };
            let mask = tokens.iter().enumerate().filter(|(_, token)| token.is_some()).fold(0_i64, |mask, (n, _)| mask | (1 << n));
            let rows = match mask {
                0 => Ok(Vec::new()),
                _ => {
                    self.store
                        .read()
                        .rows(&sql::WAITING_SOON_EVERYWHERE, params![soon, mask, after, &after_id, PAGE], sql::waiting_row)
                        .await
                }
            };
            let mut state = self.state();
            let left = state.take_left();
            let rows = rows?;
            let is_last = (rows.len() as i64) < PAGE;
            if let Some(last) = rows.last() {
                (after, after_id) = (last.due_at, last.id.clone());
            }
            for row in rows {
                let Some(token) = tokens[row.shard] else { continue };
                if state.knows(&row.id) || left.contains(row.id.as_str()) || state.held(row.shard, token).is_none() {
                    continue;
                }
                if !state.has_room_at(row.due_at) {
                    return Ok(());
                }
                let mut ready = self.ready(row.shard, token, row.name, row.workspace, row.payload);
                ready.id = row.id.into();
                ready.attempts = row.attempts;
                ready.subject = row.subject;
                ready.created_at = row.created_at;
                let ready = Arc::new(ready);
                state.know(&ready);
                state.set_timer(row.due_at, ready);
            }
            drop(state);
            if is_last {
                return Ok(());
            }
        }
    }

    /// Queues the timers that are due. What finds its lane full waits a little longer, and where there is much of that it goes
    /// back to the database for some seconds, to leave room for the timers of other lanes.
    pub(crate) async fn fire_due(self: &Arc<Self>) -> Result<(), StoreError> {
        let now = self.store.clock().now();
        let mut deferred = Vec::new();
        {
            let mut state = self.state();
            while let Some(timer) = state.timers.first_entry().filter(|timer| timer.key().0 <= now) {
                let ready = timer.remove();
                match state.offer(ready) {
                    Ok(()) => {}
                    Err(ready) if state.timers.len() < TIMERS_MAX / 2 => state.set_timer(now.plus(SPILLED), ready),
                    Err(ready) => deferred.push(ready),
                }
            }
        }
        self.pump();
        for chunk in deferred.chunks(100) {
            let seconds = 1_000_000 + self.store.entropy().below(4_000_000) as i64;
            let due = Timestamp::from_micros(now.as_micros() + seconds);
            let rows: Arc<[Arc<Ready>]> = chunk.into();
            self.store
                .write(&CALLER, (rows, due), |tx, (rows, due): (Arc<[Arc<Ready>]>, Timestamp)| {
                    Box::pin(async move {
                        let rows: Vec<_> = rows.iter().map(|r| store::row_params![&*r.id, r.attempts, due]).collect();
                        tx.execute_many(&sql::DEFER_EVERYWHERE, &rows).await
                    })
                })
                .await
                .map(|_| ())
                .unwrap_or_else(|error: StoreError| tracing::warn!(%error, "jobs could not be put back; they are read again"));
            let mut state = self.state();
            for ready in chunk {
                state.forget(ready);
            }
        }
        Ok(())
    }

    /// When the next timer in memory is due.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.state().timers.first_key_value().map(|((due, _), _)| *due)
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a word")
}
