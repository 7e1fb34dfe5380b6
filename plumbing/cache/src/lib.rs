//! Cache: what this process remembers of rows that others may change.
//!
//! Local, in memory, bounded in bytes. A miss is loaded once however many ask at the same time. An entry carries the version
//! of its row, and an old value never replaces a newer one: not when a slow load ends after the row changed, and not when
//! two changes arrive in the wrong order. What is known not to exist is remembered too, for a shorter time.
//!
//! Invariants: a value that was loaded before an invalidation and arrives after it is handed only to those who asked before
//! the invalidation, and is never kept; nothing is kept longer than its time to live; nothing but memory is at stake, so
//! whatever is in doubt is forgotten.
//!
//! Does not know where values come from (the caller brings the loader) nor who changes them: whoever follows the log of
//! facts calls [`Cache::invalidate`], and [`Cache::doubt`] while it cannot follow. A tier shared between processes would
//! stand behind the loader, whose answers carry versions already.

mod entry;
mod flight;

use std::borrow::Borrow;
use std::future::Future;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kernel::{Clock, Timestamp};
use quick_cache::sync::{Cache as Entries, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder};

use entry::{ENTRY_OVERHEAD_BYTES, Entry, Weigh};
use flight::{Flight, Joined, Stripe};

/// How many locks the writers of one cache share; readers take none of them.
const STRIPES: usize = 64;
/// The longest that an entry is kept while invalidations may be missing.
const DOUBTFUL_TTL: Duration = Duration::from_secs(1);

/// What a cache may use, and how long it keeps things.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The bound of all entries together, in bytes, keys and bookkeeping included.
    pub bytes_max: u64,
    /// How long a value is kept; each key keeps its own up to a tenth less, so that what was filled together does not
    /// expire together.
    pub ttl: Duration,
    /// How long it is kept that there is nothing.
    pub absent_ttl: Duration,
    /// How long an invalidation bars older versions that were read before it.
    pub lease: Duration,
}

impl Limits {
    /// This many bytes, values for five minutes, absence for five seconds, a lease of ten.
    pub const fn bytes(bytes_max: u64) -> Self {
        Self { bytes_max, ttl: Duration::from_secs(300), absent_ttl: Duration::from_secs(5), lease: Duration::from_secs(10) }
    }
}

/// A value with the version of the row it was made from; versions of one key only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versioned<V> {
    /// The value.
    pub value: V,
    /// The row's version.
    pub version: i64,
}

impl<V> Versioned<V> {
    /// `value` as of `version`.
    pub const fn new(value: V, version: i64) -> Self {
        Self { value, version }
    }
}

/// What the cache knows of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known<V> {
    /// This value.
    Value(V),
    /// That there is nothing.
    Absent,
    /// Nothing: ask the owner of the row.
    Unknown,
}

/// A bounded memory of versioned values; share it in an [`Arc`]. `V` is cloned on every hit, so make it an `Arc` or small.
pub struct Cache<K, V> {
    entries: Entries<K, Entry<V>, Weigh<K, V>>,
    stripes: Box<[Mutex<Stripe<K, V>>]>,
    hasher: RandomState,
    clock: Clock,
    limits: Limits,
    doubtful: AtomicBool,
    loads: AtomicU64,
}

