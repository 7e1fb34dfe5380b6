//! The store: opens an engine, runs units of work, answers plain reads.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kernel::{Caller, Clock, Entropy, Timestamp};

use crate::postgres::Postgres;
use crate::replica::Replica;
use crate::sqlite::{self, Sqlite, SqliteSetup};
use crate::tx::{Map, Reads, Tx, Unit, pg, sqlite_row, sqlite_rows};
use crate::value::check;
use crate::{P, Snapshot, Sql, StoreError, Vault, migrate};

/// Which database answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// A file in the data folder.
    Sqlite,
    /// A server, shared by several nodes.
    Postgres,
}

/// What happens when a commit has failed and nobody knows what the disk holds: by default the process ends.
pub type OnFatal = Arc<dyn Fn(&str) + Send + Sync>;

/// What a unit is told by a store that was opened for reading.
const READ_ONLY: &str = "it was opened for reading only";

static KEEP_KEY_CHECK: Sql = Sql::new("insert into store_vault (id, sealed) values ($1, $2) on conflict (id) do nothing");
static KEY_CHECK: Sql = Sql::new("select sealed from store_vault where id = $1");

/// How long and how large things may get. The defaults are for production; tests make them small.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// How long a plain read may take: one that lasts keeps SQLite's log from being emptied.
    pub read_time_max: Duration,
    /// How long a unit may take on SQLite, and each of its statements on PostgreSQL.
    pub unit_time_max: Duration,
    /// A group of units on SQLite is committed at the latest when they have run for this long.
    pub group_time_max: Duration,
    /// The size of SQLite's log, in bytes, from which it is moved into the database beside the units.
    pub wal_checkpoint_bytes: u64,
    /// How often SQLite's log is looked at.
    pub wal_look_every: Duration,
    /// The size of SQLite's log, in bytes, from which units wait until it was moved.
    pub wal_brake_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            read_time_max: Duration::from_secs(5),
            unit_time_max: Duration::from_secs(15),
            group_time_max: Duration::from_millis(20),
            wal_checkpoint_bytes: 4 << 20,
            wal_look_every: Duration::from_millis(200),
            wal_brake_bytes: 64 << 20,
        }
    }
}

/// How to open a store.
#[derive(Clone)]
pub struct Config {
    /// The data folder: lock, key, and on SQLite the database.
    pub folder: PathBuf,
    /// A PostgreSQL URL; without one, SQLite in the data folder.
    pub database_url: Option<String>,
    /// A replica of that PostgreSQL database, for plain reads that may be a moment old ([`Store::replica`]).
    pub replica_url: Option<String>,
    /// Certificate authorities (PEM) that the PostgreSQL server's certificate may come from, beside the public ones.
    pub authorities_pem: Option<Vec<u8>>,
    /// The key file of the vault; without one, `secret.key` in the data folder.
    pub key_file: Option<PathBuf>,
    /// Gives the time.
    pub clock: Clock,
    /// Gives randomness.
    pub entropy: Entropy,
    /// A SQLite VFS by name, for tests of the disk.
    pub vfs: Option<String>,
    /// How long and how large things may get.
    pub limits: Limits,
    /// What to do when the process must not go on.
    pub on_fatal: OnFatal,
}

impl Config {
    /// SQLite in `folder`, or PostgreSQL when a URL is given, with the machine's clock and randomness.
    pub fn new(folder: impl Into<PathBuf>, database_url: Option<String>) -> Self {
        Self {
            folder: folder.into(),
            database_url,
            replica_url: None,
            authorities_pem: None,
            key_file: None,
            clock: Clock::system(),
            entropy: Entropy::system(),
            vfs: None,
            limits: Limits::default(),
            on_fatal: Arc::new(|reason| {
                eprintln!("tessera: {reason}");
                // Time for the answers that say so to leave.
                std::thread::sleep(Duration::from_millis(200));
                std::process::exit(74);
            }),
        }
    }

    /// Where the SQLite database is.
    pub fn sqlite_path(&self) -> PathBuf {
        self.folder.join("tessera.db")
    }
}

/// The store. Cheap to clone; the last clone that is dropped closes it.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    on: OnEngine,
    replica: Option<Replica>,
    clock: Clock,
    entropy: Entropy,
    vault: Vault,
    migrations_run: usize,
    is_read_only: bool,
}

