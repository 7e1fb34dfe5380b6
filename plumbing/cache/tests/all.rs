//! The promises of the cache.

#![expect(clippy::unwrap_used, reason = "a test may")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cache::{Cache, Known, Limits, Versioned};
use kernel::{Clock, Timestamp};
use tokio::sync::oneshot;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// Counts the allocations of each thread.
struct Counting;

#[expect(unsafe_code, reason = "an allocator is unsafe by its trait; this one passes everything on")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn limits() -> Limits {
    Limits::bytes(1 << 20)
}

fn clock() -> Clock {
    Clock::stopped(Timestamp::from_seconds(1_000_000))
}

fn weigh(key: &String, value: Option<&Arc<str>>) -> usize {
    key.capacity() + value.map_or(0, |value| value.len() + 16)
}

fn new(clock: &Clock) -> Arc<Cache<String, Arc<str>>> {
    Arc::new(Cache::new(limits(), clock.clone(), weigh))
}

fn at(version: i64) -> Versioned<Arc<str>> {
    Versioned::new(format!("v{version}").into(), version)
}

async fn load(cache: &Cache<String, Arc<str>>, key: &str, found: Option<Versioned<Arc<str>>>) -> Option<Arc<str>> {
    cache.get_or_load(&key.to_owned(), || async { Ok::<_, ()>(found) }).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_who_miss_one_key_at_once_load_it_once() {
    let cache = new(&clock());
    let loads = Arc::new(AtomicU64::new(0));
    let (go, wait) = tokio::sync::watch::channel(false);
    let tasks: Vec<_> = (0..10_000)
        .map(|_| {
            let (cache, loads, mut wait) = (Arc::clone(&cache), Arc::clone(&loads), wait.clone());
            tokio::spawn(async move {
                let key = "k".to_owned();
                let load = || async move {
                    loads.fetch_add(1, Ordering::SeqCst);
                    wait.wait_for(|go| *go).await.unwrap();
                    Ok::<_, ()>(Some(at(1)))
                };
                cache.get_or_load(&key, load).await.unwrap().unwrap()
            })
        })
        .collect();
    while loads.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    go.send(true).unwrap();
    for task in tasks {
        assert_eq!(&*task.await.unwrap(), "v1");
    }
    assert_eq!(loads.load(Ordering::SeqCst), 1);
    assert_eq!(cache.loads(), 1);
}

/// Cache-aside as it is usually written: look, load, put; a writer deletes.
#[derive(Default)]
struct Naive(Mutex<HashMap<String, Arc<str>>>);

#[tokio::test]
async fn a_slow_load_of_an_old_value_stays_in_a_naive_cache_and_not_in_ours() {
    // The reader reads version 1 of the row, and is slow to bring it home.
    let naive = Arc::new(Naive::default());
    let (arrive, arrived) = oneshot::channel::<()>();
    let reader = tokio::spawn({
        let naive = Arc::clone(&naive);
        async move {
            let read = at(1).value;
            arrived.await.unwrap();
            naive.0.lock().unwrap().insert("k".to_owned(), read);
        }
    });
    tokio::task::yield_now().await;
    // Meanwhile version 2 is committed and the key invalidated.
    naive.0.lock().unwrap().remove("k");
    arrive.send(()).unwrap();
    reader.await.unwrap();
    assert_eq!(naive.0.lock().unwrap().get("k").map(|v| &**v), Some("v1"), "the naive cache now serves the old value for ever");

    let cache = new(&clock());
    let (arrive, arrived) = oneshot::channel::<()>();
    let reader = tokio::spawn({
        let cache = Arc::clone(&cache);
        async move {
            let slow = || async {
                let read = at(1);
                arrived.await.unwrap();
                Ok::<_, ()>(Some(read))
            };
            cache.get_or_load(&"k".to_owned(), slow).await
        }
    });
    tokio::task::yield_now().await;
    cache.invalidate(&"k".to_owned(), 2);
    // Who asks after the invalidation does not join the old load.
    assert_eq!(load(&cache, "k", Some(at(2))).await.as_deref(), Some("v2"));
    arrive.send(()).unwrap();
    assert_eq!(reader.await.unwrap().unwrap().as_deref(), Some("v1"), "it asked before the change, so it may have the old value");
    assert_eq!(cache.get("k").as_deref(), Some("v2"));
}

#[tokio::test]
async fn a_slow_load_that_found_nothing_does_not_hide_what_was_made_meanwhile() {
    let cache = new(&clock());
    let (arrive, arrived) = oneshot::channel::<()>();
    let reader = tokio::spawn({
        let cache = Arc::clone(&cache);
        async move {
            let slow = || async {
                arrived.await.unwrap();
                Ok::<_, ()>(None)
            };
            cache.get_or_load(&"k".to_owned(), slow).await
        }
    });
    tokio::task::yield_now().await;
    assert!(cache.put("k".to_owned(), at(1)));
    arrive.send(()).unwrap();
    reader.await.unwrap().unwrap();
    assert_eq!(cache.get("k").as_deref(), Some("v1"));
}

#[test]
fn of_two_puts_the_newer_version_stays_whatever_their_order() {
    let cache = new(&clock());
    assert!(cache.put("k".to_owned(), at(2)));
    assert!(!cache.put("k".to_owned(), at(1)));
    assert_eq!(cache.get("k").as_deref(), Some("v2"));
    assert!(cache.put("k".to_owned(), at(3)));
    assert_eq!(cache.get("k").as_deref(), Some("v3"));
}

#[test]
fn an_invalidation_bars_older_versions_until_its_lease_ends_and_keeps_newer_ones() {
    let clock = clock();
    let cache = new(&clock);
    cache.put("k".to_owned(), at(4));
    cache.invalidate(&"k".to_owned(), 5);
    assert_eq!(cache.known("k"), Known::Unknown);
    assert!(!cache.put("k".to_owned(), at(4)));
    assert!(cache.put("k".to_owned(), at(5)));
    // The same invalidation arrives a second time, through the log.
    cache.invalidate(&"k".to_owned(), 5);
    assert_eq!(cache.get("k").as_deref(), Some("v5"));
    cache.invalidate(&"k".to_owned(), 6);
    clock.advance(limits().lease);
    assert!(cache.put("k".to_owned(), at(1)), "the row was made anew");
}

#[test]
fn a_flood_of_invalidations_closes_the_cache_for_a_lease_rather_than_forget_one() {
    let clock = clock();
    let cache = new(&clock);
    for n in 0..100_000 {
        cache.invalidate(&format!("k{n}"), 2);
    }
    for n in 0..1_000 {
        assert!(!cache.put(format!("k{n}"), at(1)));
    }
    clock.advance(limits().lease);
    assert!(cache.put("k0".to_owned(), at(2)));
}

#[tokio::test]
async fn absence_is_remembered_for_its_own_shorter_time() {
    let clock = clock();
    let cache = new(&clock);
    assert_eq!(load(&cache, "k", None).await, None);
    assert_eq!(cache.known("k"), Known::Absent);
    assert_eq!(load(&cache, "k", Some(at(1))).await, None, "known to be absent, so nothing is loaded");
    clock.advance(limits().absent_ttl);
    assert_eq!(load(&cache, "k", Some(at(1))).await.as_deref(), Some("v1"));
}

#[tokio::test]
async fn values_that_came_together_do_not_expire_together() {
    let clock = clock();
    let cache = new(&clock);
    for n in 0..100 {
        cache.put(format!("k{n}"), at(1));
    }
    clock.advance(limits().ttl.mul_f64(0.95));
    let left = (0..100).filter(|n| cache.get(&format!("k{n}")).is_some()).count();
    assert!((20..80).contains(&left), "{left} of 100 are left");
    clock.advance(limits().ttl.mul_f64(0.05));
    assert!((0..100).all(|n| cache.get(&format!("k{n}")).is_none()));
}

#[tokio::test]
async fn a_load_that_fails_or_is_dropped_leaves_the_next_one_to_try() {
    let cache = new(&clock());
    let key = "k".to_owned();
    assert_eq!(cache.get_or_load(&key, || async { Err("down") }).await, Err("down"));
    let never = cache.get_or_load(&key, std::future::pending::<Result<Option<Versioned<Arc<str>>>, ()>>);
    assert!(tokio::time::timeout(Duration::from_millis(5), never).await.is_err());
    assert_eq!(load(&cache, "k", Some(at(1))).await.as_deref(), Some("v1"));
}

#[test]
fn the_cache_stays_within_its_bytes() {
    let cache = new(&clock());
    for n in 0..50_000 {
        cache.put(format!("key number {n}"), Versioned::new("x".repeat(100).into(), 1));
    }
    assert!(cache.bytes() <= limits().bytes_max);
    assert!(cache.len() > 2_000, "and uses them: {}", cache.len());
    cache.put("big".to_owned(), Versioned::new("x".repeat(2 << 20).into(), 1));
    assert!(cache.bytes() <= limits().bytes_max);
}

#[tokio::test]
async fn in_doubt_nothing_old_is_served() {
    let clock = clock();
    let cache = new(&clock);
    cache.put("k".to_owned(), at(1));
    cache.doubt();
    assert_eq!(cache.known("k"), Known::Unknown);
    cache.put("k".to_owned(), at(2));
    assert_eq!(cache.get("k").as_deref(), Some("v2"));
    clock.advance(Duration::from_secs(1));
    assert_eq!(cache.known("k"), Known::Unknown, "a second is the most");
    cache.trust();
    cache.put("k".to_owned(), at(2));
    clock.advance(Duration::from_secs(1));
    assert_eq!(cache.get("k").as_deref(), Some("v2"));
}

#[test]
fn a_hit_allocates_nothing() {
    let cache: Cache<String, Arc<str>> = Cache::new(limits(), Clock::system(), weigh);
    cache.put("k".to_owned(), at(1));
    cache.get("k");
    let (before, started) = (ALLOCATIONS.with(Cell::get), Instant::now());
    for _ in 0..100_000 {
        std::hint::black_box(cache.get(std::hint::black_box("k")));
        std::hint::black_box(cache.get(std::hint::black_box("unknown")));
    }
    assert_eq!(ALLOCATIONS.with(Cell::get), before);
    println!("{} ns for a hit and a miss", started.elapsed().as_nanos() / 100_000);
}
