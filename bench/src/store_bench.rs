//! Durable units of work a second, and reads, through the store and against bare rusqlite in the same run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kernel::Caller;
use serde_json::{Value, json};
use store::testing::store_with;
use store::{Reads, Store, StoreError, params};

use crate::Options;

static SYSTEM: Caller = Caller::system("bench");

store::statements! {
    INSERT = "insert into store_probe (id, number) values ($1, $2)";
    FIND = "select number from store_probe where id = $1";
}

/// Runs `callers` tasks for `time` and answers how many calls succeeded a second.
async fn load<F, R>(callers: usize, time: Duration, call: F) -> f64
where
    F: Fn(u64) -> R + Clone + Send + 'static,
    R: Future<Output = bool> + Send,
{
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let started = Instant::now();
    let tasks: Vec<_> = (0..callers as u64)
        .map(|caller| {
            let (stop, done, call) = (stop.clone(), done.clone(), call.clone());
            tokio::spawn(async move {
                let mut number = caller << 40;
                while !stop.load(Ordering::Relaxed) {
                    number += 1;
                    if call(number).await {
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    tokio::time::sleep(time).await;
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.expect("a caller does not panic");
    }
    done.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64()
}

async fn units(store: &Store, callers: usize, time: Duration) -> f64 {
    let store = store.clone();
    let base = unique();
    load(callers, time, move |number| {
        let store = store.clone();
        async move {
            let input = (format!("{:x}{number:013x}", base), number as i64);
            let unit =
                store.write(&SYSTEM, input, |tx, (id, number)| Box::pin(async move { tx.execute(&INSERT, params![id, number]).await }));
            unit.await.map_err(|e: StoreError| eprintln!("{e}")).is_ok()
        }
    })
    .await
}

fn unique() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0x10);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

type Waiting = (String, i64, tokio::sync::oneshot::Sender<()>);

/// The least that a group commit can be: a thread that drains a channel into one transaction and answers after it.
fn bare_writer(path: std::path::PathBuf) -> std::sync::mpsc::Sender<Waiting> {
    let (sender, receiver) = std::sync::mpsc::channel::<Waiting>();
    std::thread::spawn(move || {
        let connection = bare(&path);
        while let Ok(first) = receiver.recv() {
            let mut answers = Vec::new();
            connection.execute_batch("begin immediate").expect("it begins");
            for (id, number, answer) in std::iter::once(first).chain(receiver.try_iter().take(511)) {
                let mut insert = connection.prepare_cached("insert into store_probe (id, number) values (?1, ?2)").expect("it prepares");
                insert.execute((id, number)).expect("it inserts");
                answers.push(answer);
            }
            connection.execute_batch("commit").expect("it commits");
            for answer in answers {
                let _ = answer.send(());
            }
        }
    });
    sender
}

fn bare(path: &std::path::Path) -> rusqlite::Connection {
    let connection = rusqlite::Connection::open(path).expect("the database opens");
    connection.execute_batch("pragma journal_mode = wal; pragma synchronous = full; pragma foreign_keys = on;").expect("it is configured");
    connection
}

async fn bare_units(callers: usize, time: Duration) -> f64 {
    let store = store_with(|config| config.database_url = None).await;
    store.close().await;
    let writer = bare_writer(store.sqlite_path());
    load(callers, time, move |number| {
        let writer = writer.clone();
        async move {
            let (answer, answered) = tokio::sync::oneshot::channel();
            let sent = writer.send((format!("b{number:013x}"), number as i64, answer)).is_ok();
            sent && answered.await.is_ok()
        }
    })
    .await
}

const ROWS: u64 = 100_000;

async fn filled(store: &Store) {
    for chunk in 0..ROWS / 500 {
        let rows: Vec<(String, i64)> = (0..500).map(|i| (format!("r{:07}", chunk * 500 + i), i as i64)).collect();
        let filled = store.write_bulk(&SYSTEM, rows, |tx, rows| {
            Box::pin(async move {
                let rows: Vec<_> = rows.iter().map(|(id, number)| store::row_params![id, number]).collect();
                tx.execute_many(&INSERT, &rows).await
            })
        });
        filled.await.map_err(|e: StoreError| e.to_string()).expect("rows are stored");
    }
}

async fn reads(store: &Store, time: Duration) -> f64 {
    let store = store.clone();
    load(2, time, move |number| {
        let store = store.clone();
        async move {
            let id = format!("r{:07}", number.wrapping_mul(0x9E37_79B9) % ROWS);
            let found = store.read().row(&FIND, params![id], |row| row.get::<i64>(0)).await.ok().flatten();
            if number % 64 == 0 {
                tokio::task::yield_now().await;
            }
            found.is_some()
        }
    })
    .await
}

fn bare_reads(path: &std::path::Path, time: Duration) -> f64 {
    let threads: Vec<_> = (0..2_u64)
        .map(|thread| {
            let path = path.to_owned();
            std::thread::spawn(move || {
                let connection = bare(&path);
                let (started, mut number, mut done) = (Instant::now(), thread << 40, 0_u64);
                while started.elapsed() < time {
                    number += 1;
                    let id = format!("r{:07}", number.wrapping_mul(0x9E37_79B9) % ROWS);
                    let mut find = connection.prepare_cached("select number from store_probe where id = ?1").expect("it prepares");
                    let found: i64 = find.query_row([id], |row| row.get(0)).expect("the row is there");
                    done += u64::from(found >= 0);
                }
                done as f64 / started.elapsed().as_secs_f64()
            })
        })
        .collect();
    threads.into_iter().map(|thread| thread.join().expect("a reader does not panic")).sum()
}

pub(crate) async fn run(options: &Options) -> Value {
    let time = Duration::from_millis(options.number("--ms").unwrap_or(if options.quick { 3_000 } else { 10_000 }));
    let sqlite = store_with(|config| config.database_url = None).await;
    let mut figures = json!({});
    let mut row = |name: &str, per_s: f64| {
        println!("{name:<14} {per_s:>12.0} /s");
        figures[name] = json!(per_s.round());
    };
    row("sqlite_1", units(&sqlite, 1, time).await);
    row("sqlite_16", units(&sqlite, 16, time).await);
    row("sqlite_256", units(&sqlite, 256, time).await);
    row("bare_256", bare_units(256, time).await);
    row("bare_1", bare_units(1, time).await);
    filled(&sqlite).await;
    row("reads", reads(&sqlite, time).await);
    let path = sqlite.sqlite_path();
    row("bare_reads", tokio::task::spawn_blocking(move || bare_reads(&path, time)).await.expect("readers do not panic"));
    if std::env::var("TESSERA_TEST_DATABASE").is_ok_and(|url| !url.is_empty()) {
        let postgres = store::testing::store().await;
        row("postgres_1", units(&postgres, 1, time).await);
        row("postgres_16", units(&postgres, 16, time).await);
        row("postgres_256", units(&postgres, 256, time).await);
    }
    figures
}
