//! Sharing the log: each process leases its part of the shards, and takes over those of processes that are gone.

use std::sync::Arc;

use kernel::Timestamp;
use store::{Engine as Database, Reads, StoreError, Tx, params};
use tokio::time::Instant;

use super::state::Shard;
use super::{CALLER, Engine};
use crate::entry::SHARDS;
use crate::{Position, sql};

#[derive(Clone)]
struct Ask {
    node: Arc<str>,
    lease_micros: i64,
    /// What this process believes to hold.
    held: Vec<(usize, i64)>,
    /// The one process of a SQLite file takes what its predecessor left, lease or not.
    is_first_on_sqlite: bool,
    is_stopping: bool,
}

struct Round {
    nodes: i64,
    renewed: Vec<(usize, i64)>,
    leased: Vec<(usize, i64, Position)>,
}

impl Engine {
    /// Says that this process lives, renews its leases, takes what is free up to its share and begins to give back what is
    /// beyond it.
    pub(crate) async fn lease_round(&self, is_first: bool) -> Result<(), StoreError> {
        let _turn = self.shard_rows.lock().await;
        let started = Instant::now();
        let (held, is_stopping) = {
            let state = self.state();
            (state.shards.iter().enumerate().filter_map(|(n, shard)| Some((n, shard.as_ref()?.token))).collect(), state.is_stopping)
        };
        let ask = Ask {
            node: Arc::clone(&self.node),
            lease_micros: i64::try_from(self.tuning.lease.as_micros()).unwrap_or(i64::MAX),
            held,
            is_first_on_sqlite: is_first && self.store.engine() == Database::Sqlite,
            is_stopping,
        };
        let round = self.store.write(&CALLER, ask, |tx, ask: Ask| Box::pin(async move { run_round(tx, &ask).await })).await?;
        // A little early by our own clock, so that nothing starts in the last moment of a lease.
        let valid_until = started + self.tuning.lease.mul_f32(0.9);
        let mut state = self.state();
        for n in 0..SHARDS {
            let Some(token) = state.shards[n].as_ref().map(|shard| shard.token) else { continue };
            match state.held(n, token) {
                Some(shard) if round.renewed.contains(&(n, token)) => shard.valid_until = valid_until,
                _ => {
                    tracing::warn!(shard = n, "the lease on a shard of the outbox was lost");
                    state.drop_shard(n);
                }
            }
        }
        for (n, token, cursor) in round.leased {
            state.drop_shard(n);
            state.shards[n] = Some(Shard::new(token, cursor, valid_until));
        }
        let share = share(round.nodes);
        let kept: Vec<usize> = (0..SHARDS).filter(|n| state.shards[*n].as_ref().is_some_and(|shard| !shard.is_draining)).collect();
        for n in kept.into_iter().skip(share) {
            state.empty(n);
            if let Some(shard) = &mut state.shards[n] {
                shard.is_draining = true;
            }
        }
        drop(state);
        self.attach_wanted.notify_one();
        Ok(())
    }

    /// Forgets a shard whose lease turned out to be over.
    pub(crate) fn lose(&self, shard: usize, token: i64) {
        let mut state = self.state();
        if state.held(shard, token).is_some() {
            tracing::warn!(shard, "the lease on a shard of the outbox was lost");
            state.drop_shard(shard);
        }
    }
}

/// The part of one process, rounded up, so that all shards have a holder.
fn share(nodes: i64) -> usize {
    SHARDS.div_ceil(usize::try_from(nodes).unwrap_or(1).max(1))
}

async fn run_round(tx: &mut Tx, ask: &Ask) -> Result<Round, StoreError> {
    let now = tx.database_now().await?;
    let micros = |n: i64| Timestamp::from_micros(now.as_micros().saturating_add(n));
    let ends = micros(ask.lease_micros);
    // Of a SQLite file there is no other process, whatever its predecessor left behind.
    let forgotten = if ask.is_first_on_sqlite { Timestamp::from_micros(i64::MAX) } else { micros(-12 * ask.lease_micros) };
    tx.execute(&sql::FORGET_NODES_EVERYWHERE, params![forgotten, ""]).await?;
    tx.execute(&sql::SEEN_EVERYWHERE, params![&*ask.node, now]).await?;
    let nodes = tx.row(&sql::COUNT_NODES_EVERYWHERE, params![micros(-ask.lease_micros)], |row| row.get("nodes")).await?.unwrap_or(1);
    let mine = tx.rows(&sql::RENEW_EVERYWHERE, params![&*ask.node, ends], sql::shard_row).await?;
    let (renewed, adrift): (Vec<_>, Vec<_>) = mine.into_iter().partition(|(shard, token, _)| ask.held.contains(&(*shard, *token)));
    let renewed: Vec<(usize, i64)> = renewed.into_iter().map(|(shard, token, _)| (shard, token)).collect();
    if ask.is_stopping {
        return Ok(Round { nodes, renewed, leased: Vec::new() });
    }
    let wanted = share(nodes).saturating_sub(renewed.len() + adrift.len());
    let expired = if ask.is_first_on_sqlite { Timestamp::from_micros(i64::MAX) } else { now };
    let free = match wanted {
        0 => Vec::new(),
        _ => tx.rows(&sql::FREE_SHARDS_EVERYWHERE, params![&*ask.node, expired, wanted as i64], sql::shard_row).await?,
    };
    let mut leased = Vec::new();
    // What is ours by name but was lost from memory is taken anew, under a new token.
    for (shard, token, cursor) in adrift.into_iter().chain(free) {
        if tx.execute(&sql::LEASE_EVERYWHERE, params![shard as i64, &*ask.node, ends, token]).await? > 0 {
            leased.push((shard, token + 1, cursor));
        }
    }
    Ok(Round { nodes, renewed, leased })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_all_cover_the_log() {
        for nodes in 1..40_i64 {
            assert!(share(nodes) * usize::try_from(nodes).unwrap() >= SHARDS);
        }
        assert_eq!((share(0), share(1), share(2), share(3)), (16, 16, 8, 6));
    }
}
