//! The disk fails, fills up or lies: nothing is answered that is not on it, and the process says what to do.

use std::path::Path;
use std::sync::{Arc, Mutex};

use store::testing::disk::{Disk, Fault};
use store::testing::power_cut::{Replay, Survives, put_down, scratch};
use store::testing::{TestStore, store_with};
use store::{Config, Reads, Store, StoreError, backup, params};

use crate::probe::{INSERT, INSERT_BODY, INSERT_ONCE, NUMBER, SYSTEM, ids, in_one_group, insert, is_refused, is_unknown};

/// A store on a recording disk, and what it said when it stopped.
async fn on_disk(change: impl FnOnce(&mut Config)) -> (TestStore, &'static Disk, Arc<Mutex<Vec<String>>>) {
    let disk = Disk::register();
    let said = Arc::new(Mutex::new(Vec::new()));
    let heard = said.clone();
    let store = store_with(|config| {
        config.database_url = None;
        config.vfs = Some(disk.name());
        config.on_fatal = Arc::new(move |reason| heard.lock().unwrap().push(reason.to_owned()));
        change(config);
    })
    .await;
    (store, disk, said)
}

/// What another process would see: the files as they are in memory, without the shared memory of this one.
fn copy_for_another_process(store: &TestStore, folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    for name in ["tessera.db", "tessera.db-wal", "secret.key"] {
        std::fs::copy(store.folder().join(name), folder.join(name)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_fails_at_commit_is_unknown_to_every_waiter_and_ends_the_store() {
    let (store, disk, said) = on_disk(|_| {}).await;
    insert(&store, "before").await.unwrap();
    disk.fail(Fault::Sync, 0);
    let answers = in_one_group(
        &store,
        vec![
            Box::pin(insert(&store, "a")),
            // Rests on the neighbour's row, which is no more on the disk than the neighbour's answer.
            Box::pin(store.write(&SYSTEM, (), |tx, ()| Box::pin(async move { tx.execute(&INSERT_ONCE, params!["a", 2_i64]).await }))),
            Box::pin(store.write(&SYSTEM, (), |tx, ()| {
                Box::pin(async move {
                    let there = tx.row(&NUMBER, params!["a"], |row| row.get::<i64>(0)).await?;
                    if there.is_some() { Err(StoreError::Busy) } else { Ok(0) }
                })
            })),
            Box::pin(insert(&store, "b")),
        ],
    )
    .await;
    assert!(answers.iter().all(is_unknown), "{answers:?}");

    while said.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    let words = said.lock().unwrap().clone();
    assert!(words.len() == 1 && words[0].contains("Check the disk") && words[0].contains("start tessera again"), "{words:?}");
    disk.heal();
    assert!(matches!(insert(&store, "later").await, Err(StoreError::Stopped { .. })), "no unit is accepted any more");
    let read = store.read().row(&NUMBER, params!["before"], |row| row.get::<i64>(0)).await;
    assert!(matches!(read, Err(StoreError::Stopped { .. })), "nor is a read answered: {read:?}");

    // The next process finds out: both rows or neither, and the same from then on.
    let folder = store.folder().join("next");
    copy_for_another_process(&store, &folder);
    let config = Config { folder: folder.clone(), vfs: None, ..store.config() };
    let next = Store::open(config.clone()).await.unwrap();
    let found = ids(&next).await;
    assert!(found == ["a", "b", "before"] || found == ["before"], "{found:?}");
    let log = std::fs::metadata(folder.join("tessera.db-wal")).map_or(0, |log| log.len());
    assert_eq!(log, 0, "the start has moved the whole log into the database");
    next.close().await;
    drop(next);
    let again = Store::open(config).await.unwrap();
    assert_eq!(ids(&again).await, found);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_while_a_start_settles_a_failed_sync_damages_nothing() {
    let random = kernel::Entropy::seeded(11);
    let (store, disk, _) = on_disk(|_| {}).await;
    for i in 0..40 {
        insert(&store, &format!("before {i:02}")).await.unwrap();
    }
    disk.fail(Fault::Sync, 0);
    // Many pages, some of them also in the log's part that is on the disk.
    let unknown = store
        .write(&SYSTEM, (), |tx, ()| {
            Box::pin(async move {
                for i in 0..400_i64 {
                    tx.execute(&INSERT, params![format!("a{:03}", i * 7 % 400), i]).await?;
                }
                Ok::<_, StoreError>(())
            })
        })
        .await;
    assert!(is_unknown(&unknown));
    disk.heal();
    let root = scratch("settle");
    let folder = root.join("next");
    copy_for_another_process(&store, &folder);
    let (files, operations) = disk.take();
    let mut replay = Replay::default();
    operations.iter().for_each(|operation| replay.apply(operation));
    let on_disk = replay.cut(Survives::Nothing, &random);

    // A start sees what is in memory, and works on a disk that never got it.
    let second = Disk::register();
    let config = Config { folder: folder.clone(), vfs: Some(second.name()), ..store.config() };
    let next = Store::open(config.clone()).await.unwrap();
    let opened_at = second.position();
    let settled = ids(&next).await;
    insert(&next, "later").await.unwrap();
    let answered_at = second.position();
    next.close().await;
    let (next_files, operations) = second.take();
    let known = |name: &str| next_files.iter().position(|file| file.ends_with(name));
    let held =
        files.iter().enumerate().filter_map(|(number, file)| Some((known(file.file_name()?.to_str()?)?, on_disk.get(&number)?.clone())));
    let mut replay = Replay::holding(held);
    for at in 0..=operations.len() {
        if at > 0 {
            replay.apply(&operations[at - 1]);
        }
        for survives in [Survives::Nothing, Survives::any(&random)] {
            let left = root.join(format!("left {at}"));
            put_down(&next_files, &replay.cut(survives, &random), &left);
            std::fs::copy(folder.join("secret.key"), left.join("secret.key")).unwrap();
            let looked = Store::open(Config { folder: left.clone(), vfs: None, ..store.config() }).await;
            let looked = looked.unwrap_or_else(|error| panic!("cut after {at} of {} ({survives:?}): {error}", operations.len()));
            let found = ids(&looked).await;
            backup::check(&left).unwrap_or_else(|error| panic!("cut after {at} of {} ({survives:?}): {error}", operations.len()));
            assert_eq!(found.iter().filter(|id| id.starts_with("before")).count(), 40, "cut after {at}: an answered unit is lost");
            let of_unknown = found.iter().filter(|id| id.starts_with('a')).count();
            assert!(of_unknown == 0 || of_unknown == 400, "cut after {at}: {of_unknown} of 400 rows");
            assert!(at < opened_at || found.iter().filter(|id| *id != "later").eq(settled.iter()), "cut after {at}: it was settled");
            assert!(at < answered_at || found.contains(&"later".to_owned()), "cut after {at}: an answered unit is lost");
            looked.close().await;
            std::fs::remove_dir_all(&left).unwrap();
        }
    }
    std::fs::remove_dir_all(&root).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_at_commit_keeps_nothing_and_the_store_goes_on_once_there_is_space() {
    let (mut store, disk, said) = on_disk(|_| {}).await;
    insert(&store, "before").await.unwrap();
    disk.fail(Fault::Full, 0);
    let answers = in_one_group(&store, vec![Box::pin(insert(&store, "a")), Box::pin(insert(&store, "b"))]).await;
    for answer in &answers {
        assert!(is_refused(answer), "{answer:?}");
        let words = answer.as_ref().unwrap_err().to_string();
        assert!(words.contains("the disk is full, free some space"), "{words}");
    }
    assert!(is_refused(&insert(&store, "c").await), "still full");
    assert_eq!(ids(&store).await, ["before"], "reads go on");
    disk.heal();
    insert(&store, "after").await.unwrap();
    store.reopen().await;
    assert_eq!(ids(&store).await, ["after", "before"]);
    assert!(said.lock().unwrap().is_empty(), "the process need not end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up_in_a_statement_fails_the_whole_group_and_nothing_of_it_commits() {
    let (mut store, disk, said) = on_disk(|_| {}).await;
    // More than the cache holds, so that pages go to the log before the commit.
    let large = |tx: &'static str| {
        store.write(&SYSTEM, tx, |tx, id| {
            Box::pin(async move {
                for part in 0..28 {
                    tx.execute(&INSERT_BODY, params![format!("{id} {part}"), vec![7_u8; 1 << 20]]).await?;
                }
                Ok(0)
            })
        })
    };
    disk.fail(Fault::Full, 200);
    let answers = in_one_group(
        &store,
        vec![Box::pin(insert(&store, "a")), Box::pin(large("large")), Box::pin(insert(&store, "b")), Box::pin(insert(&store, "c"))],
    )
    .await;
    assert!(matches!(&answers[0], Err(StoreError::NotCommitted { .. })), "{answers:?}");
    assert!(answers.iter().all(is_refused), "{answers:?}");
    assert_eq!(ids(&store).await, Vec::<String>::new());
    disk.heal();
    insert(&store, "after").await.unwrap();
    store.reopen().await;
    assert_eq!(ids(&store).await, ["after"], "no part of a group was committed by itself");
    assert!(said.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_fails_at_commit_is_unknown() {
    let (store, disk, said) = on_disk(|_| {}).await;
    disk.fail(Fault::Write, 1);
    assert!(is_unknown(&insert(&store, "a").await));
    while said.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(matches!(insert(&store, "later").await, Err(StoreError::Stopped { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_fails_loses_nothing_and_is_made_good() {
    let (store, disk, said) = on_disk(|config| config.limits.wal_checkpoint_bytes = 1).await;
    disk.fail(Fault::DatabaseSync, 0);
    let failed_syncs = || {
        let of_sync =
            |operation: &store::testing::disk::Operation| matches!(operation, store::testing::disk::Operation::Sync { failed: true, .. });
        disk.look(|_, operations| operations.iter().filter(|operation| of_sync(operation)).count())
    };
    let mut answered = Vec::new();
    while failed_syncs() < 2 {
        let id = format!("during {:06}", answered.len());
        insert(&store, &id).await.unwrap();
        answered.push(id);
    }
    disk.heal();
    store.close().await;
    assert!(said.lock().unwrap().is_empty());

    // The power is cut: the database has every page, although the first attempts never reached the disk.
    let (files, operations) = disk.take();
    let mut replay = Replay::default();
    operations.iter().for_each(|operation| replay.apply(operation));
    let left = store.folder().join("left");
    put_down(&files, &replay.cut(Survives::Nothing, &kernel::Entropy::seeded(1)), &left);
    std::fs::copy(store.folder().join("secret.key"), left.join("secret.key")).unwrap();
    let looked = Store::open(Config { folder: left.clone(), vfs: None, ..store.config() }).await.unwrap();
    assert_eq!(ids(&looked).await, answered);
    backup::check(&left).unwrap();
}

const CHILD_FOLDER: &str = "TESSERA_TEST_STORE_CHILD";

/// Only for the test below, which runs it in a process of its own.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "it ends its process"]
async fn child_whose_commit_fails() {
    let Some(folder) = std::env::var_os(CHILD_FOLDER) else { return };
    let disk = Disk::register();
    let mut config = Config::new(folder, None);
    config.vfs = Some(disk.name());
    let store = Store::open(config).await.unwrap();
    insert(&store, "before").await.unwrap();
    disk.fail(Fault::Sync, 0);
    let _ = insert(&store, "a").await;
    std::future::pending::<()>().await;
}

#[test]
fn a_process_whose_commit_failed_ends_and_says_what_to_do() {
    let folder = std::env::temp_dir().join(format!("tessera_test_child_{}", std::process::id()));
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "disk::child_whose_commit_fails", "--ignored", "--nocapture"])
        .env(CHILD_FOLDER, &folder)
        .output()
        .unwrap();
    let _ = std::fs::remove_dir_all(&folder);
    let words = String::from_utf8_lossy(&child.stderr).into_owned();
    assert_eq!(child.status.code(), Some(74), "{words}");
    assert!(words.contains("Check the disk") && words.contains("start tessera again"), "{words}");
}
