//! The fold: what the journal holds is counted once, whatever happens in between.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use codes::PublicCode;
use codes::scan::{
    By, Fold, Folder, Journal, Record, SLOT_BYTES, Scanned, Span, Totals, breakdown, classify, series, totals, totals_of, visitors,
};
use kernel::Entropy;
use store::testing::{TestStore, store};
use store::{Sql, Store};

use super::{BOT, SYSTEM, Scratch, facts, scan, time, workspace};

static POISON: Sql = Sql::per_engine(
    "create trigger poison before insert on codes_totals when new.code = 400 begin select raise(abort, 'poisoned'); end",
    "alter table codes_totals add constraint poison check (code <> 400)",
);
static ANTIDOTE: Sql = Sql::per_engine("drop trigger poison", "alter table codes_totals drop constraint poison");

async fn run(store: &Store, sql: &'static Sql) {
    let unit = store.write(&SYSTEM, sql, |tx, sql| Box::pin(async move { tx.execute(sql, &[]).await.map(|_| ()) }));
    unit.await.unwrap();
}

/// A journal with small segments, and the fold of it.
async fn open(store: &Store, folder: &Path) -> (Arc<Journal>, Fold) {
    let folder = Folder::open(folder, &Entropy::seeded(1)).unwrap();
    let counted = Fold::mark_of(store, folder.node()).await.unwrap();
    let journal = Arc::new(Journal::open(folder, counted.segment, 4096 + 500 * SLOT_BYTES).unwrap());
    let fold = Fold::begin(store.clone(), journal.clone()).await.unwrap();
    (journal, fold)
}

fn append(journal: &Journal, records: impl IntoIterator<Item = Record>) {
    for record in records {
        assert!(journal.append(&record));
    }
}

async fn drain(fold: &mut Fold) -> u64 {
    let mut counted = 0;
    loop {
        let before = fold.position();
        counted += fold.step().await.unwrap().scans;
        if fold.position() == before {
            return counted;
        }
    }
}

fn code(number: u64) -> PublicCode {
    PublicCode::from_number(number).unwrap()
}

async fn totals_now(store: &TestStore, number: u64) -> (i64, i64, i64) {
    let Totals { total, bots, doubles, .. } = totals(&mut store.read(), workspace(1), code(number)).await.unwrap();
    (total, bots, doubles)
}

