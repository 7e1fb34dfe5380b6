//! The hazards of one SQLite writer that many callers share, each with the rule that meets it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use store::testing::disk::{Disk, Operation};
use store::testing::{TestStore, store_with};
use store::{Config, Engine, Migration, Reads, Store, StoreError, backup, migrations, params};

use crate::probe::{INSERT, NUMBER, SYSTEM, hold, ids, in_one_group, insert, is_refused};

store::statements! {
    REPLACE = sqlite "insert or replace into store_probe (id, number) values ($1, 2)"
              postgres "insert into store_probe (id, number) values ($1, 2) on conflict (id) do update set number = 2";
    LIKE = "select id from store_probe where id like $1 order by id";
    LOWER_LIKE = "select id from store_probe where lower(id) like lower($1) order by id";
    ENDLESS = sqlite "with recursive n(i) as (select 1 union all select i + 1 from n) select max(i) from n"
              postgres "select cast(1 as bigint) from pg_sleep(60)";
}

async fn on_sqlite(change: impl FnOnce(&mut Config)) -> TestStore {
    store_with(|config| {
        config.database_url = None;
        change(config);
    })
    .await
}

/// A connection of a test beside the store's own.
fn beside(store: &TestStore) -> rusqlite::Connection {
    rusqlite::Connection::open(store.sqlite_path()).unwrap()
}

