//! SQLite: one writer thread that commits the units of many callers with one fsync, and readers of their own.

mod readers;
mod wal;
mod writer;

use std::collections::VecDeque;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use kernel::{Caller, Clock, Entropy};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::oneshot;

use crate::tx::{On, Tx, Unit};
use crate::{Limits, OnFatal, StoreError};

use readers::Readers;
use writer::{Queued, Waiting};

pub(crate) use wal::settle;

/// More waiting units than this are refused: the disk will not catch up in time for anybody.
const QUEUE_MAX: usize = 20_000;
/// How long a connection waits for another process that holds the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Guards a mutex whose holder panicked: the data behind these locks is valid between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens a connection with the settings that every connection of Tessera has. Triggers see the deletes of `insert or replace`
/// (`recursive_triggers`), and nothing is checkpointed by whoever happens to commit (`wal_autocheckpoint = 0`).
pub(crate) fn connect(path: &Path, read_only: bool, vfs: Option<&str>) -> Result<Connection, StoreError> {
    let flags = if read_only {
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX
    } else {
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX
    };
    let opened = match vfs {
        Some(vfs) => Connection::open_with_flags_and_vfs(path, flags, vfs),
        None => Connection::open_with_flags(path, flags),
    };
    let connection = opened.map_err(|error| broken(path, error))?;
    let settings = "pragma foreign_keys = on; pragma recursive_triggers = on; pragma trusted_schema = off; \
                    pragma temp_store = memory; pragma synchronous = full; pragma wal_autocheckpoint = 0;";
    let set = connection.busy_timeout(BUSY_TIMEOUT).and_then(|()| connection.execute_batch(settings));
    set.map_err(|error| broken(path, error))?;
    connection.pragma_update(None, "cache_size", if read_only { -4_096 } else { -16_384 }).map_err(|error| broken(path, error))?;
    rusqlite::vtab::array::load_module(&connection).map_err(|error| broken(path, error))?;
    connection.set_prepared_statement_cache_capacity(512);
    // A statement is planned once, not anew with every pattern that is bound to its `like`: planning costs more than most reads.
    let planned_once = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true);
    planned_once.map_err(|error| broken(path, error))?;
    Ok(connection)
}

/// What a failure to open the database means for whoever runs it.
pub(crate) fn broken(path: &Path, error: rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode::{CannotOpen, DatabaseCorrupt, NotADatabase, PermissionDenied, ReadOnly, SystemIoFailure};
    let advice = match error.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase) => {
            "is damaged: keep a copy of its folder, then `tessera restore` the newest backup into a new one"
        }
        Some(CannotOpen | PermissionDenied | ReadOnly) => {
            "cannot be opened for writing: check that it and its folder belong to the user that runs tessera"
        }
        Some(SystemIoFailure) => "cannot be read or written: check the disk (`dmesg`)",
        _ => return StoreError::sqlite(error),
    };
    StoreError::setup(format!("the database {} {advice} ({error})", path.display()))
}

#[derive(Default)]
struct Queues {
    interactive: VecDeque<Box<dyn Waiting>>,
    bulk: VecDeque<Box<dyn Waiting>>,
    /// Why nothing is accepted any more.
    closed: Option<String>,
}

struct Shared {
    queues: Mutex<Queues>,
    /// Units wait, or the store was closed: for the writer.
    wake: Condvar,
    /// The store was closed: for the checkpointing thread, which otherwise sleeps.
    closing: Condvar,
    wal: PathBuf,
    /// How much of the log is in use, as the last commit said; the file may be longer.
    wal_bytes: AtomicU64,
    limits: Limits,
    on_fatal: OnFatal,
    /// Why the process must not go on: neither reads nor units are answered any more.
    fatal: OnceLock<String>,
}

/// The engine: its threads, its readers, and the queue between callers and the writer.
pub(crate) struct Sqlite {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    readers: Readers,
    /// Held for the life of the store: a second process is refused by it.
    _lock: Option<std::fs::File>,
}

pub(crate) struct SqliteSetup {
    pub(crate) path: PathBuf,
    pub(crate) vfs: Option<String>,
    pub(crate) lock: Option<std::fs::File>,
    pub(crate) clock: Clock,
    pub(crate) entropy: Entropy,
    pub(crate) limits: Limits,
    pub(crate) on_fatal: OnFatal,
}