enum OnEngine {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

/// Takes the data folder for this process. The file stays locked until the handle is dropped or the process ends, however.
pub fn lock_folder(folder: &Path) -> Result<std::fs::File, StoreError> {
    let path = folder.join("tessera.lock");
    let cannot = |e: std::io::Error| StoreError::setup(format!("the data folder {} cannot be used: {e}", folder.display()));
    std::fs::create_dir_all(folder).map_err(cannot)?;
    let file = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(cannot)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::setup(format!(
            "another tessera is running on the data folder {}: stop it, or give this one a folder of its own with --data",
            folder.display()
        ))),
        Err(std::fs::TryLockError::Error(error)) => Err(cannot(error)),
    }
}

/// Makes the data folder where it is missing, so that a power cut does not take the folder itself.
fn make_folder(folder: &Path) -> Result<(), StoreError> {
    let missing: Vec<&Path> = folder.ancestors().take_while(|part| !part.as_os_str().is_empty() && !part.exists()).collect();
    std::fs::create_dir_all(folder).map_err(|e| StoreError::setup(format!("the data folder {} cannot be made: {e}", folder.display())))?;
    missing.iter().filter_map(|part| part.parent()).try_for_each(sync_folder)
}

/// Puts the names in a folder on the disk.
fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let synced = std::fs::File::open(folder).and_then(|open| open.sync_all());
    synced.map_err(|e| StoreError::setup(format!("the folder {} cannot be written: check the disk ({e})", folder.display())))
}

impl Store {
    /// Opens the database, brings it up to date and recovers what a crash left. On SQLite the log is moved into the
    /// database before anybody is answered, so that the outcome of an unknown commit is settled.
    pub async fn open(config: Config) -> Result<Self, StoreError> {
        make_folder(&config.folder)?;
        let now = config.clock.now();
        let (on, migrations_run) = match &config.database_url {
            None => {
                // SQLite before 3.51.3 can corrupt a database when a log is reset (sqlite.org/wal.html).
                if rusqlite::version_number() < 3_051_003 {
                    return Err(StoreError::setup("this build has a SQLite older than 3.51.3, which can damage databases"));
                }
                let lock = lock_folder(&config.folder)?;
                let path = config.sqlite_path();
                let writer = sqlite::connect(&path, false, config.vfs.as_deref())?;
                let mode: String =
                    writer.query_row("pragma journal_mode = wal", [], |row| row.get(0)).map_err(|e| sqlite::broken(&path, e))?;
                if mode != "wal" {
                    return Err(StoreError::setup(format!(
                        "the folder {} cannot hold a write-ahead log: use a local disk",
                        config.folder.display()
                    )));
                }
                sqlite::settle(&writer, &path, config.vfs.as_deref())?;
                let run = migrate::sqlite(&writer, now)?;
                let setup = SqliteSetup {
                    path,
                    vfs: config.vfs.clone(),
                    lock: Some(lock),
                    clock: config.clock.clone(),
                    entropy: config.entropy.clone(),
                    limits: config.limits.clone(),
                    on_fatal: config.on_fatal.clone(),
                };
                (OnEngine::Sqlite(Sqlite::start(writer, setup)?), run)
            }
            Some(url) => {
                let postgres = Postgres::start(url, config.authorities_pem.as_deref(), &config.limits)?;
                let pool = crate::postgres::pool(url, config.authorities_pem.as_deref(), 1, Duration::ZERO)?;
                let client = pool.get().await.map_err(|error| {
                    StoreError::setup(format!(
                        "the database server cannot be used: {error}. Check the URL in --database and that the server runs"
                    ))
                })?;
                let version =
                    client.query_one("select current_setting('server_version_num')::bigint", &[]).await.map_err(StoreError::postgres)?;
                if version.get::<_, i64>(0) < 140_000 {
                    return Err(StoreError::setup("PostgreSQL 14 or newer is needed"));
                }
                let run = migrate::postgres(&client, now).await?;
                drop(deadpool_postgres::Object::take(client));
                (OnEngine::Postgres(postgres), run)
            }
        };
        let replica = match &config.replica_url {
            Some(_) if config.database_url.is_none() => {
                return Err(StoreError::setup("a replica for reads goes with PostgreSQL: name its primary with --database"));
            }
            Some(url) => Some(Replica::start(url, config.authorities_pem.as_deref(), &config.limits)?),
            None => None,
        };
        let key_file = config.key_file.clone().unwrap_or_else(|| config.folder.join("secret.key"));
        let vault = Vault::in_file(&key_file, config.entropy.clone())?;
        let (clock, entropy) = (config.clock, config.entropy);
        let store = Self(Arc::new(Inner { on, replica, clock, entropy, vault, migrations_run, is_read_only: false }));
        store.check_key(&key_file).await?;
        sync_folder(&config.folder)?;
        Ok(store)
    }

