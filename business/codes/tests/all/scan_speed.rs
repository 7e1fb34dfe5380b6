//! What a scan costs: `cargo test --release -p codes -- --ignored --nocapture scan_speed`.

use std::sync::Arc;
use std::time::Instant;

use codes::commands;
use codes::scan::{Fold, Folder, Journal, Outcome, ScanRequest, Setup, start};
use codes::{CodeError, Destination, NewCode, TargetUrl};
use http::{HeaderMap, HeaderValue};
use kernel::{Clock, Entropy, Timestamp};
use store::testing::store_with;

use super::{PHONE, SYSTEM, Scratch, scan, workspace};

fn each(what: &str, count: u64, began: Instant) {
    println!("{what}: {} ns each", began.elapsed().as_nanos() as u64 / count);
}

#[test]
#[ignore = "it measures"]
fn appending_to_the_journal() {
    let folder = Scratch::new();
    let journal = Journal::open(Folder::open(folder.path(), &Entropy::seeded(1)).unwrap(), 0, 16 << 20).unwrap();
    let record = scan(7, 1, Timestamp::from_seconds(1));
    for threads in [1, 2] {
        let began = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| (0..500_000).for_each(|_| assert!(journal.append(&record))));
            }
        });
        each(&format!("append, {threads} threads"), 500_000 * threads, began);
        journal.delete_below(u64::MAX);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures"]
async fn answering_and_counting() {
    let (store, folder) = (store_with(|config| config.clock = Clock::system()).await, Scratch::new());
    let scanner = start(Setup::new((*store).clone(), folder.path())).await.unwrap();
    let new = NewCode {
        destination: Some(Destination::Url(TargetUrl::parse("https://example.com/menu", "https://go.acme.io").unwrap())),
        ..NewCode::default()
    };
    let unit = store.write(&SYSTEM, new, |tx, new| {
        Box::pin(async move {
            let minted = commands::mint_many(tx, workspace(1), 1_000, new).await?;
            while commands::fill_batch(tx, workspace(1), minted.batch).await? > 0 {}
            Ok::<_, CodeError>(minted.codes)
        })
    });
    let codes: Vec<String> = unit.await.unwrap().iter().map(ToString::to_string).collect();
    let mut headers = HeaderMap::new();
    headers.insert("user-agent", HeaderValue::from_static(PHONE));
    headers.insert("accept-language", HeaderValue::from_static("de-AT,de;q=0.9"));
    headers.insert("host", HeaderValue::from_static("go.acme.io"));
    let request = |code, n: u32| ScanRequest {
        code,
        query: None,
        is_get: true,
        headers: &headers,
        address: (n | 0x0A00_0000).to_be_bytes().into(),
        place: None,
    };
    for code in &codes {
        assert!(matches!(scanner.scan_slowly(&request(code, 1)).await, Outcome::Redirect(_)));
    }
    // A busy code in a thousand, as in life: the n-th is scanned as often as the first by n.
    let skewed: Vec<&String> =
        (0..300_000_u64).map(|n| &codes[(1000.0_f64.powf((n * 7919 % 300_000) as f64 / 300_000.0) - 1.0) as usize]).collect();
    scanner.settle().await.unwrap();
    let began = Instant::now();
    for (n, code) in skewed.iter().enumerate() {
        assert!(matches!(scanner.scan(&request(code, n as u32)), Some(Outcome::Redirect(_))));
    }
    each("scan from memory, recorded, counting beside it", skewed.len() as u64, began);
    let waiting = scanner.stats().waiting;
    let began = Instant::now();
    scanner.settle().await.unwrap();
    if waiting > 0 {
        each("what was left to count", waiting, began);
    }
    scanner.stop().await.unwrap();
    println!("{:?}", scanner.stats());
}

/// Milliseconds of processor that this process has used.
fn processor_ms() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(2).filter_map(|n| n.parse::<u64>().ok());
    ticks.sum::<u64>() * 10
}

/// MiB of this process's own memory.
fn memory_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() / 1024
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures"]
async fn counting_codes_that_were_never_scanned() {
    const CODES: u64 = 100_000;
    let (store, folder) = (store_with(|config| config.clock = Clock::system()).await, Scratch::new());
    let journal = Arc::new(Journal::open(Folder::open(folder.path(), &Entropy::seeded(1)).unwrap(), 0, 16 << 20).unwrap());
    Fold::mark_of(&store, journal.node()).await.unwrap();
    let mut fold = Fold::begin((*store).clone(), journal.clone()).await.unwrap();
    println!("at the start: {} MiB", memory_mib());
    for (round, at) in [1_769_851_800_i64, 1_769_851_860, 1_769_852_000].into_iter().enumerate() {
        for n in 0..CODES {
            // All over the numbers, as the permutation makes them.
            let number = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 24;
            journal.append(&scan(number, n + 1 + round as u64 * CODES, Timestamp::from_seconds(at)));
        }
        let (began, used, mut most) = (Instant::now(), processor_ms(), 0);
        let mut counted = 0;
        while counted < CODES {
            counted += fold.step().await.unwrap().scans;
            most = most.max(memory_mib());
        }
        let used = (processor_ms() - used) * 1_000_000 / CODES;
        each(&format!("round {round}: counting, {used} ns of processor, {most} MiB"), CODES, began);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures"]
async fn minting_in_steps() {
    let store = store_with(|config| config.clock = Clock::system()).await;
    let new = NewCode {
        destination: Some(Destination::Url(TargetUrl::parse("https://example.com/menu", "https://go.acme.io").unwrap())),
        ..NewCode::default()
    };
    let mut steps = Vec::new();
    for _ in 0..3 {
        let unit =
            store.write(&SYSTEM, new.clone(), |tx, new| Box::pin(async move { commands::mint_many(tx, workspace(1), 10_000, new).await }));
        let (batch, mut left) = (unit.await.unwrap().batch, 1);
        while left > 0 {
            let began = Instant::now();
            let unit =
                store.write_bulk(&SYSTEM, batch, |tx, batch| Box::pin(async move { commands::fill_batch(tx, workspace(1), batch).await }));
            left = unit.await.unwrap();
            steps.push(began.elapsed());
        }
    }
    steps.sort_unstable();
    println!("a step: {:?} in the middle, {:?} at most, {} of them", steps[steps.len() / 2], steps[steps.len() - 1], steps.len());
}
