//! Upkeep: cursors, slow entries, age, figures, and a log that came from another database server.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use store::{Reads, StoreError, Tx, params};
use tokio::time::Instant;

use super::follow::{Act, Step, run_steps};
use super::mark::check_lease;
use super::{CALLER, Engine, Refused, Source};
use crate::entry::SHARDS;
use crate::{Position, sql};

/// An entry that is open for longer than this leaves the log for a row of its own, so that no cursor stays behind it.
const STRAGGLES: Duration = Duration::from_secs(2);
/// How many of them one unit moves.
const PARKED_MAX: usize = 100;
/// How often the cursor of a shard without entries follows the tail.
const IDLE_MOVE: Duration = Duration::from_secs(10);
/// How many old entries one unit deletes.
const DROPPED_MAX: i64 = 500;
/// How many done rows one statement deletes; the statement has the same number.
const PRUNED_MAX: u64 = 500;

/// What one checkpoint does to a shard.
#[derive(Clone)]
struct Move {
    shard: usize,
    token: i64,
    pruned: Position,
    to: Position,
    is_last: bool,
}

impl Engine {
    /// Brings the cursors to disk, deletes the done rows that they passed, and gives back shards that are to be given back
    /// once nothing of them runs.
    pub(crate) async fn checkpoint(&self) -> Result<(), StoreError> {
        let _turn = self.shard_rows.lock().await;
        let moves: Vec<Move> = {
            let state = self.state();
            let tail = state.tail;
            let moving = state.shards.iter().enumerate().filter_map(|(n, shard)| {
                let shard = shard.as_ref()?;
                let to = shard.finished_up_to(tail);
                let is_last = shard.is_draining && shard.running == 0;
                let is_idle_move = to > shard.cursor && shard.moved_at.elapsed() > IDLE_MOVE;
                let is_due =
                    shard.has_progress() || is_idle_move || is_last || (shard.pruned < shard.cursor && shard.pruned != Position::default());
                is_due.then_some(Move { shard: n, token: shard.token, pruned: shard.pruned, to, is_last })
            });
            moving.collect()
        };
        if moves.is_empty() {
            return Ok(());
        }
        let input = (Arc::<[Move]>::from(moves.as_slice()), Arc::clone(&self.node));
        let done = self.store.write(&CALLER, input, |tx, (moves, holder): (Arc<[Move]>, Arc<str>)| {
            Box::pin(async move { run_moves(tx, &moves, &holder).await })
        });
        let done = done.await?;
        let mut state = self.state();
        for (made, pruned) in moves.iter().zip(done) {
            let Some(shard) = state.held(made.shard, made.token) else { continue };
            shard.cursor = shard.cursor.max(made.to);
            shard.moved_at = Instant::now();
            // What one statement left over is deleted by the next.
            shard.pruned = if pruned < PRUNED_MAX { made.to } else { made.pruned.max(Position { xid: 0, seq: 1 }) };
            if made.is_last {
                state.drop_shard(made.shard);
            }
        }
        Ok(())
    }

    /// Moves entries that run or queue for long from the log to the waiting ones, while they go on.
    pub(crate) async fn park_stragglers(&self) -> Result<(), StoreError> {
        while self.park_some().await? == PARKED_MAX {}
        Ok(())
    }

    /// Says how many entries were moved in one unit.
    async fn park_some(&self) -> Result<usize, StoreError> {
        let slow: Vec<_> = {
            let state = self.state();
            let open = state.shards.iter().flatten().flat_map(|shard| shard.open.values());
            let slow = open.filter(|open| open.since.elapsed() > STRAGGLES).filter_map(|open| open.ready.clone());
            slow.take(PARKED_MAX).collect()
        };
        // One that is being marked this moment is left to itself.
        let mut sources: Vec<_> = slow.iter().filter_map(|ready| Some((ready, ready.source.try_lock().ok()?))).collect();
        sources.retain(|(_, source)| matches!(**source, Source::Log(_)));
        let now = self.store.clock().now();
        let steps: Vec<Step> = sources
            .iter()
            .filter_map(|(ready, _)| {
                Some(Step { shard: ready.shard, token: ready.token, position: ready.position?, act: Act::Wait(Arc::clone(ready), now) })
            })
            .collect();
        if steps.is_empty() {
            return Ok(0);
        }
        let input = (Arc::from(steps.as_slice()), Arc::clone(&self.node));
        let done = self.store.write(&CALLER, input, |tx, (steps, holder): (Arc<[Step]>, Arc<str>)| {
            Box::pin(async move { run_steps(tx, &steps, &holder).await })
        });
        match done.await {
            Ok(marked) => {
                let mut state = self.state();
                for ((step, (_, source)), marked) in steps.iter().zip(&mut sources).zip(marked) {
                    **source = if marked { Source::Waiting } else { Source::Finished };
                    state.settle(step.shard, step.token, step.position);
                }
                Ok(steps.len())
            }
            Err(Refused::LeaseLost(shard)) => {
                let lost = steps.iter().find(|step| step.shard == shard).map(|step| step.token);
                self.lose(shard, lost.unwrap_or_default());
                Ok(0)
            }
            Err(Refused::Finished) => Ok(0),
            Err(Refused::Store(error)) => Err(error),
        }
    }

    /// Deletes what is older than the log is kept and finished; returns when the first 500 entries give nothing more.
    pub(crate) async fn drop_old(&self) -> Result<u64, StoreError> {
        let before = self.store.clock().now().minus(self.tuning.keep_log);
        let mut dropped = 0;
        loop {
            let done = self.store.write_bulk(&CALLER, before, |tx, before| {
                Box::pin(async move { tx.execute(&sql::DROP_OLD_EVERYWHERE, params![before, DROPPED_MAX]).await })
            });
            match done.await? {
                0 => return Ok(dropped),
                count => dropped += count,
            }
        }
    }

