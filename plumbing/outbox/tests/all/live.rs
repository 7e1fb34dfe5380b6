//! With a clock that runs, and everything in the background.

use std::sync::Arc;
use std::time::Duration;

use outbox::Tuning;
use store::{Reads, StoreError, params};
use tokio::sync::Notify;

use crate::world::*;

async fn effects_are(store: &store::Store, count: i64) {
    until("the effects are there", || async { number(store, &COUNT_EFFECTS).await >= count }).await;
    assert_eq!(number(store, &COUNT_EFFECTS).await, count);
}

/// On SQLite nobody looks by themselves: what happens was rung for. On PostgreSQL transactions of others hide what was committed.
fn without_a_look(store: &store::Store) -> Tuning {
    let usual = Tuning::for_engine(store.engine());
    match store.engine() {
        store::Engine::Sqlite => Tuning { poll: Duration::from_secs(3_600), ..usual },
        store::Engine::Postgres => usual,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_wakes_its_own_process_at_once() {
    let store = live_store().await;
    let outbox = builder(&store).await.tuning(without_a_look(&store)).start().await.unwrap();
    publish(&store, Captured { lead: "warm".into(), told: 1 }).await;
    effects_are(&store, 1).await;
    publish(&store, Captured { lead: "lead".into(), told: 3 }).await;
    effects_are(&store, 4).await;
    until("the cursors have passed", || async { number(&store, &COUNT_OPEN).await == 0 && number(&store, &COUNT_DONE).await == 0 }).await;
    outbox.stop(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_that_hangs_holds_up_neither_the_log_nor_other_lanes() {
    let store = live_store().await;
    let outbox = builder(&store).await.start().await.unwrap();
    // More than the lane and its memory can take.
    enqueue(&store, (0..2_500).map(|n| Hang(format!("hang {n}"))).collect()).await;
    enqueue(&store, (0..100).map(|n| Write(format!("write {n}"))).collect()).await;
    effects_are(&store, 100).await;
    // The hanging ones leave the log for rows of their own, so that its cursors pass them.
    until("the log is free", || async { number(&store, &COUNT_BEHIND).await == 0 }).await;
    assert_eq!(number(&store, &COUNT_OPEN).await, 2_500, "and none of them is lost");
    outbox.stop(Duration::from_millis(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_runs_when_it_is_due_and_not_when_somebody_looks() {
    let store = live_store().await;
    let outbox = builder(&store).await.tuning(without_a_look(&store)).start().await.unwrap();
    let now = store.clock().now();
    // Far enough ahead that no open transaction elsewhere on a shared test server hides them when they are due.
    let ahead_ms = if store.engine() == store::Engine::Sqlite { 300 } else { 4_000 };
    let due: Vec<_> = (0..10).map(|n| now.plus(Duration::from_millis(ahead_ms + n * 130))).collect();
    for (n, due) in due.iter().enumerate() {
        enqueue_at(&store, *due, &format!("timer {n}")).await;
    }
    effects_are(&store, 10).await;
    let ran = store.read().rows(&EFFECT_TIMES, params![], |row| row.time("at")).await.unwrap();
    for (due, ran) in due.iter().zip(ran) {
        assert!(ran >= *due, "never early");
        println!("{:?} late", ran.since(*due));
    }
    outbox.stop(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_stops_finishes_what_runs_and_the_next_one_goes_on() {
    let store = live_store().await;
    let first = builder(&store).await.start().await.unwrap();
    enqueue(&store, (0..40).map(|n| Sleepy(format!("{n}"))).collect()).await;
    until("some are done", || async { number(&store, &COUNT_EFFECTS).await > 0 }).await;
    first.stop(Duration::from_secs(5)).await;
    let done = number(&store, &COUNT_EFFECTS).await;
    assert!((1..40).contains(&done), "{done}");
    let (now, held) = (store.clock().now(), 0_i64);
    assert_eq!(store.read().row(&HOLDERS, params![now], |row| row.get::<i64>("held")).await.unwrap(), Some(held));
    let second = builder(&store).await.start().await.unwrap();
    effects_are(&store, 40).await;
    second.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_commits_late_is_not_passed_by() {
    let store = live_store().await;
    if store.engine() == store::Engine::Sqlite {
        return;
    }
    let outbox = builder(&store).await.start().await.unwrap();
    let mut facts = outbox.feed().subscribe();
    let (written, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let slow = tokio::spawn({
        let (store, written, go) = (store.clone(), written.clone(), go.clone());
        async move {
            // The first transaction writes its fact and stays open.
            let unit = store.write(&CALLER, (written, go), |tx, (written, go): (Arc<Notify>, Arc<Notify>)| {
                Box::pin(async move {
                    outbox::publish(tx, workspace(), &Captured { lead: "slow".into(), told: 1 }).await?;
                    written.notify_one();
                    go.notified().await;
                    Ok::<_, StoreError>(())
                })
            });
            unit.await
        }
    });
    written.notified().await;
    // The second writes later and is committed first.
    publish(&store, Captured { lead: "quick".into(), told: 1 }).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    let seen = outbox::facts_after(&mut store.read(), workspace(), outbox::Position::default(), "", 10).await.unwrap();
    assert!(seen.is_empty(), "a reader that took the second now would pass the first for ever");
    go.notify_one();
    slow.await.unwrap().unwrap();
    let subjects = [facts.recv().await.unwrap().subject.clone(), facts.recv().await.unwrap().subject.clone()];
    assert_eq!(subjects, ["slow", "quick"]);
    effects_are(&store, 2).await;
    let resumed = outbox::facts_after(&mut store.read(), workspace(), outbox::Position::default(), "", 10).await.unwrap();
    assert_eq!(resumed.len(), 2);
    outbox.stop(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_share_the_log_and_both_hear_every_fact() {
    let store = live_store().await;
    if store.engine() == store::Engine::Sqlite {
        return;
    }
    let tuning = Tuning { renew: Duration::from_millis(200), ..Tuning::for_engine(store.engine()) };
    let first = builder(&store).await.tuning(tuning).start().await.unwrap();
    assert_eq!(first.shards_held(), 16);
    let second = builder(&store).await.tuning(tuning).start().await.unwrap();
    let (mut one, mut two) = (first.feed().subscribe(), second.feed().subscribe());
    until("each has its half", || async { (first.shards_held(), second.shards_held()) == (8, 8) }).await;
    for n in 0..50 {
        publish(&store, Captured { lead: format!("lead {n}"), told: 2 }).await;
    }
    effects_are(&store, 100).await;
    for feed in [&mut one, &mut two] {
        for n in 0..50 {
            let fact = tokio::time::timeout(Duration::from_secs(20), feed.recv()).await.expect("it comes").unwrap();
            assert_eq!(fact.subject, format!("lead {n}"));
        }
    }
    first.stop(Duration::from_secs(1)).await;
    until("the other has taken all", || async { second.shards_held() == 16 }).await;
    second.stop(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_job_leaves_the_log_while_it_runs_and_ends_once() {
    let store = live_store().await;
    let outbox = builder(&store).await;
    let outbox = outbox.job::<Newer, _>(|_, context| {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(3_500)).await;
            add_effect(&context, "long".into()).await
        })
    });
    let outbox = outbox.start().await.unwrap();
    write(&store, |tx, ()| Box::pin(async move { outbox::enqueue(tx, workspace(), &Newer).await.map(|_| ()) })).await;
    until("the cursor has passed", || async { number(&store, &COUNT_BEHIND).await == 0 }).await;
    assert_eq!((number(&store, &COUNT_EFFECTS).await, number(&store, &COUNT_OPEN).await), (0, 1), "it still runs");
    effects_are(&store, 1).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!((number(&store, &COUNT_EFFECTS).await, number(&store, &COUNT_OPEN).await), (1, 0));
    outbox.stop(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_that_no_lane_can_hold_is_worked_off_without_loss() {
    let store = live_store().await;
    let outbox = builder(&store).await.start().await.unwrap();
    let started = std::time::Instant::now();
    for chunk in 0..10 {
        enqueue(&store, (0..500).map(|n| Write(format!("{chunk}/{n}"))).collect()).await;
    }
    effects_are(&store, 5_000).await;
    println!("5,000 jobs in {:?}", started.elapsed());
    until("the cursors have passed", || async { number(&store, &COUNT_OPEN).await == 0 && number(&store, &COUNT_DONE).await == 0 }).await;
    let effects = store.read().row(&COUNT_EFFECTS, params![], |row| row.get::<i64>("ids")).await.unwrap();
    assert_eq!(effects, Some(5_000));
    outbox.stop(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_ends_while_the_waiting_are_read_is_not_begun_again() {
    use std::collections::HashMap;
    use std::sync::Mutex;

    let store = live_store().await;
    let runs: Arc<Mutex<HashMap<String, u32>>> = Arc::default();
    let counting = Arc::clone(&runs);
    let outbox = builder(&store).await.lane("slow", 64).job::<Told, _>(move |job, context| {
        let runs = Arc::clone(&counting);
        Box::pin(async move {
            // What a receiver outside would see.
            *runs.lock().unwrap().entry(job.0.clone()).or_default() += 1;
            tokio::time::sleep(Duration::from_millis(30)).await;
            add_effect(&context, job.0).await
        })
    });
    let outbox = outbox.start().await.unwrap();
    let now = store.clock().now();
    // Many wait, so that looking through them takes a while, and some of them are due in every millisecond of it.
    let dues: Vec<_> = (0..6_000_u64).map(|n| (n, now.plus(Duration::from_millis(if n < 4_000 { 6_000 + n } else { 55_000 })))).collect();
    for chunk in dues.chunks(500) {
        let done = store.write(&CALLER, chunk.to_vec(), |tx, chunk: Vec<(u64, kernel::Timestamp)>| {
            Box::pin(async move {
                for (n, due) in chunk {
                    outbox::enqueue_at(tx, workspace(), due, &Told(format!("{n}"))).await?;
                }
                Ok::<_, StoreError>(())
            })
        });
        done.await.unwrap();
    }
    until("what is due has run", || async { number(&store, &COUNT_EFFECTS).await >= 4_000 }).await;
    let twice: Vec<String> = runs.lock().unwrap().iter().filter(|(_, runs)| **runs > 1).map(|(id, runs)| format!("{id}: {runs}")).collect();
    assert!(twice.is_empty(), "{} of 4,000 ran more than once: {twice:?}", twice.len());
    outbox.stop(Duration::from_secs(1)).await;
}
