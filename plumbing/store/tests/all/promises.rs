//! The sentences of the crate's `//!`, each as a test on whichever engine the environment names.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kernel::Caller;
use store::testing::{TestStore, store};
use store::{Engine, Reads, Sql, Store, StoreError, params};

const SYSTEM: Caller = Caller::system("test");

store::statements! {
    INSERT = "insert into store_probe (id, number) values ($1, $2)";
    INSERT_ONCE = "insert into store_probe (id, number) values ($1, $2) on conflict (id) do nothing";
    ADD = "update store_probe set number = number + $2 where id = $1";
    NUMBER = "select number from store_probe where id = $1";
    COUNT = "select count(*) from store_probe";
    SUM = "select cast(sum(number) as bigint) from store_probe";
    SWAPPED = "update store_probe set number = $2 where id = $1";
    WHOLE = "insert into store_probe (id, number, flag, body) values ($1, $2, $3, $4) returning id, number, flag, body";
    NO_NUMBER = "insert into store_probe (id, number) select cast($1 as text), null where cast($2 as bigint) = 0";
    BROKEN = "insert into store_probe (id, number) values ($1, null)";
    SORTED = "select id from store_probe order by id";
    SLOW = sqlite "with recursive n(i) as (select 1 union all select i + 1 from n) select max(i) from n"
           postgres "select pg_sleep(60)";
}

async fn number(store: &Store, id: &str) -> Option<i64> {
    store.read().row(&NUMBER, params![id], |row| row.get(0)).await.unwrap()
}

