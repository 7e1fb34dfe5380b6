//! With a stopped clock, one job after the other.

use std::time::Duration;

use outbox::testing::{Drained, drain};
use outbox::{EntryKind, Outbox, OutboxError, Position};
use store::Reads;
use store::testing::{TestStore, store};

use crate::world::*;

async fn by_hand(store: &TestStore) -> Outbox {
    builder(store).await.by_hand().start().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fact_is_told_and_its_reactions_run_once() {
    let store = store().await;
    let outbox = by_hand(&store).await;
    let mut facts = outbox.feed().subscribe();
    let fact = Captured { lead: "lead_1".into(), told: 2 };
    publish(&store, fact.clone()).await;
    let drained = drain(&outbox).await.unwrap();
    assert_eq!(drained, Drained { entries: 3, finished: 2, ..Drained::default() });
    let told = facts.try_recv().unwrap();
    assert_eq!((told.decode::<Captured>(), told.version, told.kind), (Some(fact), 3, EntryKind::Fact));
    assert!(facts.try_recv().is_err(), "jobs are nobody's business");
    assert_eq!(number(&store, &COUNT_EFFECTS).await, 2);
    assert_eq!(drain(&outbox).await.unwrap(), Drained::default());
    assert_eq!(number(&store, &COUNT_OPEN).await, 0);
    assert_eq!(number(&store, &COUNT_DONE).await, 0, "what the cursor has passed leaves no trace");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_fails_leaves_neither_fact_nor_job() {
    let store = store().await;
    let outbox = by_hand(&store).await;
    let failed = store.write(&CALLER, (), |tx, ()| {
        Box::pin(async move {
            outbox::enqueue(tx, workspace(), &Write("no".into())).await?;
            Err::<(), OutboxError>(OutboxError::NotFound)
        })
    });
    assert!(failed.await.is_err());
    assert_eq!(drain(&outbox).await.unwrap(), Drained::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_job_is_tried_again_after_growing_pauses() {
    let store = store().await;
    let outbox = by_hand(&store).await;
    for how in ["retry", "panic", "hang"] {
        enqueue(&store, vec![flaky(how, 2, how)]).await;
    }
    assert_eq!(drain(&outbox).await.unwrap().retried, 3);
    assert_eq!(drain(&outbox).await.unwrap(), Drained::default(), "not before its time");
    store.clock().advance(Duration::from_millis(2_500));
    assert_eq!(drain(&outbox).await.unwrap().retried, 3);
    store.clock().advance(Duration::from_millis(2_500));
    assert_eq!(drain(&outbox).await.unwrap(), Drained::default(), "the second pause is longer");
    store.clock().advance(Duration::from_millis(7_500));
    assert_eq!(drain(&outbox).await.unwrap().finished, 3);
    assert_eq!(number(&store, &COUNT_EFFECTS).await, 3);
    assert_eq!(number(&store, &COUNT_OPEN).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_that_the_other_side_asks_for_is_kept() {
    let store = store().await;
    let outbox = by_hand(&store).await;
    enqueue(&store, vec![flaky("a", 1, "after")]).await;
    drain(&outbox).await.unwrap();
    store.clock().advance(Duration::from_secs(3_599));
    assert_eq!(drain(&outbox).await.unwrap(), Drained::default());
    store.clock().advance(Duration::from_secs(1));
    assert_eq!(drain(&outbox).await.unwrap().finished, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_was_put_off_often_is_not_forgotten_for_hours_when_it_fails_once() {
    let store = store().await;
    let outbox = by_hand(&store).await;
    enqueue(&store, vec![Patient("patient".to_owned())]).await;
    for _ in 0..7 {
        assert_eq!(drain(&outbox).await.unwrap().retried, 1);
        store.clock().advance(Duration::from_secs(1));
    }
    assert_eq!(drain(&outbox).await.unwrap(), Drained::default());
    store.clock().advance(Duration::from_secs(59));
    assert_eq!(drain(&outbox).await.unwrap().finished, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_never_succeeds_is_kept_among_the_dead_until_it_is_replayed_or_discarded() {
    let store = store().await;
    let outbox = by_hand(&store).await;
    enqueue(&store, vec![flaky("tired", 4, "retry"), flaky("hopeless", 1, "never")]).await;
    let mut dead = drain(&outbox).await.unwrap().dead;
    assert_eq!(dead, 1);
    for _ in 0..4 {
        store.clock().advance(Duration::from_secs(3_600));
        dead += drain(&outbox).await.unwrap().dead;
    }
    assert_eq!(dead, 2);
    assert_eq!(outbox::dead_count(&mut store.read(), workspace()).await.unwrap(), 2);
    assert_eq!(outbox::dead_count(&mut store.read(), other_workspace()).await.unwrap(), 0);
    let list = outbox::dead_list(&mut store.read(), workspace(), None, 10).await.unwrap();
    let hopeless = list.iter().find(|dead| dead.subject == "hopeless").unwrap().clone();
    let tired = list.iter().find(|dead| dead.subject == "tired").unwrap().clone();
    assert_eq!((hopeless.attempts, hopeless.reason.as_str()), (1, "it is no use"));
    assert_eq!((tired.attempts, tired.reason.as_str()), (4, "not yet"));
    assert!(tired.payload.contains("tired"));
    assert_eq!(outbox::dead_find(&mut store.read(), other_workspace(), tired.id).await.unwrap(), None);

    let foreign = store.write(&CALLER, tired.id, |tx, id| Box::pin(async move { outbox::replay(tx, other_workspace(), id).await }));
    assert!(matches!(foreign.await, Err(OutboxError::NotFound)));
    // It is replayed with all its attempts before it, and under its old id.
    let replayed = store.write(&CALLER, tired.id, |tx, id| Box::pin(async move { outbox::replay(tx, workspace(), id).await }));
    replayed.await.unwrap();
    let again = store.write(&CALLER, tired.id, |tx, id| Box::pin(async move { outbox::replay(tx, workspace(), id).await }));
    assert!(matches!(again.await, Err(OutboxError::NotFound)), "twice is once");
    assert_eq!(drain(&outbox).await.unwrap().retried, 1);
    for _ in 0..4 {
        store.clock().advance(Duration::from_secs(3_600));
        drain(&outbox).await.unwrap();
    }
    assert_eq!(outbox::dead_find(&mut store.read(), workspace(), tired.id).await.unwrap().unwrap().attempts, 4);
    let discarded = store.write(&CALLER, tired.id, |tx, id| Box::pin(async move { outbox::discard(tx, workspace(), id).await }));
    discarded.await.unwrap();
    assert_eq!(outbox::dead_list(&mut store.read(), workspace(), None, 10).await.unwrap(), [hopeless]);
    let trail = outbox::audit_list(&mut store.read(), workspace(), None, 10).await.unwrap();
    assert_eq!(trail.iter().map(|line| line.action.as_str()).collect::<Vec<_>>(), ["job.discarded", "job.replayed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_runs_at_its_time_and_not_before() {
    let store = store().await;
    let outbox = by_hand(&store).await;
    let now = store.clock().now();
    for (after, id) in [(5, "soon"), (300, "later"), (86_400 * 30, "next month")] {
        enqueue_at(&store, now.plus(Duration::from_secs(after)), id).await;
    }
    enqueue_at(&store, now.minus(Duration::from_secs(5)), "past").await;
    assert_eq!(drain(&outbox).await.unwrap().finished, 1);
    store.clock().advance(Duration::from_micros(4_999_999));
    assert_eq!(drain(&outbox).await.unwrap().finished, 0);
    store.clock().advance(Duration::from_micros(1));
    assert_eq!(drain(&outbox).await.unwrap().finished, 1);
    store.clock().advance(Duration::from_secs(86_400 * 30));
    assert_eq!(drain(&outbox).await.unwrap().finished, 2);
    assert_eq!(number(&store, &COUNT_OPEN).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_without_code_waits_for_a_release_that_has_it() {
    let store = store().await;
    let outbox = by_hand(&store).await;
    write(&store, |tx, ()| Box::pin(async move { outbox::enqueue(tx, workspace(), &Newer).await.map(|_| ()) })).await;
    assert_eq!(drain(&outbox).await.unwrap().retried, 1);
    outbox.stop(Duration::ZERO).await;
    let newer = builder(&store).await.job::<Newer, _>(|_, context| Box::pin(async move { add_effect(&context, "newer".into()).await }));
    let newer = newer.by_hand().start().await.unwrap();
    store.clock().advance(Duration::from_secs(3));
    assert_eq!(drain(&newer).await.unwrap().finished, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fact_whose_reactions_panic_holds_nobody_up_and_is_kept() {
    let store = store().await;
    let outbox = by_hand(&store).await;
    publish(&store, Captured { lead: "poison".into(), told: 1 }).await;
    publish(&store, Captured { lead: "fine".into(), told: 1 }).await;
    assert_eq!(drain(&outbox).await.unwrap().finished, 1);
    let dead = outbox::dead_list(&mut store.read(), workspace(), None, 10).await.unwrap();
    assert_eq!((dead.len(), dead[0].kind, dead[0].subject.as_str()), (1, EntryKind::Fact, "poison"));
    assert_eq!(number(&store, &COUNT_OPEN).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_reading_and_finishing_repeats_what_is_open_and_nothing_else() {
    let mut store = store().await;
    let outbox = by_hand(&store).await;
    publish(&store, Captured { lead: "first".into(), told: 3 }).await;
    enqueue(&store, vec![flaky("flaky", 1, "retry")]).await;
    drain(&outbox).await.unwrap();
    enqueue(&store, (0..40).map(|n| Write(format!("more {n}"))).collect()).await;
    publish(&store, Captured { lead: "second".into(), told: 3 }).await;
    // Dropped without being stopped: what it held in memory is gone.
    drop(outbox);
    store.reopen().await;
    let outbox = by_hand(&store).await;
    let drained = drain_soon(&outbox).await;
    assert_eq!(drained.finished, 43);
    store.clock().advance(Duration::from_secs(3));
    assert_eq!(drain(&outbox).await.unwrap().finished, 1);
    assert_eq!(number(&store, &COUNT_EFFECTS).await, 47);
    assert_eq!(number(&store, &COUNT_OPEN).await, 0);
}

/// On PostgreSQL the shards of the one that crashed are free when its leases end.
async fn drain_soon(outbox: &Outbox) -> Drained {
    loop {
        let drained = drain(outbox).await.unwrap();
        if drained.finished > 0 {
            return drained;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_holder_that_was_overtaken_changes_nothing() {
    let store = store().await;
    let outbox = builder(&store).await;
    let (steal, stolen) = (store.clone(), std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let outbox = outbox.job::<Newer, _>(move |_, context| {
        let (steal, stolen) = (steal.clone(), stolen.clone());
        Box::pin(async move {
            // While this one works, another process takes its shards over.
            if !stolen.swap(true, std::sync::atomic::Ordering::SeqCst) {
                write(&steal, |tx, ()| Box::pin(async move { tx.execute(&STEAL, store::params![]).await })).await;
            }
            add_effect(&context, "stolen".into()).await
        })
    });
    let outbox = outbox.by_hand().start().await.unwrap();
    write(&store, |tx, ()| Box::pin(async move { outbox::enqueue(tx, workspace(), &Newer).await.map(|_| ()) })).await;
    let drained = drain(&outbox).await.unwrap();
    assert_eq!((drained.finished, drained.retried, drained.dropped), (0, 0, 1));
    assert_eq!(number(&store, &COUNT_EFFECTS).await, 0);
    assert_eq!(outbox.shards_held(), 0);
    assert_eq!(number(&store, &COUNT_OPEN).await, 1, "it is left to the new holder");
}

#[tokio::test(flavor = "multi_thread")]
async fn finished_entries_are_deleted_after_a_day_and_open_ones_are_not() {
    let store = store().await;
    let outbox = by_hand(&store).await;
    publish(&store, Captured { lead: "old".into(), told: 1 }).await;
    drain(&outbox).await.unwrap();
    store.clock().advance(Duration::from_secs(25 * 3_600));
    enqueue(&store, vec![Write("open".into())]).await;
    assert_eq!(outbox::testing::drop_old(&outbox).await.unwrap(), 2);
    assert_eq!(number(&store, &COUNT_LOG).await, 1);
    let emptied = store.write(&CALLER, (), |tx, ()| Box::pin(async move { tx.execute(&EMPTY_LOG, store::params![]).await }));
    assert!(emptied.await.map_err(|e: store::StoreError| e).is_err(), "an open entry cannot be deleted at all");
    let changed = store.write(&CALLER, (), |tx, ()| Box::pin(async move { tx.execute(&CHANGE_LOG, store::params![]).await }));
    assert!(changed.await.map_err(|e: store::StoreError| e).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_comes_back_gets_the_facts_it_missed() {
    let store = store().await;
    let outbox = by_hand(&store).await;
    let mut facts = outbox.feed().subscribe();
    for n in 0..5 {
        publish(&store, Captured { lead: format!("lead {n}"), told: 1 }).await;
    }
    drain(&outbox).await.unwrap();
    facts.try_recv().unwrap();
    let last = facts.try_recv().unwrap().position;
    let missed = outbox::facts_after(&mut store.read(), workspace(), last, "leads.", 2).await.unwrap();
    assert_eq!(missed.iter().map(|fact| fact.subject.as_str()).collect::<Vec<_>>(), ["lead 2", "lead 3"]);
    let rest = outbox::facts_after(&mut store.read(), workspace(), missed[1].position, "", 10).await.unwrap();
    assert_eq!(rest.len(), 1);
    assert!(outbox::facts_after(&mut store.read(), workspace(), last, "cards.", 10).await.unwrap().is_empty());
    assert!(outbox::facts_after(&mut store.read(), other_workspace(), Position::default(), "", 10).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_wiring_is_refused_by_name() {
    let store = store().await;
    let stray = Outbox::builder((*store).clone()).job::<Write, _>(|_, _| Box::pin(async { Ok(()) })).start().await;
    assert!(stray.err().unwrap().to_string().contains("lane fast"));
    let twice = builder(&store).await.job::<Write, _>(|_, _| Box::pin(async { Ok(()) })).start().await;
    assert!(twice.err().unwrap().to_string().contains("test.write"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_restored_into_another_server_goes_on() {
    let store = store().await;
    if store.engine() == store::Engine::Sqlite {
        return;
    }
    builder(&store).await;
    enqueue(&store, vec![Write("a".into())]).await;
    // The same entry as a server wrote it whose transactions are far ahead of this one's.
    write(&store, |tx, ()| Box::pin(async move { tx.execute(&FROM_ANOTHER_SERVER, store::params![]).await })).await;
    let outbox = by_hand(&store).await;
    enqueue(&store, vec![Write("b".into())]).await;
    assert_eq!(drain(&outbox).await.unwrap().finished, 3);
    assert_eq!(number(&store, &COUNT_LOG).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_is_understood_by_the_engine() {
    let store = store().await;
    assert_eq!(store.prepare_all(outbox::STATEMENTS).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_read_and_a_unit_share_the_queries() {
    let store = store().await;
    let count = write(&store, |tx, ()| Box::pin(async move { outbox::dead_count(tx, workspace()).await })).await;
    assert_eq!(count, 0);
    assert_eq!(store.read().now(), store.clock().now());
}