#[tokio::test(flavor = "multi_thread")]
async fn people_bots_and_doubles_are_counted_apart_by_minute_hour_and_day() {
    let (store, folder) = (store().await, Scratch::new());
    let (journal, mut fold) = open(&store, folder.path()).await;
    let at = time("2026-01-31T09:30:00Z");
    let bot = |seconds| Record { agent: classify(BOT.as_bytes()), ..scan(7, 99, at.plus(Duration::from_secs(seconds))) };
    append(&journal, [scan(7, 1, at), scan(7, 1, at.plus(Duration::from_secs(3))), scan(7, 2, at), bot(0), bot(70)]);
    append(&journal, [scan(7, 1, at.plus(Duration::from_secs(90))), scan(8, 1, at), scan(7, 3, at.plus(Duration::from_secs(15 * 3600)))]);
    assert_eq!(drain(&mut fold).await, 8);
    assert_eq!(totals_now(&store, 7).await, (4, 2, 1));
    assert_eq!(totals_now(&store, 8).await, (1, 0, 0));

    let now = time("2026-02-01T12:00:00Z");
    let span = |by, from: &str, to: &str| Span::new(by, Some(time(from)), Some(time(to)), now).unwrap();
    let mut read = store.read();
    let minutes = span(By::Minute, "2026-01-31T09:29:00Z", "2026-01-31T09:33:00Z");
    let points: Vec<i64> =
        series(&mut read, workspace(1), code(7), minutes).await.unwrap().points.iter().map(|point| point.scans).collect();
    assert_eq!(points, [0, 2, 1, 0]);
    let hours = span(By::Hour, "2026-01-31T09:00:00Z", "2026-02-01T01:00:00Z");
    let hourly = series(&mut read, workspace(1), code(7), hours).await.unwrap();
    assert_eq!((hourly.points.len(), hourly.points[0].scans, hourly.points[15].scans, hourly.scans), (16, 3, 1, 4));
    let days = span(By::Day, "2026-01-30T00:00:00Z", "2026-02-02T00:00:00Z");
    let points: Vec<i64> = series(&mut read, workspace(1), code(7), days).await.unwrap().points.iter().map(|point| point.scans).collect();
    assert_eq!(points, [0, 3, 1]);
    let daily: Vec<u64> = visitors(&mut read, workspace(1), code(7), days).await.unwrap().iter().map(|day| day.visitors).collect();
    assert_eq!(daily, [2, 1]);
    let parts = breakdown(&mut read, workspace(1), code(7), days).await.unwrap();
    assert_eq!(parts.device.ranked(), [("phone", 4)]);
    assert_eq!(parts.place.ranked(), [("AT", 4)]);

    assert_eq!(totals(&mut read, workspace(2), code(7)).await.unwrap(), Totals::default(), "another workspace sees nothing");
    assert_eq!(series(&mut read, workspace(2), code(7), days).await.unwrap().scans, 0);
    let listed = totals_of(&mut read, workspace(1), &[code(7), code(8), code(9)]).await.unwrap();
    assert_eq!((listed.len(), listed[&code(7)].total, listed[&code(8)].total), (2, 4, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_failed_half_way_is_finished_after_a_restart_and_counted_once() {
    let (store, folder) = (store().await, Scratch::new());
    let at = time("2026-01-31T09:30:00Z");
    {
        let (journal, mut fold) = open(&store, folder.path()).await;
        append(&journal, (0..1_800_u64).map(|n| scan(n % 600, n + 1, at.plus(Duration::from_millis(n)))));
        run(&store, &POISON).await;
        assert!(fold.step().await.is_err());
        assert_eq!(totals_now(&store, 10).await, (3, 0, 0), "the first part stands");
        assert_eq!(totals_now(&store, 399).await, (0, 0, 0), "the part with the failure does not");
        assert!(fold.step().await.is_err(), "it fails again, and counts nothing twice");
        append(&journal, [scan(10, 9_000, at)]);
        // Dropped without farewell, like a process that was killed.
    }
    run(&store, &ANTIDOTE).await;
    let (journal, mut fold) = open(&store, folder.path()).await;
    append(&journal, [scan(599, 9_001, at)]);
    drain(&mut fold).await;
    for number in 0..600 {
        let expected = if [10, 599].contains(&number) { 4 } else { 3 };
        assert_eq!(totals_now(&store, number).await, (expected, 0, 0), "code {number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fold_that_somebody_else_overtook_counts_nothing_twice() {
    let (store, folder) = (store().await, Scratch::new());
    let (journal, mut fold) = open(&store, folder.path()).await;
    let mut late = Fold::begin((*store).clone(), journal.clone()).await.unwrap();
    let at = time("2026-01-31T09:30:00Z");
    append(&journal, (0..100).map(|n| scan(n % 10, n + 1, at)));
    assert_eq!(drain(&mut fold).await, 100);
    assert!(late.step().await.is_err(), "the mark has moved");
    append(&journal, [scan(3, 777, at)]);
    assert_eq!(drain(&mut late).await, 1, "it looks again and goes on from there");
    assert_eq!(totals_now(&store, 3).await, (11, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn double_scans_are_recognised_across_a_restart_and_rows_go_on_growing() {
    let (store, folder) = (store().await, Scratch::new());
    let at = time("2026-01-31T09:30:00Z");
    let after = |millis| at.plus(Duration::from_millis(millis));
    for round in 0..5_u64 {
        let (journal, mut fold) = open(&store, folder.path()).await;
        // The same phone every three seconds is one scan for ever; another one each time is a scan each time.
        append(&journal, [scan(7, 1, after(round * 3_000)), scan(7, 100 + round, after(round * 3_000 + 1))]);
        assert_eq!(drain(&mut fold).await, 2);
        if round % 2 == 0 {
            journal.close().unwrap();
        }
    }
    assert_eq!(totals_now(&store, 7).await, (6, 0, 4));
    let day = Span::new(By::Day, Some(at), None, at).unwrap();
    assert_eq!(visitors(&mut store.read(), workspace(1), code(7), day).await.unwrap()[0].visitors, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn counted_segments_go_and_the_last_seconds_stay() {
    let (store, folder) = (store().await, Scratch::new());
    let (journal, mut fold) = open(&store, folder.path()).await;
    let at = time("2026-01-31T09:30:00Z");
    append(&journal, (0..5_000_u64).map(|n| scan(n % 50, n + 1, at.plus(Duration::from_millis(n * 10)))));
    assert_eq!(drain(&mut fold).await, 5_000);
    // Five seconds are 500 scans, a segment's worth.
    assert!((8..=9).contains(&journal.oldest()), "{}", journal.oldest());
    append(&journal, [scan(0, 1, at.plus(Duration::from_secs(600)))]);
    drain(&mut fold).await;
    assert_eq!(journal.oldest(), 10, "the last segment before the position stays");
    drop((journal, fold));
    let (_, mut fold) = open(&store, folder.path()).await;
    assert_eq!(drain(&mut fold).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_counted_is_told_once_for_each_code_and_in_a_rush_for_each_workspace() {
    let (store, folder) = (store().await, Scratch::new());
    let (journal, mut fold) = open(&store, folder.path()).await;
    let at = time("2026-01-31T09:30:00Z");
    append(&journal, [scan(7, 1, at), scan(7, 2, at), scan(8, 1, at), Record { agent: classify(BOT.as_bytes()), ..scan(8, 5, at) }]);
    drain(&mut fold).await;
    let facts = told(&store, 2).await;
    assert_eq!(facts.len(), 2);
    assert_eq!((facts[0].code, facts[0].scans, facts[0].bots), (Some(code(7)), 2, 0));
    assert_eq!((facts[1].code, facts[1].scans, facts[1].bots), (Some(code(8)), 1, 1));
    assert_eq!(facts[0].language.as_deref(), Some("de"));
    append(&journal, (0..1_000).map(|n| scan(1_000 + n, n + 1, at)));
    drain(&mut fold).await;
    let facts = told(&store, 3).await;
    assert_eq!(facts.len(), 3);
    assert_eq!((facts[2].code, facts[2].scans), (None, 1_000));
}

async fn told(store: &TestStore, count: usize) -> Vec<Scanned> {
    facts(store, "codes.scanned", count).await.iter().filter_map(|entry| entry.decode::<Scanned>()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_order_of_scans_folds_and_stops_the_sums_are_those_of_the_scans() {
    let (store, folder) = (store().await, Scratch::new());
    let (mut journal, mut fold) = open(&store, folder.path()).await;
    let entropy = Entropy::seeded(5);
    let mut expected = std::collections::HashMap::<u64, i64>::new();
    let mut at = time("2026-01-31T23:58:00Z");
    for n in 0..60_u64 {
        for m in 0..entropy.below(120) {
            let number = entropy.below(1 + entropy.below(400));
            at = at.plus(Duration::from_millis(40));
            append(&journal, [scan(number, n * 1_000 + m + 1, at)]);
            *expected.entry(number).or_default() += 1;
        }
        match entropy.below(4) {
            0 => drop(fold.step().await.unwrap()),
            1 => {
                drop((journal, fold));
                (journal, fold) = open(&store, folder.path()).await;
            }
            _ => {}
        }
    }
    drain(&mut fold).await;
    for (number, scans) in &expected {
        assert_eq!(totals_now(&store, *number).await, (*scans, 0, 0), "code {number}");
        let days = Span::new(By::Day, Some(time("2026-01-31T00:00:00Z")), Some(at), at).unwrap();
        assert_eq!(series(&mut store.read(), workspace(1), code(*number), days).await.unwrap().scans, *scans);
    }
    let sum: i64 = expected.values().sum();
    assert_eq!(codes::scan::recorded_everywhere(&mut store.read()).await.unwrap(), sum);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_is_understood_by_the_engine() {
    let store = store().await;
    assert_eq!(store.prepare_all(codes::scan::STATEMENTS).await, Vec::<String>::new());
}