impl Sqlite {
    /// Takes over an open, migrated connection as the writer's.
    pub(crate) fn start(mut writer: Connection, setup: SqliteSetup) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared {
            queues: Mutex::default(),
            wake: Condvar::new(),
            closing: Condvar::new(),
            wal: wal::path(&setup.path),
            wal_bytes: AtomicU64::new(0),
            limits: setup.limits,
            on_fatal: setup.on_fatal,
            fatal: OnceLock::new(),
        });
        wal::measure(&mut writer, &shared).map_err(StoreError::sqlite)?;
        let tx = Tx::new(On::Sqlite(writer), Caller::system("idle"), &setup.clock, &setup.entropy);
        let checkpointer = connect(&setup.path, false, setup.vfs.as_deref())?;
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.into()).spawn(work).map_err(|e| StoreError::setup(format!("cannot start a thread: {e}")))
        };
        let (writing, checkpointing) = (shared.clone(), shared.clone());
        let threads = vec![
            spawn("store-writer", Box::new(move || writer::run(tx, &writing)))?,
            spawn("store-checkpoint", Box::new(move || wal::checkpoint_loop(&checkpointer, &checkpointing)))?,
        ];
        let readers = Readers::new(setup.path, setup.vfs, shared.clone());
        Ok(Self { shared, threads: Mutex::new(threads), readers, _lock: setup.lock })
    }

    /// Readers alone, beside whichever process writes: no thread is started, no unit is taken.
    pub(crate) fn read_only(setup: SqliteSetup, reason: &str) -> Self {
        let queues = Queues { closed: Some(reason.to_owned()), ..Queues::default() };
        let shared = Arc::new(Shared {
            queues: Mutex::new(queues),
            wake: Condvar::new(),
            closing: Condvar::new(),
            wal: wal::path(&setup.path),
            wal_bytes: AtomicU64::new(0),
            limits: setup.limits,
            on_fatal: setup.on_fatal,
            fatal: OnceLock::new(),
        });
        let readers = Readers::new(setup.path, setup.vfs, shared.clone());
        Self { shared, threads: Mutex::default(), readers, _lock: None }
    }

    pub(crate) async fn write<I, T, E, F>(&self, caller: &Caller, input: I, unit: F, bulk: bool) -> Result<T, E>
    where
        F: for<'a> Fn(&'a mut Tx, I) -> Unit<'a, T, E> + Send + 'static,
        I: Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let queued = Box::new(Queued::new(caller.clone(), input, unit, reply));
        let is_first = {
            let mut queues = lock(&self.shared.queues);
            if let Some(reason) = &queues.closed {
                return Err(E::from(StoreError::Stopped { reason: reason.clone() }));
            }
            let is_first = queues.interactive.is_empty() && queues.bulk.is_empty();
            let queue = if bulk { &mut queues.bulk } else { &mut queues.interactive };
            if queue.len() >= QUEUE_MAX {
                return Err(E::from(StoreError::Busy));
            }
            queue.push_back(queued);
            is_first
        };
        // The writer sleeps only while both queues are empty.
        if is_first {
            self.shared.wake.notify_one();
        }
        match answer.await {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => resume_unwind(panic),
            // The writer went away with the unit in its hands.
            Err(_) => Err(E::from(StoreError::OutcomeUnknown)),
        }
    }

    pub(crate) fn readers(&self) -> &Readers {
        &self.readers
    }

    /// Finishes what was accepted, then ends both threads.
    pub(crate) fn close(&self) {
        lock(&self.shared.queues).closed.get_or_insert_with(|| "it was shut down".into());
        self.shared.wake.notify_all();
        self.shared.closing.notify_all();
        for thread in lock(&self.threads).drain(..) {
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    /// Ends the store: what waits is refused, what comes is refused, and the process is asked to end.
    fn stop(&self, reason: &str) {
        let _ = self.fatal.set(reason.to_owned());
        let abandoned = {
            let mut queues = lock(&self.queues);
            queues.closed = Some(reason.to_owned());
            let queues = &mut *queues;
            queues.interactive.drain(..).chain(queues.bulk.drain(..)).collect::<Vec<_>>()
        };
        for unit in abandoned {
            unit.answer(Err(StoreError::Stopped { reason: reason.to_owned() }));
        }
        self.closing.notify_all();
        (self.on_fatal)(reason);
    }

    fn set_wal_bytes(&self, pages: u64, page_bytes: u64) {
        self.wal_bytes.store(pages * (page_bytes + wal::FRAME_HEADER_BYTES), Ordering::Relaxed);
    }
}
