//! A store for tests: a temporary SQLite file, or a fresh PostgreSQL database where `TESSERA_TEST_DATABASE` names a server.

pub mod disk;
pub mod power_cut;

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kernel::{Clock, Entropy, Timestamp};

use crate::{Config, Engine, Sql, Store, StoreError};

/// A folder, and a database of its own where `TESSERA_TEST_DATABASE` names a server; both are gone when it is dropped.
pub struct TestPlace {
    config: Config,
    database: Option<(String, String)>,
}

/// A store whose folder and database are gone when it is dropped.
pub struct TestStore {
    store: Option<Store>,
    place: TestPlace,
}

impl Deref for TestStore {
    type Target = Store;
    fn deref(&self) -> &Store {
        self.store.as_ref().expect("the store is open")
    }
}

/// An open store with every migration, the clock stopped at 2026-01-31T09:30:00Z and randomness from a seed.
pub async fn store() -> TestStore {
    store_with(|_| {}).await
}

/// The same with a changed configuration.
pub async fn store_with(change: impl FnOnce(&mut Config)) -> TestStore {
    let mut place = fresh_place().await;
    change(&mut place.config);
    let store = Store::open(place.config()).await.expect("the store opens");
    TestStore { store: Some(store), place }
}

/// A place where nothing was opened yet, for tests that open more than a store.
pub async fn fresh_place() -> TestPlace {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let name = format!("tessera_test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let folder = std::env::temp_dir().join(&name);
    let mut config = Config::new(&folder, None);
    config.clock = Clock::stopped(Timestamp::parse("2026-01-31T09:30:00Z").expect("it is a time"));
    config.entropy = Entropy::seeded(7);
    // A busy machine must not split what a test wants in one group.
    config.limits.group_time_max = Duration::from_secs(5);
    config.on_fatal = std::sync::Arc::new(|reason| eprintln!("the store has stopped: {reason}"));
    let database = std::env::var("TESSERA_TEST_DATABASE").ok().filter(|url| !url.is_empty()).map(|server| (server, name));
    if let Some((server, name)) = &database {
        let template = template(server).await;
        admin(server, &format!("create database {name} template {template}")).await;
        config.database_url = Some(with_database(server, name));
    }
    TestPlace { config, database }
}

impl TestPlace {
    /// The folder of its files; it need not exist yet.
    pub fn folder(&self) -> &Path {
        &self.config.folder
    }

    /// How a store is opened here: the clock stopped at 2026-01-31T09:30:00Z, randomness from a seed.
    pub fn config(&self) -> Config {
        self.config.clone()
    }
}

/// The URL of `name` on the server that `server` (a URL of another database there) names.
fn with_database(server: &str, name: &str) -> String {
    let (base, query) = server.split_once('?').map_or((server, String::new()), |(base, query)| (base, format!("?{query}")));
    let end = base.rfind('/').filter(|at| *at > "postgres://".len()).unwrap_or(base.len());
    format!("{}/{name}{query}", &base[..end])
}

async fn connect(url: &str) -> (tokio_postgres::Client, tokio::task::JoinHandle<Result<(), tokio_postgres::Error>>) {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("the test server answers");
    (client, tokio::spawn(connection))
}

async fn admin(server: &str, command: &str) {
    let (client, task) = connect(server).await;
    client.batch_execute(command).await.expect("the test server obeys");
    task.abort();
}

/// A database with every migration of this build, made once per server, that tests copy: faster than migrating each.
async fn template(server: &str) -> &'static str {
    static NAME: tokio::sync::OnceCell<String> = tokio::sync::OnceCell::const_new();
    NAME.get_or_init(|| async {
        let all: String = crate::migrations().flat_map(|migration| migration.statements(Engine::Postgres)).collect();
        let name = format!("tessera_template_{}", &crate::Migration { name: "", text: all.leak() }.checksum()[..16]);
        let (client, task) = connect(server).await;
        // The number is arbitrary: test processes that start at once make it once.
        client.batch_execute("select pg_advisory_lock(7411009)").await.expect("the test server locks");
        let found = client.query("select 1 from pg_database where datname = $1", &[&name]).await.expect("the test server answers");
        if found.is_empty() {
            let draft = format!("{name}_draft");
            client.batch_execute(&format!("drop database if exists {draft} with (force)")).await.expect("the test server obeys");
            client.batch_execute(&format!("create database {draft}")).await.expect("the test server obeys");
            let (inside, session) = connect(&with_database(server, &draft)).await;
            crate::migrate::postgres(&inside, Timestamp::default()).await.expect("the migrations run");
            drop(inside);
            let _ = session.await;
            // The server may take a moment to see that nobody is connected any more.
            let rename = format!("alter database {draft} rename to {name}");
            for _ in 0..500 {
                match client.batch_execute(&rename).await {
                    Ok(()) => break,
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        }
        drop(client);
        let _ = task.await;
        name
    })
    .await
}

impl TestStore {
    /// The folder of its files.
    pub fn folder(&self) -> &Path {
        &self.place.config.folder
    }

    /// How it was opened, to open it again or beside.
    pub fn config(&self) -> Config {
        self.place.config.clone()
    }

    /// Closes and opens it again, as a restart does; every clone of the old one is closed too.
    pub async fn reopen(&mut self) {
        if let Some(old) = self.store.take() {
            old.close().await;
            drop(old);
        }
        // Clones that background tasks still hold keep the folder's lock for a moment.
        for _ in 0..200 {
            match Store::open(self.place.config.clone()).await {
                Ok(store) => {
                    self.store = Some(store);
                    return;
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
        panic!("the store does not open again");
    }

    /// The path of the SQLite file, for raw connections of a test.
    pub fn sqlite_path(&self) -> PathBuf {
        self.place.config.sqlite_path()
    }

    /// Prepares every statement on this engine and answers those that fail, with the reason.
    pub async fn prepare_all(&self, statements: &[&'static Sql]) -> Vec<String> {
        prepare_all(&self.place.config, self.engine(), statements).await.expect("the database answers")
    }
}

async fn prepare_all(config: &Config, engine: Engine, statements: &[&'static Sql]) -> Result<Vec<String>, StoreError> {
    let mut failed = Vec::new();
    if engine == Engine::Sqlite {
        let connection = crate::sqlite::connect(&config.sqlite_path(), true, None)?;
        for sql in statements {
            if let Err(error) = connection.prepare(sql.text(engine)) {
                failed.push(format!("{}: {error}", sql.text(engine)));
            }
        }
        return Ok(failed);
    }
    let url = config.database_url.clone().unwrap_or_default();
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.map_err(StoreError::postgres)?;
    let task = tokio::spawn(connection);
    for sql in statements {
        if let Err(error) = client.prepare(sql.text(engine)).await {
            failed.push(format!("{}: {}", sql.text(engine), error.as_db_error().map_or_else(|| error.to_string(), ToString::to_string)));
        }
    }
    task.abort();
    Ok(failed)
}

impl Drop for TestPlace {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.config.folder);
        if let Some((server, name)) = self.database.take() {
            // A thread of its own: the test's runtime may be ending.
            let dropped = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                if let Ok(runtime) = runtime {
                    runtime.block_on(admin(&server, &format!("drop database if exists {name} with (force)")));
                }
            });
            let _ = dropped.join();
        }
    }
}
