//! What is kept for one key, and what it weighs.

use kernel::Timestamp;
use quick_cache::Weighter;

/// What the table adds for each entry, rounded up; quick_cache names 21 bytes, and its map is never quite full.
pub(crate) const ENTRY_OVERHEAD_BYTES: u64 = 48;

/// One key's value, or that it has none.
#[derive(Clone)]
pub(crate) struct Entry<V> {
    pub(crate) value: Option<V>,
    pub(crate) version: i64,
    pub(crate) until: Timestamp,
}

/// Weighs an entry in bytes.
pub(crate) struct Weigh<K, V> {
    heap_bytes: fn(&K, Option<&V>) -> usize,
}

impl<K, V> Weigh<K, V> {
    pub(crate) fn new(heap_bytes: fn(&K, Option<&V>) -> usize) -> Self {
        Self { heap_bytes }
    }
}

impl<K, V> Clone for Weigh<K, V> {
    fn clone(&self) -> Self {
        Self { heap_bytes: self.heap_bytes }
    }
}

impl<K, V> Weighter<K, Entry<V>> for Weigh<K, V> {
    fn weight(&self, key: &K, entry: &Entry<V>) -> u64 {
        let heap_bytes = (self.heap_bytes)(key, entry.value.as_ref()) as u64;
        ENTRY_OVERHEAD_BYTES + size_of::<(K, Entry<V>)>() as u64 + heap_bytes
    }
}