impl<K, V> Cache<K, V>
where
    K: Hash + Eq + Clone,
    V: Clone,
{
    /// An empty cache. `weigh` gives the bytes on the heap behind a key and its value, if it has one; it must give the
    /// same for the same entry every time.
    pub fn new(limits: Limits, clock: Clock, weigh: fn(&K, Option<&V>) -> usize) -> Self {
        let average_bytes = ENTRY_OVERHEAD_BYTES + 2 * size_of::<(K, Entry<V>)>() as u64;
        let options = OptionsBuilder::new()
            .estimated_items_capacity(usize::try_from(limits.bytes_max / average_bytes).unwrap_or(usize::MAX).clamp(16, 1 << 20))
            .weight_capacity(limits.bytes_max)
            .build()
            .expect("both capacities are given");
        let entries = Entries::with_options(options, Weigh::new(weigh), DefaultHashBuilder::default(), DefaultLifecycle::default());
        let stripes = (0..STRIPES).map(|_| Mutex::new(Stripe::default())).collect();
        let (doubtful, loads) = (AtomicBool::new(false), AtomicU64::new(0));
        Self { entries, stripes, hasher: RandomState::new(), clock, limits, doubtful, loads }
    }

    /// The value of `key`, if it is known. Allocates nothing and waits for nothing.
    pub fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        match self.known(key) {
            Known::Value(value) => Some(value),
            Known::Absent | Known::Unknown => None,
        }
    }

    /// What is known of `key`, absence included. Allocates nothing and waits for nothing.
    pub fn known<Q>(&self, key: &Q) -> Known<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        match self.entries.get(key) {
            Some(entry) if self.clock.now() < entry.until => entry.value.map_or(Known::Absent, Known::Value),
            _ => Known::Unknown,
        }
    }

    /// The value of `key`, loaded where it is not known; None where the loader found nothing. However many ask at the same
    /// time, one loads and the rest wait for it; when its load fails, it gets the error and the next one tries. A load may
    /// be dropped half way: the next one takes over.
    pub async fn get_or_load<E, F, L>(&self, key: &K, load: L) -> Result<Option<V>, E>
    where
        L: FnOnce() -> F,
        F: Future<Output = Result<Option<Versioned<V>>, E>>,
    {
        match self.known(key) {
            Known::Value(value) => return Ok(Some(value)),
            Known::Absent => return Ok(None),
            Known::Unknown => {}
        }
        let joined = Joined::new(self.stripe_of(self.hasher.hash_one(key)), key);
        let flight = joined.flight();
        let outcome = flight
            .outcome
            .get_or_try_init(|| async {
                // Another flight may have landed between the look above and joining this one.
                match self.known(key) {
                    Known::Value(value) => return Ok(Some(value)),
                    Known::Absent => return Ok(None),
                    Known::Unknown => {}
                }
                self.loads.fetch_add(1, Ordering::Relaxed);
                let loaded = load().await?;
                Ok(self.land(key, flight, loaded))
            })
            .await;
        outcome.cloned()
    }

    /// Remembers a value, for example after the commit that wrote it. A newer one that is known already stays; so does the
    /// bar of a newer invalidation. Says whether it was kept.
    pub fn put(&self, key: K, value: Versioned<V>) -> bool {
        let (hash, now) = (self.hasher.hash_one(&key), self.clock.now());
        let mut stripe = self.stripe(hash);
        if stripe.is_barred(hash, value.version, now) || self.holds_newer(&key, value.version, now) {
            return false;
        }
        // Whoever is loading this key may have read the row before this version.
        if stripe.detach(&key) {
            stripe.bar(hash, value.version, now, self.limits.lease);
        }
        self.keep(key, hash, Some(value), now);
        true
    }

    /// Forgets `key`, whose row now has `version` (also when the row is gone), and bars older versions for the lease.
    pub fn invalidate(&self, key: &K, version: i64) {
        let (hash, now) = (self.hasher.hash_one(key), self.clock.now());
        let mut stripe = self.stripe(hash);
        stripe.bar(hash, version, now, self.limits.lease);
        stripe.detach(key);
        let is_older = |entry: Entry<V>| entry.value.is_none() || entry.version < version;
        if self.entries.peek(key).is_some_and(is_older) {
            self.entries.remove(key);
        }
    }

    /// Forgets everything, and keeps nothing that is being loaded right now.
    pub fn clear(&self) {
        for stripe in &self.stripes {
            lock(stripe).detach_all();
        }
        self.entries.clear();
    }

    /// Call it when invalidations may be missing: forgets everything, and until [`Self::trust`] keeps what is loaded for a
    /// second at most.
    pub fn doubt(&self) {
        self.doubtful.store(true, Ordering::SeqCst);
        self.clear();
    }

    /// Call it when invalidations arrive again.
    pub fn trust(&self) {
        if self.doubtful.swap(false, Ordering::SeqCst) {
            self.clear();
        }
    }

    /// How many entries there are, expired ones included.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The weight of all entries in bytes.
    pub fn bytes(&self) -> u64 {
        self.entries.weight()
    }

    /// How often a loader was called since the start.
    pub fn loads(&self) -> u64 {
        self.loads.load(Ordering::Relaxed)
    }
}

/// What the verbs above share.
impl<K, V> Cache<K, V>
where
    K: Hash + Eq + Clone,
    V: Clone,
{
    fn stripe(&self, hash: u64) -> MutexGuard<'_, Stripe<K, V>> {
        lock(self.stripe_of(hash))
    }

    fn stripe_of(&self, hash: u64) -> &Mutex<Stripe<K, V>> {
        &self.stripes[hash as usize % STRIPES]
    }

    /// Ends a load: keeps what it brought unless the row may have changed meanwhile, and gives what the waiting may have.
    fn land(&self, key: &K, flight: &Arc<Flight<V>>, loaded: Option<Versioned<V>>) -> Option<V> {
        let (hash, now) = (self.hasher.hash_one(key), self.clock.now());
        let value = loaded.as_ref().map(|loaded| loaded.value.clone());
        let mut stripe = self.stripe(hash);
        if !stripe.finish(key, flight) {
            return value;
        }
        let version = loaded.as_ref().map_or(i64::MAX, |loaded| loaded.version);
        if !stripe.is_barred(hash, version, now) && !self.holds_newer(key, version, now) {
            self.keep(key.clone(), hash, loaded, now);
        }
        value
    }

    fn holds_newer(&self, key: &K, version: i64, now: Timestamp) -> bool {
        self.entries.peek(key).is_some_and(|entry| now < entry.until && entry.value.is_some() && entry.version > version)
    }

    /// The caller holds the key's stripe.
    fn keep(&self, key: K, hash: u64, value: Option<Versioned<V>>, now: Timestamp) {
        let ttl = if value.is_some() { self.limits.ttl } else { self.limits.absent_ttl };
        // Each key takes up to a tenth off, always the same, so that no two of a burst expire together.
        let ttl = ttl - (ttl / 10).mul_f64((hash >> 32) as f64 / f64::from(u32::MAX));
        let ttl = if self.doubtful.load(Ordering::SeqCst) { ttl.min(DOUBTFUL_TTL) } else { ttl };
        let (value, version) = value.map_or((None, i64::MIN), |kept| (Some(kept.value), kept.version));
        self.entries.insert(key, Entry { value, version, until: now.plus(ttl) });
    }
}

/// A panic of a `Hash` or `Eq` leaves nothing half done that matters to a cache.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