    /// Opens the database for reading alone, beside whichever process runs on it, or a replica of it: it takes no lock, runs no
    /// migration, makes no file and refuses every unit of work. What is sealed in the database cannot be opened by it.
    pub async fn open_read_only(config: Config) -> Result<Self, StoreError> {
        let on = match &config.database_url {
            None => {
                let path = config.sqlite_path();
                // Asking whether it is there opens nothing: closing a file of the database would drop SQLite's locks on it.
                if !path.exists() {
                    let folder = config.folder.display();
                    return Err(StoreError::setup(format!("{folder} holds no database: name the data folder with --data")));
                }
                let setup = SqliteSetup {
                    path,
                    vfs: config.vfs.clone(),
                    lock: None,
                    clock: config.clock.clone(),
                    entropy: config.entropy.clone(),
                    limits: config.limits.clone(),
                    on_fatal: config.on_fatal.clone(),
                };
                OnEngine::Sqlite(Sqlite::read_only(setup, READ_ONLY))
            }
            Some(url) => OnEngine::Postgres(Postgres::start(url, config.authorities_pem.as_deref(), &config.limits)?),
        };
        let (clock, entropy) = (config.clock, config.entropy);
        let vault = Vault::new(&entropy.bytes(), entropy.clone());
        let store = Self(Arc::new(Inner { on, clock, entropy, vault, replica: None, migrations_run: 0, is_read_only: true }));
        store.read().horizon().await?;
        Ok(store)
    }

    /// One consistent view of everything that is committed now, for as long as it is kept.
    pub async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let now = self.0.clock.now();
        match &self.0.on {
            OnEngine::Sqlite(sqlite) => Snapshot::of_sqlite(sqlite.readers().connect()?, now),
            OnEngine::Postgres(postgres) => Snapshot::of_postgres(postgres.connection().await?, now).await,
        }
    }

    /// Refuses a key that is not the one this database was begun with: after a restore, or on a second node.
    async fn check_key(&self, key_file: &Path) -> Result<(), StoreError> {
        static CALLER: Caller = Caller::system("start");
        let sealed = self.0.vault.seal(b"tessera", "key check");
        let kept = self
            .write(&CALLER, sealed, |tx, sealed| {
                Box::pin(async move {
                    tx.execute(&KEEP_KEY_CHECK, crate::params!["check", &sealed]).await?;
                    tx.row(&KEY_CHECK, crate::params!["check"], |row| row.get::<Vec<u8>>(0)).await
                })
            })
            .await?
            .unwrap_or_default();
        // Sealed anew in each database, so that it tells them apart. A replica that cannot be asked now may come later.
        if let Some(replica) = &self.0.replica
            && let Some(rows) = replica.rows(&KEY_CHECK, crate::params!["check"], |row| row.get::<Vec<u8>>(0)).await
            && rows.first().is_some_and(|of_replica| *of_replica != kept)
        {
            return Err(StoreError::setup("the database in --read-database is no replica of the one in --database"));
        }
        match self.0.vault.open(&kept, "key check") {
            Ok(_) => Ok(()),
            Err(_) => Err(StoreError::setup(format!(
                "{} is not the key that this database was begun with: put the right file there (it is not in backups, and it is the same on every node)",
                key_file.display()
            ))),
        }
    }

    /// How many migrations ran when the store was opened.
    pub fn migrations_run(&self) -> usize {
        self.0.migrations_run
    }

    /// Which engine answers.
    pub fn engine(&self) -> Engine {
        match self.0.on {
            OnEngine::Sqlite(_) => Engine::Sqlite,
            OnEngine::Postgres(_) => Engine::Postgres,
        }
    }

    /// The clock that units take their instant from.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Where random bytes come from.
    pub fn entropy(&self) -> &Entropy {
        &self.0.entropy
    }

    /// Seals secrets before they are stored.
    pub fn vault(&self) -> &Vault {
        &self.0.vault
    }

    /// A plain read: sees what is committed, and never queues behind a writer.
    pub fn read(&self) -> Read {
        Read { store: self.clone(), now: self.0.clock.now(), is_of_replica: false }
    }

    /// A plain read that may be a moment old: on the replica, where there is one that answers, and else as [`Store::read`].
    /// Once it was answered by the database itself it stays there, so that it never sees less than before.
    pub fn replica(&self) -> Read {
        Read { is_of_replica: self.0.replica.is_some(), ..self.read() }
    }

    /// Runs a unit of work and answers after the commit that covers it. An `Err` of the closure keeps nothing.
    pub async fn write<I, T, E, F>(&self, caller: &Caller, input: I, unit: F) -> Result<T, E>
    where
        F: for<'a> Fn(&'a mut Tx, I) -> Unit<'a, T, E> + Send + Sync + 'static,
        I: Clone + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        match &self.0.on {
            OnEngine::Sqlite(sqlite) => sqlite.write(caller, input, unit, false).await,
            OnEngine::Postgres(_) if self.0.is_read_only => Err(E::from(StoreError::Stopped { reason: READ_ONLY.into() })),
            OnEngine::Postgres(postgres) => postgres.write(caller, input, unit, &self.0.clock, &self.0.entropy).await,
        }
    }

    /// The same for work nobody waits for: it queues behind interactive units. Keep each below 20 ms and 500 rows a statement.
    pub async fn write_bulk<I, T, E, F>(&self, caller: &Caller, input: I, unit: F) -> Result<T, E>
    where
        F: for<'a> Fn(&'a mut Tx, I) -> Unit<'a, T, E> + Send + Sync + 'static,
        I: Clone + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        match &self.0.on {
            OnEngine::Sqlite(sqlite) => sqlite.write(caller, input, unit, true).await,
            OnEngine::Postgres(_) if self.0.is_read_only => Err(E::from(StoreError::Stopped { reason: READ_ONLY.into() })),
            OnEngine::Postgres(postgres) => postgres.write(caller, input, unit, &self.0.clock, &self.0.entropy).await,
        }
    }

    /// Finishes what was accepted and closes the database; later calls are refused.
    pub async fn close(&self) {
        if let Some(replica) = &self.0.replica {
            replica.close();
        }
        match &self.0.on {
            OnEngine::Postgres(postgres) => postgres.close(),
            OnEngine::Sqlite(_) => {
                let store = self.clone();
                let joined = tokio::task::spawn_blocking(move || {
                    if let OnEngine::Sqlite(sqlite) = &store.0.on {
                        sqlite.close();
                    }
                });
                let _ = joined.await;
            }
        }
    }
}