#[test]
fn the_sqlite_inside_is_newer_than_the_last_one_that_damaged_logs() {
    assert!(rusqlite::version_number() >= 3_051_003, "{}", rusqlite::version());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_rolls_back_fails_its_whole_group_and_nothing_commits_by_itself() {
    let store = on_sqlite(|_| {}).await;
    beside(&store)
        .execute_batch("create trigger bomb before insert on store_probe when new.id = 'bomb' begin select raise(rollback, 'boom'); end;")
        .unwrap();
    let answers = in_one_group(
        &store,
        vec![
            Box::pin(insert(&store, "a")),
            Box::pin(store.write(&SYSTEM, (), |tx, ()| {
                Box::pin(async move {
                    tx.execute(&INSERT, params!["half", 1_i64]).await?;
                    let _ = tx.execute(&INSERT, params!["bomb", 1_i64]).await;
                    // The transaction is gone: this statement would commit by itself.
                    let refused = tx.execute(&INSERT, params!["by itself", 1_i64]).await;
                    assert!(matches!(refused, Err(StoreError::Poisoned)), "{refused:?}");
                    Ok(0)
                })
            })),
            Box::pin(insert(&store, "b")),
        ],
    )
    .await;
    assert!(is_refused(&answers[0]) && is_refused(&answers[1]), "{answers:?}");
    assert!(answers[2].is_ok(), "whoever has not run yet gets another turn: {answers:?}");
    assert_eq!(ids(&store).await, ["b"]);
    // The same for a unit that has the transaction to itself.
    let alone = insert(&store, "bomb").await;
    assert!(is_refused(&alone), "{alone:?}");
    insert(&store, "c").await.unwrap();
    assert_eq!(ids(&store).await, ["b", "c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_alone_that_rolls_back_leaves_nothing() {
    let store = on_sqlite(|_| {}).await;
    for fails in [true, false] {
        let _ = store
            .write(&SYSTEM, fails, |tx, fails| {
                Box::pin(async move {
                    tx.execute(&INSERT, params![if fails { "refused" } else { "kept" }, 1_i64]).await?;
                    if fails { Err(StoreError::Busy) } else { Ok(()) }
                })
            })
            .await;
    }
    assert_eq!(ids(&store).await, ["kept"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_is_refused_at_the_start_with_advice() {
    for damage in ["header", "cut", "schema"] {
        let mut store = on_sqlite(|_| {}).await;
        for i in 0..200 {
            insert(&store, &format!("{i:0100}")).await.unwrap();
        }
        store.reopen().await;
        store.close().await;
        let path = store.sqlite_path();
        let mut bytes = std::fs::read(&path).unwrap();
        match damage {
            "header" => bytes[..100].fill(0x55),
            "cut" => bytes.truncate(bytes.len() / 2 / 4096 * 4096),
            // The first page after the file's header is the root of the schema.
            _ => bytes[100..4096].fill(0x55),
        }
        std::fs::write(&path, bytes).unwrap();
        let mut config = store.config();
        // The closed store keeps its lock until it is dropped.
        let folder = store.folder().join("moved");
        std::fs::create_dir(&folder).unwrap();
        std::fs::rename(&path, folder.join("tessera.db")).unwrap();
        config.folder = folder;
        let words = Store::open(config).await.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(words.contains("is damaged") && words.contains("tessera restore"), "{damage}: {words}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_damaged_is_met_with_advice_and_found_by_the_check() {
    let mut store = on_sqlite(|_| {}).await;
    for i in 0..400 {
        insert(&store, &format!("{i:0100}")).await.unwrap();
    }
    store.reopen().await;
    let page: i64 =
        beside(&store).query_row("select rootpage from sqlite_schema where name = 'store_probe'", [], |row| row.get(0)).unwrap();
    store.close().await;
    let path = store.sqlite_path();
    let mut bytes = std::fs::read(&path).unwrap();
    let at = (page as usize - 1) * 4096;
    bytes[at..at + 4096].fill(0x55);
    let folder = store.folder().join("moved");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("tessera.db"), bytes).unwrap();
    std::fs::copy(store.folder().join("secret.key"), folder.join("secret.key")).unwrap();
    assert!(backup::check(&folder).is_err());
    let opened = Store::open(Config { folder, ..store.config() }).await.unwrap();
    let words = insert(&opened, "more").await.unwrap_err().to_string();
    assert!(words.contains("the database is damaged") && words.contains("tessera restore"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_takes_too_long_is_interrupted_and_harms_nobody() {
    let store = store_with(|config| config.limits.read_time_max = Duration::from_millis(100)).await;
    insert(&store, "a").await.unwrap();
    let reader: Store = (*store).clone();
    let reading = tokio::spawn(async move { reader.read().rows(&ENDLESS, &[], |row| row.get::<i64>(0)).await });
    let mut units = 0;
    while !reading.is_finished() {
        insert(&store, &format!("during {units}")).await.unwrap();
        units += 1;
    }
    let answer = reading.await.unwrap();
    assert!(matches!(answer, Err(StoreError::TooSlow)), "{answer:?}");
    assert_eq!(ids(&store).await.len(), units + 1, "every unit beside it was kept, and the next read is answered");
    assert_eq!(store.read().row(&NUMBER, params!["a"], |row| row.get(0)).await.unwrap(), Some(1_i64));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_does_not_end_is_stopped_between_two_statements() {
    let store = on_sqlite(|config| config.limits.unit_time_max = Duration::from_millis(50)).await;
    let statements = Arc::new(AtomicUsize::new(0));
    let answer: Result<(), StoreError> = store
        .write(&SYSTEM, statements.clone(), |tx, statements| {
            Box::pin(async move {
                for i in 0_i64.. {
                    tx.execute(&INSERT, params![format!("{i}"), i]).await?;
                    statements.fetch_add(1, Ordering::SeqCst);
                }
                Ok(())
            })
        })
        .await;
    assert!(matches!(answer, Err(StoreError::TooSlow)), "{answer:?}");
    assert!(statements.load(Ordering::SeqCst) > 0);
    insert(&store, "next").await.unwrap();
    assert_eq!(ids(&store).await, ["next"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacing_insert_does_not_pass_by_a_trigger_that_forbids_deleting() {
    let store = on_sqlite(|_| {}).await;
    beside(&store)
        .execute_batch("create trigger kept before delete on store_probe begin select raise(abort, 'never deleted'); end;")
        .unwrap();
    insert(&store, "a").await.unwrap();
    let replaced = store.write(&SYSTEM, (), |tx, ()| Box::pin(async move { tx.execute(&REPLACE, params!["a"]).await })).await;
    assert!(matches!(replaced, Err(StoreError::Constraint { .. })), "{replaced:?}");
    assert_eq!(store.read().row(&NUMBER, params!["a"], |row| row.get(0)).await.unwrap(), Some(1_i64));
}

#[tokio::test(flavor = "multi_thread")]
async fn like_ignores_case_on_one_engine_only_so_statements_lower_both_sides() {
    let store = store_with(|_| {}).await;
    for id in ["Anna", "anna", "Ägidius"] {
        insert(&store, id).await.unwrap();
    }
    let found = |sql, pattern: &'static str| {
        let store: Store = (*store).clone();
        async move { store.read().rows(sql, params![pattern], |row| row.get::<String>(0)).await.unwrap() }
    };
    let bare = found(&LIKE, "anna").await;
    assert_eq!(bare.len(), if store.engine() == Engine::Sqlite { 2 } else { 1 });
    assert_eq!(found(&LOWER_LIKE, "ANNA").await, ["Anna", "anna"], "the same on both");
    assert_eq!(found(&LOWER_LIKE, "ägi%").await, Vec::<String>::new(), "both lower the letters of ASCII only");
}

/// The part of a migration for an engine, in one text of small letters.
fn spoken(migration: &Migration, engine: Engine) -> String {
    migration.statements(engine).join("\n").to_ascii_lowercase()
}

#[test]
fn no_migration_defers_a_constraint_or_replaces_rows_past_a_trigger() {
    for migration in migrations() {
        for engine in [Engine::Sqlite, Engine::Postgres] {
            let text = spoken(&migration, engine);
            for banned in ["deferrable", "initially deferred", "defer_foreign_keys", "or replace into", "raise(rollback"] {
                assert!(!text.contains(banned), "{}: {banned}", migration.name);
            }
        }
    }
}

#[test]
fn every_table_whose_rows_are_kept_by_a_trigger_cannot_be_truncated_either() {
    for migration in migrations() {
        let text = spoken(&migration, Engine::Postgres);
        let words: Vec<&str> = text.split_whitespace().collect();
        for at in words.windows(3).enumerate().filter(|(_, w)| w[0] == "delete" && w[1] == "on").map(|(at, _)| at) {
            let table = words[at + 2];
            assert!(text.contains(&format!("truncate on {table}")), "{}: {table} has a delete trigger only", migration.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_who_commits_has_to_checkpoint() {
    let disk = Disk::register();
    let store = on_sqlite(|config| {
        config.vfs = Some(disk.name());
        config.limits.wal_checkpoint_bytes = u64::MAX;
        config.limits.wal_brake_bytes = 1 << 40;
    })
    .await;
    disk.take();
    // More than the thousand pages after which SQLite would checkpoint on its own.
    for i in 0..700 {
        insert(&store, &format!("{i}")).await.unwrap();
    }
    disk.look(|files, operations| {
        let logged: usize =
            operations.iter().filter(|operation| matches!(operation, Operation::Write { bytes, .. } if bytes.len() == 4096)).count();
        assert!(logged > 1_000, "{logged} pages were logged");
        let beside_the_log = operations.iter().find(|operation| match operation {
            Operation::Write { file, .. } | Operation::Sync { file, .. } => !files[*file].to_string_lossy().ends_with("-wal"),
            _ => false,
        });
        assert!(beside_the_log.is_none(), "{beside_the_log:?}");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_stays_bounded_under_constant_writes_and_reads() {
    const BRAKE: u64 = 512 << 10;
    let disk = Disk::register();
    let store = on_sqlite(|config| {
        config.vfs = Some(disk.name());
        (config.limits.wal_checkpoint_bytes, config.limits.wal_brake_bytes) = (BRAKE / 4, BRAKE);
    })
    .await;
    let callers = (0..8).map(|caller| {
        let store: Store = (*store).clone();
        tokio::spawn(async move {
            for i in 0..400 {
                insert(&store, &format!("{caller} {i}")).await.unwrap();
                let found = store.read().row(&NUMBER, params![format!("{caller} {i}")], |row| row.get::<i64>(0)).await;
                assert_eq!(found.unwrap(), Some(1), "a caller reads what was answered");
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    let (longest, written) = disk.look(|files, operations| {
        let mut sums = (0, 0);
        for operation in operations {
            if let Operation::Write { file, offset, bytes } = operation
                && files[*file].to_string_lossy().ends_with("-wal")
            {
                sums = (sums.0.max(offset + bytes.len() as u64), sums.1 + bytes.len() as u64);
            }
        }
        sums
    });
    // A read that a busy machine holds up lets the log grow by a quarter of the brake at a time.
    println!("{written} bytes went through a log of at most {longest}");
    assert!(longest < 4 * BRAKE, "the log grew to {longest} bytes");
    assert!(written > 8 * BRAKE, "{written} bytes went through the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_hangs_up_leaves_a_whole_unit_or_none() {
    let store = on_sqlite(|_| {}).await;
    // It hangs up while its unit runs.
    let (started, go_on) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut running = Box::pin(store.write(&SYSTEM, (started.clone(), go_on.clone()), |tx, (started, go_on)| {
        Box::pin(async move {
            tx.execute(&INSERT, params!["a 1", 1_i64]).await?;
            started.store(1, Ordering::SeqCst);
            while go_on.load(Ordering::SeqCst) == 0 {
                std::thread::yield_now();
            }
            tx.execute(&INSERT, params!["a 2", 1_i64]).await
        })
    }));
    assert!(futures_util::poll!(running.as_mut()).is_pending());
    while started.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    drop(running);
    go_on.store(1, Ordering::SeqCst);
    // And one hangs up while its unit still waits.
    let (open, holder) = hold(&store).await;
    let mut waiting = Box::pin(insert(&store, "b"));
    assert!(futures_util::poll!(waiting.as_mut()).is_pending());
    drop(waiting);
    drop(open);
    holder.await.unwrap();
    insert(&store, "c").await.unwrap();
    assert_eq!(ids(&store).await, ["a 1", "a 2", "c"], "what ran is whole, what did not run is not there");
}

#[tokio::test(flavor = "multi_thread")]
async fn checking_and_backing_up_beside_a_running_store_leave_its_locks_alone() {
    let store = on_sqlite(|_| {}).await;
    insert(&store, "a").await.unwrap();
    let inode = std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(store.sqlite_path()).unwrap());
    let locks = || {
        let held = std::fs::read_to_string("/proc/locks").unwrap_or_default();
        held.lines().filter(|line| line.contains("POSIX") && line.contains(&format!(":{inode} "))).count()
    };
    let before = locks();
    if before == 0 {
        return println!("skipped: this system does not list locks");
    }
    backup::check(store.folder()).unwrap();
    backup::backup(store.folder(), &store.folder().join("copy"), None, store.clock().now(), store.entropy(), |_| Ok(())).unwrap();
    assert!(locks() >= before, "closing a plain file of the database would have dropped them");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_another_program_holds_is_busy_and_then_goes_on() {
    let store = on_sqlite(|_| {}).await;
    let other = beside(&store);
    other.execute_batch("begin immediate").unwrap();
    let held = insert(&store, "a").await;
    assert!(is_refused(&held), "{held:?}");
    other.execute_batch("rollback").unwrap();
    insert(&store, "b").await.unwrap();
    assert_eq!(ids(&store).await, ["b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_too_long_is_refused_at_once() {
    let store = on_sqlite(|_| {}).await;
    let (open, holder) = hold(&store).await;
    let mut waiting = Vec::new();
    let refused = loop {
        let mut unit = Box::pin(store.write(&SYSTEM, (), |_, ()| Box::pin(async move { Ok::<_, StoreError>(()) })));
        match futures_util::poll!(unit.as_mut()) {
            std::task::Poll::Ready(answer) => break answer,
            std::task::Poll::Pending => waiting.push(unit),
        }
        assert!(waiting.len() < 100_000, "the queue has no end");
    };
    assert!(matches!(refused, Err(StoreError::Busy)), "{refused:?}");
    drop(open);
    holder.await.unwrap();
    for unit in waiting {
        unit.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_panics_takes_nobody_with_it() {
    let store = store_with(|_| {}).await;
    let kept = store
        .write(&SYSTEM, (), |tx, ()| {
            Box::pin(async move {
                tx.after_commit(|| panic!("a defect in a hook"));
                tx.execute(&INSERT, params!["a", 1_i64]).await
            })
        })
        .await;
    assert!(kept.is_ok(), "{kept:?}");
    insert(&store, "b").await.unwrap();
    assert_eq!(ids(&store).await, ["a", "b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn bulk_units_queue_behind_interactive_ones() {
    let store = on_sqlite(|_| {}).await;
    let order = Arc::new(Mutex::new(Vec::new()));
    let (one, two) = (order.clone(), order.clone());
    let note = |name: &'static str, order: Arc<Mutex<Vec<&'static str>>>| (name, order);
    let mut units: Vec<crate::probe::Called<'_, ()>> = Vec::new();
    for _ in 0..3 {
        units.push(Box::pin(store.write_bulk(&SYSTEM, note("bulk", one.clone()), |_, (name, order)| {
            Box::pin(async move {
                order.lock().unwrap().push(name);
                Ok(())
            })
        })));
    }
    for _ in 0..3 {
        units.push(Box::pin(store.write(&SYSTEM, note("unit", two.clone()), |_, (name, order)| {
            Box::pin(async move {
                order.lock().unwrap().push(name);
                Ok(())
            })
        })));
    }
    in_one_group(&store, units).await;
    assert_eq!(*order.lock().unwrap(), ["unit", "unit", "unit", "bulk", "bulk", "bulk"]);
}
