//! The hazards of PostgreSQL's connections and transactions, each with the rule that meets it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use store::testing::{TestStore, store_with};
use store::{Config, Engine, Reads, Sql, Store, StoreError, migrations, params};

use crate::probe::{INSERT, NUMBER, SYSTEM, ids, insert, is_refused, is_unknown};
use crate::proxy::{Cut, Proxy};

static DIE: Sql = Sql::new("select cast(pg_terminate_backend(pg_backend_pid()) as text)");
static SLEEP: Sql = Sql::new("select cast(1 as bigint) from pg_sleep(60)");
static COLLIDE: Sql = Sql::new("do $$ begin raise exception 'again' using errcode = '40001'; end $$");
static BROKEN: Sql = Sql::new("insert into store_probe (id, number) values ($1, null)");
static SETTINGS: Sql = Sql::new(
    "select current_setting('statement_timeout') || ' ' || current_setting('lock_timeout') || ' ' || \
     current_setting('idle_in_transaction_session_timeout') || ' ' || current_setting('transaction_isolation') || ' ' || \
     current_setting('synchronous_commit')",
);
static OPEN_TRANSACTIONS: Sql = Sql::new(
    "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and xact_start is not null",
);
static LOCK_ROW: Sql = Sql::new("update store_probe set number = number + 1 where id = $1");

/// A store on the PostgreSQL that the environment names, or none.
async fn on_postgres(change: impl FnOnce(&mut Config)) -> Option<TestStore> {
    if std::env::var("TESSERA_TEST_DATABASE").is_ok_and(|url| !url.is_empty()) {
        return Some(store_with(change).await);
    }
    println!("skipped: TESSERA_TEST_DATABASE names no PostgreSQL");
    None
}

