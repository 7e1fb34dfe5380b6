//! PostgreSQL is killed under load: every answered unit is there after its recovery, and the pool goes on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use store::testing::store_with;
use store::{Store, StoreError, params};

use crate::cluster::Cluster;
use crate::probe::{INSERT, SYSTEM, ids, insert};

/// Units by their names, and how each was answered.
type Answers = Arc<Mutex<BTreeMap<String, Result<(), StoreError>>>>;

async fn unit(store: &Store, name: &str) -> Result<(), StoreError> {
    store
        .write(&SYSTEM, name.to_owned(), |tx, name| {
            Box::pin(async move {
                for row in 0..3_i64 {
                    tx.execute(&INSERT, params![format!("{name}/{row}"), row]).await?;
                }
                Ok(())
            })
        })
        .await
}

fn off_line() -> Duration {
    Duration::from_millis(20)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answered_unit_is_there_after_the_server_was_killed() {
    let Some(mut cluster) = Cluster::start("killed") else { return };
    let url = cluster.url();
    let mut store = store_with(|config| config.database_url = Some(url)).await;
    let answers: Answers = Arc::default();
    for round in 0..3 {
        let (stop, kept) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let callers = (0..12).map(|caller| {
            let (store, answers, stop, kept) = ((*store).clone(), answers.clone(), stop.clone(), kept.clone());
            tokio::spawn(async move {
                for number in 0.. {
                    let name = format!("{round}.{caller}.{number}");
                    let answer = unit(&store, &name).await;
                    let is_down = answer.is_err();
                    kept.fetch_add(usize::from(!is_down), Ordering::SeqCst);
                    answers.lock().unwrap().insert(name, answer);
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    if is_down {
                        tokio::time::sleep(off_line()).await;
                    }
                }
            })
        });
        let callers: Vec<_> = callers.collect();
        while kept.load(Ordering::SeqCst) < 60 + 40 * round {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        cluster = tokio::task::spawn_blocking(move || {
            cluster.kill();
            cluster
        })
        .await
        .unwrap();
        stop.store(true, Ordering::SeqCst);
        for caller in callers {
            caller.await.unwrap();
        }
        cluster = tokio::task::spawn_blocking(move || {
            cluster.run();
            cluster
        })
        .await
        .unwrap();
        // A fresh start finds what the recovery kept.
        store.reopen().await;
        let mut found: BTreeMap<String, usize> = BTreeMap::new();
        for id in ids(&store).await {
            *found.entry(id.split_once('/').unwrap().0.to_owned()).or_default() += 1;
        }
        assert!(found.values().all(|rows| *rows == 3), "half a unit is there");
        for (name, answer) in answers.lock().unwrap().iter() {
            match answer {
                Ok(()) => assert!(found.contains_key(name), "{name} was answered and is lost"),
                Err(StoreError::OutcomeUnknown) => {}
                Err(error) => assert!(!found.contains_key(name), "{name} was refused ({error}) and is there"),
            }
        }
    }
    let answers = answers.lock().unwrap();
    println!("{} units, {} answered", answers.len(), answers.values().filter(|answer| answer.is_ok()).count());
    drop(store);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_survives_a_restart_of_its_database() {
    let Some(mut cluster) = Cluster::start("restarted") else { return };
    let url = cluster.url();
    let store = store_with(|config| config.database_url = Some(url)).await;
    let together = |prefix: &'static str| {
        let store: Store = (*store).clone();
        async move { futures_util::future::join_all((0..24).map(|i| insert_owned(store.clone(), format!("{prefix} {i:02}")))).await }
    };
    // Every connection of the pool is in use once, and so are those for reads.
    assert!(together("before").await.iter().all(Result::is_ok));
    assert_eq!(ids(&store).await.len(), 24);
    cluster = tokio::task::spawn_blocking(move || {
        cluster.kill();
        cluster
    })
    .await
    .unwrap();
    let refused = insert(&store, "down").await;
    assert!(matches!(&refused, Err(StoreError::NotCommitted { reason }) if reason.contains("database")), "{refused:?}");
    let _cluster = tokio::task::spawn_blocking(move || {
        cluster.run();
        cluster
    })
    .await
    .unwrap();
    // A dead connection is replaced before anything was done on it, so that nobody hears of it.
    let answers = together("since").await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    for _ in 0..6 {
        assert_eq!(ids(&store).await.len(), 48);
    }
    store.close().await;
}

async fn insert_owned(store: Store, id: String) -> Result<u64, StoreError> {
    insert(&store, &id).await
}