async fn insert(store: &Store, id: &str, number: i64) -> Result<u64, StoreError> {
    store
        .write(&SYSTEM, (id.to_owned(), number), |tx, (id, number)| Box::pin(async move { tx.execute(&INSERT, params![id, number]).await }))
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_is_understood_by_the_engine() {
    let store = store().await;
    assert_eq!(store.prepare_all(STATEMENTS).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_is_kept_whole_or_not_at_all() {
    let store = store().await;
    let refused: Result<(), StoreError> = store
        .write(&SYSTEM, (), |tx, ()| {
            Box::pin(async move {
                tx.execute(&INSERT, params!["a", 1_i64]).await?;
                Err(StoreError::Busy)
            })
        })
        .await;
    assert!(matches!(refused, Err(StoreError::Busy)));
    assert_eq!(number(&store, "a").await, None);
    insert(&store, "a", 1).await.unwrap();
    assert_eq!(number(&store, "a").await, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_goes_on_after_a_failed_statement_keeps_nothing() {
    let store = store().await;
    let swallowed: Result<(), StoreError> = store
        .write(&SYSTEM, (), |tx, ()| {
            Box::pin(async move {
                tx.execute(&INSERT, params!["a", 1_i64]).await?;
                let _ = tx.execute(&BROKEN, params!["b"]).await;
                Ok(())
            })
        })
        .await;
    assert!(swallowed.is_err());
    assert_eq!(number(&store, "a").await, None, "the commit of a poisoned transaction is a rollback on PostgreSQL, and here too");
    insert(&store, "a", 2).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_nobody_waits_for_is_seen_by_the_next_one_and_its_failure_fails_the_unit() {
    let store = store().await;
    let unit = async |last: &'static Sql, is_asked_after: bool| -> Result<Option<i64>, StoreError> {
        let caller = SYSTEM;
        let unit = store.write(&caller, (last, is_asked_after), |tx, (last, is_asked_after)| {
            Box::pin(async move {
                for number in 0..200_i64 {
                    tx.execute_later(&INSERT, params![format!("row {number}"), number]).await?;
                }
                let count = tx.row(&COUNT, &[], |row| row.get::<i64>(0)).await?;
                tx.execute_later(last, params!["row 200", 0_i64]).await?;
                if is_asked_after {
                    tx.row(&COUNT, &[], |row| row.get::<i64>(0)).await?;
                }
                Ok(count)
            })
        });
        unit.await
    };
    assert!(unit(&NO_NUMBER, true).await.is_err());
    assert!(unit(&NO_NUMBER, false).await.is_err(), "the commit waits for it");
    assert_eq!(store.read().row(&COUNT, &[], |row| row.get::<i64>(0)).await.unwrap(), Some(0), "nothing was kept");
    assert_eq!(unit(&INSERT, false).await.unwrap(), Some(200));
    assert_eq!(store.read().row(&COUNT, &[], |row| row.get::<i64>(0)).await.unwrap(), Some(201));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_a_unit_reaches_its_caller_and_nobody_else() {
    let store = store().await;
    let shared: Store = (*store).clone();
    let panicked = tokio::spawn(async move {
        shared
            .write(&SYSTEM, (), |tx, ()| {
                Box::pin(async move {
                    tx.execute(&INSERT, params!["a", 1_i64]).await?;
                    if tx.now().as_micros() > 0 {
                        panic!("a defect");
                    }
                    Ok::<_, StoreError>(())
                })
            })
            .await
    })
    .await;
    assert!(panicked.is_err());
    insert(&store, "b", 1).await.unwrap();
    assert_eq!((number(&store, "a").await, number(&store, "b").await), (None, Some(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_group_the_refused_unit_leaves_its_neighbours_alone() {
    let store = store().await;
    let units = (0..200).map(|i| {
        let store: Store = (*store).clone();
        tokio::spawn(async move {
            store
                .write(&SYSTEM, i, |tx, i: i64| {
                    Box::pin(async move {
                        tx.execute(&INSERT, params![format!("row {i}"), i]).await?;
                        if i % 3 == 0 { Err(StoreError::Busy) } else { Ok(()) }
                    })
                })
                .await
        })
    });
    for unit in units.collect::<Vec<_>>() {
        let _ = unit.await.unwrap();
    }
    let count = store.read().row(&COUNT, &[], |row| row.get::<i64>(0)).await.unwrap();
    assert_eq!(count, Some(200 - 67));
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_run_once_after_the_commit_and_never_without_it() {
    let store = store().await;
    let runs = Arc::new(AtomicUsize::new(0));
    for fails in [false, true] {
        let _: Result<(), StoreError> = store
            .write(&SYSTEM, (runs.clone(), fails), |tx, (runs, fails)| {
                Box::pin(async move {
                    tx.execute(&INSERT_ONCE, params!["a", 1_i64]).await?;
                    tx.after_commit(move || {
                        runs.fetch_add(1, Ordering::SeqCst);
                    });
                    if fails { Err(StoreError::Busy) } else { Ok(()) }
                })
            })
            .await;
    }
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn units_that_add_to_one_row_at_once_lose_nothing() {
    let store = store().await;
    insert(&store, "sum", 0).await.unwrap();
    let adders = (0..32).map(|_| {
        let store: Store = (*store).clone();
        tokio::spawn(async move {
            for _ in 0..10 {
                // Read, then write: safe because the units lock the same parent.
                store
                    .write(&SYSTEM, (), |tx, ()| {
                        Box::pin(async move {
                            tx.lock("probe", "sum").await?;
                            let now = tx.row(&NUMBER, params!["sum"], |row| row.get::<i64>(0)).await?.unwrap_or(0);
                            tx.execute(&SWAPPED, params!["sum", now + 1]).await
                        })
                    })
                    .await
                    .unwrap();
            }
        })
    });
    for adder in adders.collect::<Vec<_>>() {
        adder.await.unwrap();
    }
    assert_eq!(number(&store, "sum").await, Some(320));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_units_that_lock_in_opposite_order_both_succeed() {
    let store = store().await;
    insert(&store, "a", 0).await.unwrap();
    insert(&store, "b", 0).await.unwrap();
    let run = |first: &'static str, second: &'static str| {
        let store: Store = (*store).clone();
        tokio::spawn(async move {
            for _ in 0..20 {
                store
                    .write(&SYSTEM, (first, second), |tx, (first, second)| {
                        Box::pin(async move {
                            tx.execute(&ADD, params![first, 1_i64]).await?;
                            tx.execute(&ADD, params![second, 1_i64]).await
                        })
                    })
                    .await
                    .unwrap();
            }
        })
    };
    let (one, other) = (run("a", "b"), run("b", "a"));
    one.await.unwrap();
    other.await.unwrap();
    assert_eq!((number(&store, "a").await, number(&store, "b").await), (Some(40), Some(40)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_sees_only_what_is_committed() {
    let store = store().await;
    insert(&store, "a", 1).await.unwrap();
    let reader: Store = (*store).clone();
    let seen: Result<(), StoreError> = store
        .write(&SYSTEM, reader, |tx, reader| {
            Box::pin(async move {
                tx.execute(&ADD, params!["a", 1_i64]).await?;
                if reader.engine() == Engine::Sqlite {
                    // A point read answers inline, even while this unit holds the writer.
                    let seen = reader.read().row(&NUMBER, params!["a"], |row| row.get::<i64>(0)).await?;
                    assert_eq!(seen, Some(1));
                }
                Ok(())
            })
        })
        .await;
    seen.unwrap();
    assert_eq!(number(&store, "a").await, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_comes_back_as_it_went_in_and_null_stays_null() {
    let store = store().await;
    let row = store
        .write(&SYSTEM, (), |tx, ()| {
            Box::pin(async move {
                tx.row(&WHOLE, params!["ünï", i64::MIN, true, &b"\0\xFF"[..]], |row| {
                    Ok((row.get::<String>("id")?, row.get::<i64>("number")?, row.get::<bool>(2)?, row.get::<Option<Vec<u8>>>("body")?))
                })
                .await
            })
        })
        .await;
    assert_eq!(row.unwrap(), Some(("ünï".to_owned(), i64::MIN, true, Some(b"\0\xFF".to_vec()))));
    let empty = store
        .write(&SYSTEM, (), |tx, ()| {
            Box::pin(
                async move { tx.row(&WHOLE, params!["x", 1_i64, false, None::<Vec<u8>>], |row| row.get::<Option<Vec<u8>>>("body")).await },
            )
        })
        .await;
    assert_eq!(empty.unwrap(), Some(None));
}

#[tokio::test(flavor = "multi_thread")]
async fn nul_in_text_is_refused_by_both_engines_alike() {
    let store = store().await;
    assert!(matches!(insert(&store, "a\0b", 1).await, Err(StoreError::NulInText)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sum_that_overflows_is_an_error_and_not_a_fraction() {
    let store = store().await;
    insert(&store, "a", i64::MAX).await.unwrap();
    insert(&store, "b", 1).await.unwrap();
    let sum = store.read().row(&SUM, &[], |row| row.get::<i64>(0)).await;
    assert!(sum.is_err(), "{sum:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn text_sorts_by_bytes() {
    let store = store().await;
    for id in ["b", "a", "B", "ä", "Z", "a b", "ab"] {
        insert(&store, id, 0).await.unwrap();
    }
    let sorted: Vec<String> = store.read().rows(&SORTED, &[], |row| row.get(0)).await.unwrap();
    assert_eq!(sorted, ["B", "Z", "a", "a b", "ab", "b", "ä"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_waits_for_something_else_is_a_defect_and_keeps_nothing() {
    let store = store().await;
    if store.engine() == Engine::Postgres {
        return; // There a unit owns its connection, and its time-outs bound the wait.
    }
    let waited: Result<(), StoreError> = store
        .write(&SYSTEM, (), |tx, ()| {
            Box::pin(async move {
                tx.execute(&INSERT, params!["a", 1_i64]).await?;
                tokio::task::yield_now().await;
                Ok(())
            })
        })
        .await;
    assert!(matches!(waited, Err(StoreError::WaitedForSomethingElse)));
    assert_eq!(number(&store, "a").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_is_there_after_a_restart() {
    let mut store = store().await;
    insert(&store, "a", 1).await.unwrap();
    store.reopen().await;
    assert_eq!(number(&store, "a").await, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_is_refused_by_name() {
    let store = store().await;
    if store.engine() == Engine::Postgres {
        return; // Several nodes share one database there.
    }
    let second = Store::open(store.config()).await;
    let words = second.err().map(|e| e.to_string()).unwrap_or_default();
    assert!(words.contains("another tessera is running") && words.contains(&store.folder().display().to_string()), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_store_refuses_and_loses_nothing_it_accepted() {
    let store: TestStore = store().await;
    let clone: Store = (*store).clone();
    let waiting = tokio::spawn(async move { insert(&clone, "a", 1).await });
    let first = waiting.await.unwrap();
    store.close().await;
    assert!(insert(&store, "b", 1).await.is_err());
    assert!(first.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_that_start_at_once_migrate_once() {
    let store = store().await;
    if store.engine() == Engine::Sqlite {
        return; // The folder's lock admits one.
    }
    let opened = futures_util::future::join_all((0..4).map(|_| Store::open(store.config()))).await;
    assert!(opened.iter().all(|store| store.as_ref().is_ok_and(|store| store.migrations_run() == 0)));
}