/// A plain read, outside of any unit of work. Each statement sees what was committed when it began.
pub struct Read {
    store: Store,
    now: Timestamp,
    is_of_replica: bool,
}

impl Read {
    /// Whether the next statement is put to a replica.
    pub fn is_of_replica(&self) -> bool {
        self.is_of_replica
    }

    /// What the replica answers, or nothing from now on.
    async fn of_replica<T: Send + 'static>(&mut self, sql: &'static Sql, params: &[P<'_>], map: Map<T>) -> Option<Vec<T>> {
        let answer = match &self.store.0.replica {
            Some(replica) if self.is_of_replica => replica.rows(sql, params, map).await,
            _ => None,
        };
        self.is_of_replica = answer.is_some();
        answer
    }
}

impl Reads for Read {
    fn engine(&self) -> Engine {
        self.store.engine()
    }

    fn now(&self) -> Timestamp {
        self.now
    }

    async fn row<T: Send + 'static>(&mut self, sql: &'static Sql, params: &[P<'_>], map: Map<T>) -> Result<Option<T>, StoreError> {
        check(params)?;
        if let Some(rows) = self.of_replica(sql, params, map).await {
            return Ok(rows.into_iter().next());
        }
        match &self.store.0.on {
            // A point read takes a few microseconds: less than handing it to another thread.
            OnEngine::Sqlite(sqlite) => match sqlite.readers().try_with(|connection| sqlite_row(connection, sql, params, map)) {
                Some(result) => result,
                None => sqlite.readers().with(|connection| sqlite_row(connection, sql, params, map)).await,
            },
            OnEngine::Postgres(postgres) => {
                let client = postgres.reader().await?;
                Ok(pg::rows(&client, sql, params, map).await.map_err(|f| f.error)?.into_iter().next())
            }
        }
    }

    async fn rows<T: Send + 'static>(&mut self, sql: &'static Sql, params: &[P<'_>], map: Map<T>) -> Result<Vec<T>, StoreError> {
        check(params)?;
        if let Some(rows) = self.of_replica(sql, params, map).await {
            return Ok(rows);
        }
        match &self.store.0.on {
            OnEngine::Sqlite(_) => {
                let params: Vec<P<'static>> = params.iter().map(|p| p.clone().into_owned()).collect();
                let (store, runtime) = (self.store.clone(), tokio::runtime::Handle::current());
                let read = move || {
                    let OnEngine::Sqlite(sqlite) = &store.0.on else { return Err(StoreError::Busy) };
                    runtime.block_on(sqlite.readers().with(|connection| sqlite_rows(connection, sql, &params, map)))
                };
                tokio::task::spawn_blocking(read).await.map_err(|_| StoreError::Stopped { reason: "it was shut down".into() })?
            }
            OnEngine::Postgres(postgres) => {
                let client = postgres.reader().await?;
                pg::rows(&client, sql, params, map).await.map_err(|f| f.error)
            }
        }
    }
}
