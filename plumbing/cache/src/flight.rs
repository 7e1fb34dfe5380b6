//! Loads in progress, and the bars that invalidations leave behind.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kernel::Timestamp;
use tokio::sync::OnceCell;

use crate::lock;

/// How many bars one stripe remembers; beyond it nothing is kept until they have expired.
const BARS_MAX: usize = 256;

/// One load that all who miss the same key wait for.
pub(crate) struct Flight<V> {
    pub(crate) outcome: OnceCell<Option<V>>,
}

/// The share of the keys that one lock guards.
pub(crate) struct Stripe<K, V> {
    flights: HashMap<K, Arc<Flight<V>>>,
    /// By the hash of the key: two keys that collide bar each other, which costs a load and nothing else.
    bars: HashMap<u64, Bar>,
    closed_until: Timestamp,
}

/// An invalidation that older versions must not pass.
struct Bar {
    version: i64,
    until: Timestamp,
}

impl<K, V> Default for Stripe<K, V> {
    fn default() -> Self {
        Self { flights: HashMap::new(), bars: HashMap::new(), closed_until: Timestamp::default() }
    }
}

impl<K: Hash + Eq + Clone, V> Stripe<K, V> {
    /// Whether a value of this version was overtaken by an invalidation.
    pub(crate) fn is_barred(&self, hash: u64, version: i64, now: Timestamp) -> bool {
        now < self.closed_until || self.bars.get(&hash).is_some_and(|bar| now < bar.until && version < bar.version)
    }

    pub(crate) fn bar(&mut self, hash: u64, version: i64, now: Timestamp, lease: Duration) {
        let until = now.plus(lease);
        if self.bars.len() >= BARS_MAX && !self.bars.contains_key(&hash) {
            self.bars.retain(|_, bar| now < bar.until);
            if self.bars.len() >= BARS_MAX {
                self.closed_until = until;
                return;
            }
        }
        let bar = self.bars.entry(hash).or_insert(Bar { version, until });
        *bar = Bar { version: bar.version.max(version), until };
    }

    /// Makes the load of `key` in progress, if any, one whose value is not kept and that nobody joins any more.
    pub(crate) fn detach(&mut self, key: &K) -> bool {
        self.flights.remove(key).is_some()
    }

    pub(crate) fn detach_all(&mut self) {
        self.flights.clear();
    }

    /// Ends a load; false when it was detached.
    pub(crate) fn finish(&mut self, key: &K, flight: &Arc<Flight<V>>) -> bool {
        let is_current = self.flights.get(key).is_some_and(|current| Arc::ptr_eq(current, flight));
        if is_current {
            self.flights.remove(key);
        }
        is_current
    }
}

/// One caller's part in a load; the last to leave an unfinished one takes it away.
pub(crate) struct Joined<'a, K: Hash + Eq + Clone, V> {
    stripe: &'a Mutex<Stripe<K, V>>,
    key: &'a K,
    flight: Option<Arc<Flight<V>>>,
}

impl<'a, K: Hash + Eq + Clone, V> Joined<'a, K, V> {
    pub(crate) fn new(stripe: &'a Mutex<Stripe<K, V>>, key: &'a K) -> Self {
        let mut guard = lock(stripe);
        let flight = match guard.flights.get(key) {
            Some(flight) => Arc::clone(flight),
            None => {
                let flight = Arc::new(Flight { outcome: OnceCell::new() });
                guard.flights.insert(key.clone(), Arc::clone(&flight));
                flight
            }
        };
        Self { stripe, key, flight: Some(flight) }
    }

    pub(crate) fn flight(&self) -> &Arc<Flight<V>> {
        self.flight.as_ref().expect("it leaves only when dropped")
    }
}

impl<K: Hash + Eq + Clone, V> Drop for Joined<'_, K, V> {
    fn drop(&mut self) {
        let Some(flight) = self.flight.take() else { return };
        let mut stripe = lock(self.stripe);
        // The map's and this one: nobody else waits. Joining and leaving happen under the lock, so the count is true.
        if Arc::strong_count(&flight) == 2 {
            stripe.finish(self.key, &flight);
        }
        drop(flight);
    }
}