/// The same behind a wire that can be cut.
async fn behind_a_proxy() -> Option<(TestStore, Proxy)> {
    let mut proxy = None;
    let store = on_postgres(|config| {
        let url = config.database_url.clone().unwrap();
        let server = url.split('@').next_back().unwrap().split('/').next().unwrap().to_owned();
        let started = Proxy::start(server.clone());
        config.database_url = Some(url.replacen(&server, &started.address.to_string(), 1));
        proxy = Some(started);
    })
    .await?;
    Some((store, proxy.unwrap()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_lost_during_commit_is_unknown_and_the_unit_is_never_run_again() {
    let Some((store, proxy)) = behind_a_proxy().await else { return };
    assert_eq!(store.engine(), Engine::Postgres);
    for (cut, id, is_there) in [(Cut::Request, "lost on the way", None), (Cut::Answer, "lost on the way back", Some(1_i64))] {
        let (runs, hooks) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        insert(&store, &format!("before {id}")).await.unwrap();
        let commits = proxy.commits();
        proxy.cut_next(cut);
        let answer = store
            .write(&SYSTEM, (id, runs.clone(), hooks.clone()), |tx, (id, runs, hooks)| {
                Box::pin(async move {
                    runs.fetch_add(1, Ordering::SeqCst);
                    tx.after_commit(move || {
                        hooks.fetch_add(1, Ordering::SeqCst);
                    });
                    tx.execute(&INSERT, params![id, 1_i64]).await
                })
            })
            .await;
        assert!(is_unknown(&answer), "{cut:?}: {answer:?}");
        assert_eq!((runs.load(Ordering::SeqCst), hooks.load(Ordering::SeqCst)), (1, 0), "{cut:?}: no second run, and no hook");
        assert_eq!(proxy.commits(), commits + 1, "{cut:?}");
        // Whoever asks again with the same key finds out. The server may still be at work on it for a moment.
        insert(&store, &format!("after {id}")).await.unwrap();
        let mut found = None;
        for _ in 0..500 {
            found = store.read().row(&NUMBER, params![id], |row| row.get::<i64>(0)).await.unwrap();
            if found == is_there {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(found, is_there, "{cut:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_dies_in_the_middle_of_a_unit_keeps_nothing_and_says_so() {
    let Some(store) = on_postgres(|_| {}).await else { return };
    for goes_on in [false, true] {
        let answer: Result<(), StoreError> = store
            .write(&SYSTEM, goes_on, |tx, goes_on| {
                Box::pin(async move {
                    tx.execute(&INSERT, params!["half", 1_i64]).await?;
                    let died = tx.row(&DIE, &[], |row| row.get::<String>(0)).await;
                    assert!(is_refused(&died), "{died:?}");
                    if goes_on { Ok(()) } else { died.map(|_| ()) }
                })
            })
            .await;
        assert!(if goes_on { matches!(answer, Err(StoreError::Poisoned)) } else { is_refused(&answer) }, "{answer:?}");
    }
    insert(&store, "next").await.unwrap();
    assert_eq!(ids(&store).await, ["next"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_hangs_up_closes_its_connection_and_nobody_gets_into_its_transaction() {
    let Some(store) = on_postgres(|_| {}).await else { return };
    for round in 0..10 {
        let (inside, reached) = tokio::sync::oneshot::channel();
        let inside = Arc::new(Mutex::new(Some(inside)));
        let caller: Store = (*store).clone();
        let task = tokio::spawn(async move {
            let unit = caller.write(&SYSTEM, (round, inside), |tx, (round, inside)| {
                Box::pin(async move {
                    tx.execute(&INSERT, params![format!("half {round}"), 1_i64]).await?;
                    if let Some(inside) = inside.lock().unwrap().take() {
                        let _ = inside.send(());
                    }
                    tx.row(&SLEEP, &[], |row| row.get::<i64>(0)).await
                })
            });
            unit.await
        });
        reached.await.unwrap();
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        // More units than the pool has connections.
        let units = (0..18).map(|i| {
            let store: Store = (*store).clone();
            async move { insert(&store, &format!("{round:02} {i:02}")).await }
        });
        for unit in futures_util::future::join_all(units).await {
            unit.unwrap();
        }
    }
    let found = ids(&store).await;
    assert!(found.iter().all(|id| !id.starts_with("half")), "half a unit was committed by the next user of its connection");
    assert_eq!(found.len(), 10 * 18);
    // The server notices, long before the statement's own end, and lets the locks go.
    insert(&store, "half 9").await.unwrap();
    none_is_open(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_collides_runs_again_on_a_clone_of_its_input_and_its_hooks_run_once() {
    let Some(store) = on_postgres(|_| {}).await else { return };
    let (runs, hooks) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let input = (vec!["a".to_owned()], runs.clone(), hooks.clone());
    let answer: Result<usize, StoreError> = store
        .write(&SYSTEM, input, |tx, (mut words, runs, hooks)| {
            Box::pin(async move {
                let run = runs.fetch_add(1, Ordering::SeqCst);
                words.push(format!("b{run}"));
                tx.after_commit(move || {
                    hooks.fetch_add(1, Ordering::SeqCst);
                });
                tx.execute(&INSERT, params![words.concat(), 1_i64]).await?;
                match run {
                    0 => tx.execute(&COLLIDE, &[]).await.map(|_| ())?,
                    // Noticed at the commit.
                    1 => tx.execute_later(&COLLIDE, &[]).await?,
                    _ => {}
                }
                Ok(words.len())
            })
        })
        .await;
    assert_eq!(answer.unwrap(), 2, "each run starts from the input as it was");
    assert_eq!((runs.load(Ordering::SeqCst), hooks.load(Ordering::SeqCst)), (3, 1));
    assert_eq!(ids(&store).await, ["ab2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_collides_every_time_is_given_up_and_nothing_of_it_is_kept() {
    let Some(store) = on_postgres(|_| {}).await else { return };
    let answer: Result<(), StoreError> = store
        .write(&SYSTEM, (), |tx, ()| {
            Box::pin(async move {
                tx.execute(&INSERT, params!["a", 1_i64]).await?;
                tx.execute(&COLLIDE, &[]).await.map(|_| ())
            })
        })
        .await;
    assert!(is_refused(&answer), "{answer:?}");
    assert_eq!(ids(&store).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_is_broken_and_both_units_are_kept() {
    let Some(store) = on_postgres(|_| {}).await else { return };
    insert(&store, "a").await.unwrap();
    insert(&store, "b").await.unwrap();
    // Both hold their first row before either asks for its second.
    let both = Arc::new(tokio::sync::Barrier::new(2));
    let run = |first: &'static str, second: &'static str| {
        let (store, both, runs): (Store, _, _) = ((*store).clone(), both.clone(), Arc::new(AtomicUsize::new(0)));
        async move {
            let unit = store.write(&SYSTEM, (first, second, both, runs.clone()), |tx, (first, second, both, runs)| {
                Box::pin(async move {
                    tx.execute(&LOCK_ROW, params![first]).await?;
                    if runs.fetch_add(1, Ordering::SeqCst) == 0 {
                        both.wait().await;
                    }
                    tx.execute(&LOCK_ROW, params![second]).await
                })
            });
            unit.await.map(|_: u64| runs.load(Ordering::SeqCst))
        }
    };
    let (one, other) = tokio::join!(run("a", "b"), run("b", "a"));
    assert_eq!(one.unwrap() + other.unwrap(), 3, "one of them ran twice");
    for id in ["a", "b"] {
        assert_eq!(store.read().row(&NUMBER, params![id], |row| row.get(0)).await.unwrap(), Some(3_i64));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_takes_too_long_is_ended_by_the_server_and_keeps_nothing() {
    let Some(store) = on_postgres(|config| config.limits.unit_time_max = Duration::from_millis(300)).await else { return };
    let answer: Result<(), StoreError> = store
        .write(&SYSTEM, (), |tx, ()| {
            Box::pin(async move {
                tx.execute(&INSERT, params!["a", 1_i64]).await?;
                tx.row(&SLEEP, &[], |row| row.get::<i64>(0)).await.map(|_| ())
            })
        })
        .await;
    assert!(matches!(answer, Err(StoreError::TooSlow)), "{answer:?}");
    insert(&store, "b").await.unwrap();
    assert_eq!(ids(&store).await, ["b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_have_their_time_outs_and_sync_at_commit() {
    let Some(store) = on_postgres(|_| {}).await else { return };
    let in_unit =
        store.write(&SYSTEM, (), |tx, ()| Box::pin(async move { tx.row(&SETTINGS, &[], |row| row.get::<String>(0)).await })).await;
    assert_eq!(in_unit.unwrap().unwrap(), "15s 10s 10s read committed on");
    let in_read = store.read().row(&SETTINGS, &[], |row| row.get::<String>(0)).await.unwrap().unwrap();
    assert!(in_read.starts_with("5s "), "{in_read}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_the_server_turned_into_a_rollback_is_not_taken_for_success() {
    let Some(store) = on_postgres(|_| {}).await else { return };
    for polls in 1..12 {
        let hooks = Arc::new(AtomicUsize::new(0));
        let answer: Result<(), StoreError> = store
            .write(&SYSTEM, (polls, hooks.clone()), |tx, (polls, hooks)| {
                Box::pin(async move {
                    tx.execute(&INSERT, params!["half", 1_i64]).await?;
                    tx.after_commit(move || {
                        hooks.fetch_add(1, Ordering::SeqCst);
                    });
                    // The unit does not wait for the answer, so that nobody has told it that the server refused.
                    let id = params!["x"];
                    let mut broken = Box::pin(tx.execute(&BROKEN, id));
                    for _ in 0..polls {
                        if broken.as_mut().now_or_never().is_some() {
                            break;
                        }
                        tokio::task::yield_now().await;
                    }
                    drop(broken);
                    Ok(())
                })
            })
            .await;
        assert!(answer.is_err(), "after {polls} polls: {answer:?}");
        assert_eq!(hooks.load(Ordering::SeqCst), 0);
    }
    assert_eq!(ids(&store).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_transaction_is_left_open_behind_a_unit() {
    let Some(store) = on_postgres(|_| {}).await else { return };
    insert(&store, "a").await.unwrap();
    let refused = insert(&store, "a").await;
    assert!(matches!(refused, Err(StoreError::Constraint { .. })), "{refused:?}");
    for polls in 1..30 {
        let mut unit = Box::pin(insert(&store, "b"));
        for _ in 0..polls {
            if futures_util::poll!(unit.as_mut()).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    none_is_open(&store).await;
}

async fn none_is_open(store: &Store) {
    for _ in 0..500 {
        let open = store.read().row(&OPEN_TRANSACTIONS, &[], |row| row.get::<i64>(0)).await.unwrap();
        if open == Some(0) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("a transaction stays open");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_nodes_that_start_at_once_on_an_empty_database_one_migrates_it() {
    let Some(store) = on_postgres(|_| {}).await else { return };
    let url = store.config().database_url.unwrap();
    let name = format!("{}_empty", url.split('?').next().unwrap().rsplit('/').next().unwrap());
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    let task = tokio::spawn(connection);
    client.batch_execute(&format!("create database {name}")).await.unwrap();
    let nodes = (0..4).map(|node| {
        let mut config = store.config();
        config.folder = store.folder().join(format!("node {node}"));
        config.key_file = Some(store.folder().join("secret.key"));
        config.database_url = Some(url.replace(name.trim_end_matches("_empty"), &name));
        Store::open(config)
    });
    let nodes: Vec<Store> = futures_util::future::join_all(nodes).await.into_iter().map(Result::unwrap).collect();
    let mut ran: Vec<usize> = nodes.iter().map(Store::migrations_run).collect();
    ran.sort_unstable();
    assert_eq!(ran, [0, 0, 0, migrations().len()]);
    for (number, node) in nodes.iter().enumerate() {
        insert(node, &format!("{number}")).await.unwrap();
    }
    assert_eq!(ids(&nodes[0]).await.len(), 4);
    for node in nodes {
        node.close().await;
    }
    client.batch_execute(&format!("drop database {name} with (force)")).await.unwrap();
    task.abort();
}