    /// Figures of what this process holds in memory.
    pub(crate) fn measure_memory(&self) {
        let state = self.state();
        for (name, lane) in &state.lanes {
            metrics::gauge!("outbox_lane_queued", "lane" => *name).set(lane.queued as f64);
            metrics::gauge!("outbox_lane_running", "lane" => *name).set(lane.running as f64);
        }
        metrics::gauge!("outbox_timers").set(state.timers.len() as f64);
        metrics::gauge!("outbox_shards_held").set(state.shards.iter().flatten().count() as f64);
        let oldest = state.shards.iter().flatten().flat_map(|shard| shard.open.values()).map(|open| open.since.elapsed()).max();
        metrics::gauge!("outbox_oldest_open_seconds").set(oldest.unwrap_or_default().as_secs_f64());
    }

    /// Figures of what is in the database: depth and age of each lane, dead jobs, and how long an open transaction has held
    /// the readers back.
    pub(crate) async fn measure_database(&self) -> Result<(), StoreError> {
        let (mut reads, now, tail) = (self.store.read(), self.store.clock().now(), self.state().tail);
        let lanes = reads
            .rows(&sql::WAITING_BY_LANE_EVERYWHERE, params![], |row| {
                Ok((row.get::<String>("lane")?, row.get::<i64>("waiting")?, row.time("first_due_at")?))
            })
            .await?;
        let lanes: HashMap<String, _> = lanes.into_iter().map(|(lane, waiting, first)| (lane, (waiting, now.since(first)))).collect();
        for name in self.state().lanes.keys() {
            let (waiting, late) = lanes.get(*name).copied().unwrap_or_default();
            metrics::gauge!("outbox_lane_waiting", "lane" => *name).set(waiting as f64);
            metrics::gauge!("outbox_lane_late_seconds", "lane" => *name).set(late.as_secs_f64());
        }
        let dead = reads.row(&sql::COUNT_DEAD_EVERYWHERE, params![], |row| row.get::<i64>("dead")).await?;
        metrics::gauge!("outbox_dead").set(dead.unwrap_or(0) as f64);
        let next = reads.row(&sql::FIRST_AFTER_EVERYWHERE, params![tail.xid, tail.seq], |row| row.time(0)).await?;
        metrics::gauge!("outbox_held_seconds").set(next.map_or(0.0, |next| now.since(next).as_secs_f64()));
        Ok(())
    }

    /// On PostgreSQL: when the database was restored into another server, whose transactions are numbered anew, entries and
    /// cursors are from a future that would hide all that follows. What is open is written again, under new numbers.
    pub(crate) async fn adopt_foreign_log(&self) -> Result<(), StoreError> {
        let foreign = self.store.read().row(&sql::IS_FOREIGN_EVERYWHERE, params![], |_| Ok(())).await?;
        if foreign.is_none() {
            return Ok(());
        }
        tracing::warn!("the outbox log comes from another database server; what is open is written anew");
        let adopt = self.store.write(&CALLER, (), |tx, ()| {
            Box::pin(async move {
                tx.lock("outbox", "adopt").await?;
                if tx.row(&sql::IS_FOREIGN_EVERYWHERE, params![], |_| Ok(())).await?.is_none() {
                    return Ok(());
                }
                tx.execute(&sql::REWRITE_OPEN_EVERYWHERE, params![]).await?;
                tx.execute(&sql::CURSORS_TO_END_EVERYWHERE, params![]).await?;
                tx.execute(&sql::DROP_FOREIGN_EVERYWHERE, params![]).await?;
                tx.execute(&sql::FORGET_DONE_EVERYWHERE, params![]).await?;
                tx.execute(&sql::CURSORS_TO_START_EVERYWHERE, params![]).await?;
                Ok::<_, StoreError>(())
            })
        });
        adopt.await
    }

    /// Takes this process off the list of those that live.
    pub(crate) async fn leave(&self) -> Result<(), StoreError> {
        let left = self.store.write(&CALLER, Arc::clone(&self.node), |tx, node: Arc<str>| {
            Box::pin(async move { tx.execute(&sql::FORGET_NODES_EVERYWHERE, params![0_i64, &*node]).await })
        });
        left.await.map(|_: u64| ())
    }

    /// Whether any shard is not held here.
    pub(crate) fn misses_a_shard(&self) -> bool {
        self.state().shards.iter().any(Option::is_none)
    }
}

/// Says for each shard how many done rows were deleted.
async fn run_moves(tx: &mut Tx, moves: &[Move], holder: &str) -> Result<Vec<u64>, StoreError> {
    let mut pruned = Vec::with_capacity(moves.len());
    for Move { shard, token, pruned: from, to, is_last } in moves {
        let (number, token) = (*shard as i64, *token);
        let has_moved = tx.execute(&sql::CURSOR_EVERYWHERE, params![number, token, holder, to.xid, to.seq]).await? > 0;
        // Done rows may go only once our cursor has passed them: another holder would begin at the old one.
        let is_ours = has_moved || !matches!(check_lease(tx, *shard, token, holder).await, Err(Refused::LeaseLost(_) | Refused::Store(_)));
        pruned.push(match is_ours && to > from {
            true => tx.execute(&sql::PRUNE_EVERYWHERE, params![number, from.xid, from.seq, to.xid, to.seq]).await?,
            false => 0,
        });
        if *is_last {
            tx.execute(&sql::RELEASE_EVERYWHERE, params![number, token, holder]).await?;
        }
    }
    Ok(pruned)
}

const _: () = assert!(SHARDS <= 63, "the shards of a process are a mask in one number");
