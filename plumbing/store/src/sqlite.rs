//! SQLite: one writer thread that commits the units of many callers with one fsync, and readers of their own.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kernel::{Caller, Clock, Entropy};
use rusqlite::{Connection, OpenFlags};
use tokio::sync::{Semaphore, oneshot};

use crate::tx::{Failure, On, Tx, Unit};
use crate::{OnFatal, StoreError};

/// At most this many units share one commit.
const GROUP_MAX: usize = 512;
/// A group is committed at the latest when its units have run for this long.
const GROUP_TIME_MAX: Duration = Duration::from_millis(20);
/// More waiting units than this are refused: the disk will not catch up in time for anybody.
const QUEUE_MAX: usize = 20_000;
/// A read transaction that lasts longer keeps the log from being checkpointed.
const READ_TIME_MAX: Duration = Duration::from_secs(5);
/// The log's size from which the checkpointing thread works, in bytes.
const WAL_CHECKPOINT_BYTES: u64 = 4 << 20;
/// The log's size from which the writer itself stops for a checkpoint, so that it cannot grow without end.
const WAL_BRAKE_BYTES: u64 = 64 << 20;
/// Readers at most.
const READERS_MAX: usize = 8;

/// Guards a mutex whose holder panicked: the data behind these locks is valid between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens a connection with the settings that every connection of Tessera has.
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
    let settings = "pragma busy_timeout = 5000; pragma foreign_keys = on; pragma recursive_triggers = on; pragma trusted_schema = off; \
                    pragma temp_store = memory; pragma synchronous = full; pragma wal_autocheckpoint = 0;";
    connection.execute_batch(settings).map_err(|error| broken(path, error))?;
    connection.pragma_update(None, "cache_size", if read_only { -4_096 } else { -16_384 }).map_err(StoreError::sqlite)?;
    connection.set_prepared_statement_cache_capacity(512);
    Ok(connection)
}

fn broken(path: &Path, error: rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode::{CannotOpen, DatabaseCorrupt, NotADatabase, PermissionDenied, ReadOnly};
    let advice = match error.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase) => "is damaged: keep a copy of it, then `tessera restore` the newest backup",
        Some(CannotOpen | PermissionDenied | ReadOnly) => {
            "cannot be opened for writing: check that it and its folder belong to the user that runs tessera"
        }
        _ => return StoreError::sqlite(error),
    };
    StoreError::setup(format!("the database {} {advice} ({error})", path.display()))
}

/// A unit of work that waits for its turn.
trait Waiting: Send {
    /// Whether anybody still wants the answer.
    fn wanted(&self) -> bool;
    /// Runs it inside a savepoint; true means that its effect is to be kept.
    fn run(&mut self, tx: &mut Tx) -> bool;
    /// Answers, once the commit that covers the group has succeeded (or says why it did not).
    fn answer(self: Box<Self>, group: Result<(), StoreError>);
}

struct Queued<I, T, E, F> {
    caller: Option<Caller>,
    input: Option<I>,
    unit: F,
    result: Option<std::thread::Result<Result<T, E>>>,
    reply: Option<oneshot::Sender<std::thread::Result<Result<T, E>>>>,
}

impl<I, T, E, F> Waiting for Queued<I, T, E, F>
where
    F: for<'a> Fn(&'a mut Tx, I) -> Unit<'a, T, E> + Send,
    I: Send,
    T: Send,
    E: From<StoreError> + Send,
{
    fn wanted(&self) -> bool {
        self.reply.as_ref().is_some_and(|reply| !reply.is_closed())
    }

    fn run(&mut self, tx: &mut Tx) -> bool {
        let Some((input, caller)) = self.input.take().zip(self.caller.take()) else { return false };
        tx.now = tx.clock.now();
        tx.caller = caller;
        tx.hooks.clear();
        (tx.poisoned, tx.collided) = (false, false);
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let mut future = (self.unit)(tx, input);
            match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(result) => result,
                Poll::Pending => Err(E::from(StoreError::WaitedForSomethingElse)),
            }
        }));
        let result = polled.map(|result| tx.verdict(result));
        let keep = matches!(result, Ok(Ok(_)));
        self.result = Some(result);
        keep
    }

    fn answer(mut self: Box<Self>, group: Result<(), StoreError>) {
        let Some(reply) = self.reply.take() else { return };
        let answer = match (group, self.result.take()) {
            (Ok(()), Some(result)) => result,
            // An error may rest on a neighbour's row that was not kept either, so that nobody of the group gets their own.
            (Err(error), _) => Ok(Err(E::from(error))),
            (Ok(()), None) => return,
        };
        // The caller may have hung up; the effect stands all the same.
        let _ = reply.send(answer);
    }
}

#[derive(Default)]
struct Queues {
    interactive: VecDeque<Box<dyn Waiting>>,
    bulk: VecDeque<Box<dyn Waiting>>,
    closed: Option<String>,
}

struct Shared {
    queues: Mutex<Queues>,
    wake: Condvar,
    wal: PathBuf,
    stopping: AtomicBool,
    on_fatal: OnFatal,
}

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
    pub(crate) on_fatal: OnFatal,
}

impl Sqlite {
    /// Takes over an open, migrated connection as the writer's.
    pub(crate) fn start(writer: Connection, setup: SqliteSetup) -> Result<Self, StoreError> {
        let mut wal = setup.path.clone().into_os_string();
        wal.push("-wal");
        let shared = Arc::new(Shared {
            queues: Mutex::default(),
            wake: Condvar::new(),
            wal: wal.into(),
            stopping: AtomicBool::new(false),
            on_fatal: setup.on_fatal,
        });
        let tx = Tx::new(On::Sqlite(writer), Caller::system("idle"), &setup.clock, &setup.entropy);
        let checkpointer = connect(&setup.path, false, setup.vfs.as_deref())?;
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.into()).spawn(work).map_err(|e| StoreError::setup(format!("cannot start a thread: {e}")))
        };
        let (writing, checkpointing) = (shared.clone(), shared.clone());
        let threads = vec![
            spawn("store-writer", Box::new(move || write_loop(tx, &writing)))?,
            spawn("store-checkpoint", Box::new(move || checkpoint_loop(&checkpointer, &checkpointing)))?,
        ];
        let readers = Readers { path: setup.path, vfs: setup.vfs, idle: Mutex::default(), permits: Semaphore::new(READERS_MAX) };
        Ok(Self { shared, threads: Mutex::new(threads), readers, _lock: setup.lock })
    }

    pub(crate) async fn write<I, T, E, F>(&self, caller: &Caller, input: I, unit: F, bulk: bool) -> Result<T, E>
    where
        F: for<'a> Fn(&'a mut Tx, I) -> Unit<'a, T, E> + Send + 'static,
        I: Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let queued = Box::new(Queued { caller: Some(caller.clone()), input: Some(input), unit, result: None, reply: Some(reply) });
        {
            let mut queues = lock(&self.shared.queues);
            if let Some(reason) = &queues.closed {
                return Err(E::from(StoreError::Stopped { reason: reason.clone() }));
            }
            let queue = if bulk { &mut queues.bulk } else { &mut queues.interactive };
            if queue.len() >= QUEUE_MAX {
                return Err(E::from(StoreError::Busy));
            }
            queue.push_back(queued);
        }
        self.shared.wake.notify_one();
        match answer.await {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => resume_unwind(panic),
            Err(_) => Err(E::from(StoreError::Stopped { reason: "it was shut down".into() })),
        }
    }

    pub(crate) fn readers(&self) -> &Readers {
        &self.readers
    }

    /// Finishes what was accepted, then ends both threads.
    pub(crate) fn close(&self) {
        lock(&self.shared.queues).closed.get_or_insert_with(|| "it was shut down".into());
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.shared.wake.notify_all();
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

fn write_loop(mut tx: Tx, shared: &Shared) {
    loop {
        let mut group: Vec<Box<dyn Waiting>> = Vec::new();
        {
            let mut queues = lock(&shared.queues);
            while queues.interactive.is_empty() && queues.bulk.is_empty() {
                if queues.closed.is_some() {
                    drop(queues);
                    if let On::Sqlite(connection) = &tx.on {
                        let _ = connection.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(()));
                    }
                    return;
                }
                queues = shared.wake.wait(queues).unwrap_or_else(PoisonError::into_inner);
            }
            let take = queues.interactive.len().min(GROUP_MAX);
            group.extend(queues.interactive.drain(..take));
            // One bulk unit a group: they neither starve nor hold others for longer than one chunk.
            group.extend(queues.bulk.pop_front());
        }
        if let Err(fatal) = run_group(&mut tx, group, shared) {
            stop(shared, &fatal);
            return;
        }
        if std::fs::metadata(&shared.wal).is_ok_and(|wal| wal.len() > WAL_BRAKE_BYTES)
            && let On::Sqlite(connection) = &tx.on
        {
            let _ = connection.query_row("pragma wal_checkpoint(passive)", [], |_| Ok(()));
        }
    }
}

/// Runs the units of a group and commits them together. An error means that the process must not go on.
fn run_group(tx: &mut Tx, group: Vec<Box<dyn Waiting>>, shared: &Shared) -> Result<(), String> {
    let started = Instant::now();
    let mut ran: Vec<(Box<dyn Waiting>, bool)> = Vec::with_capacity(group.len());
    let mut hooks: Vec<Box<dyn FnOnce() + Send>> = Vec::new();
    let mut pending: VecDeque<_> = group.into();
    let outcome = (|| {
        batch(tx, "begin immediate")?;
        while let Some(mut unit) = pending.pop_front() {
            if !unit.wanted() {
                continue;
            }
            batch(tx, "savepoint unit")?;
            let keep = unit.run(tx);
            let own_hooks = std::mem::take(&mut tx.hooks);
            ran.push((unit, keep));
            // After SQLITE_FULL, RAISE(ROLLBACK) and the like the whole transaction is gone, and the next savepoint would
            // open one of its own that nothing commits together with the rest.
            if is_autocommit(tx) {
                return Err(StoreError::not_committed("the database gave up the whole group of units"));
            }
            if keep {
                hooks.extend(own_hooks);
            } else {
                batch(tx, "rollback to unit")?;
            }
            batch(tx, "release unit")?;
            if started.elapsed() > GROUP_TIME_MAX {
                break;
            }
        }
        Ok(())
    })();
    if let Err(error) = outcome {
        // Nothing of the group is kept; whoever has not run yet gets another turn.
        if !is_autocommit(tx) && batch(tx, "rollback").is_err() {
            return fail_unknown(ran, "a rollback failed");
        }
        let reason = error.to_string();
        for (unit, _) in ran {
            unit.answer(Err(StoreError::not_committed(reason.clone())));
        }
        requeue(shared, pending);
        return Ok(());
    }
    if ran.iter().all(|(_, keep)| !keep) {
        // Nothing to keep, yet an answer may rest on what the last commit made durable, which it already is.
        batch(tx, "rollback").map_err(|e| e.to_string())?;
    } else if let Err(Failure { error, .. }) = commit(tx) {
        // A full disk is noticed before the commit mark is written, and the rollback proves it. Any other failure leaves
        // the outcome open: the mark may be on its way to the disk.
        if matches!(error, StoreError::NotCommitted { .. }) && !is_autocommit(tx) && batch(tx, "rollback").is_ok() {
            for (unit, _) in ran {
                unit.answer(Err(StoreError::not_committed("the disk is full, free some space")));
            }
            requeue(shared, pending);
            return Ok(());
        }
        return fail_unknown(ran, "a commit failed");
    }
    metrics::counter!("store_units_total").increment(ran.len() as u64);
    metrics::counter!("store_commits_total").increment(1);
    for hook in hooks {
        hook();
    }
    for (unit, _) in ran {
        unit.answer(Ok(()));
    }
    requeue(shared, pending);
    Ok(())
}

fn fail_unknown(ran: Vec<(Box<dyn Waiting>, bool)>, what: &str) -> Result<(), String> {
    for (unit, _) in ran {
        unit.answer(Err(StoreError::OutcomeUnknown));
    }
    Err(format!(
        "{what}: what the disk holds is not known. The process ends so that a start can find out. Check the disk \
         (space, `dmesg`), then start tessera again"
    ))
}

fn requeue(shared: &Shared, pending: VecDeque<Box<dyn Waiting>>) {
    if !pending.is_empty() {
        let mut queues = lock(&shared.queues);
        for unit in pending.into_iter().rev() {
            queues.interactive.push_front(unit);
        }
    }
}

fn stop(shared: &Shared, reason: &str) {
    let abandoned = {
        let mut queues = lock(&shared.queues);
        queues.closed = Some(reason.to_owned());
        let queues = &mut *queues;
        queues.interactive.drain(..).chain(queues.bulk.drain(..)).collect::<Vec<_>>()
    };
    for unit in abandoned {
        unit.answer(Err(StoreError::Stopped { reason: reason.to_owned() }));
    }
    (shared.on_fatal)(reason);
}

fn batch(tx: &Tx, sql: &'static str) -> Result<(), StoreError> {
    let On::Sqlite(connection) = &tx.on else { return Ok(()) };
    let done = connection.prepare_cached(sql).and_then(|mut statement| statement.execute([]));
    done.map(|_| ()).map_err(StoreError::sqlite)
}

fn commit(tx: &Tx) -> Result<(), Failure> {
    let On::Sqlite(connection) = &tx.on else { return Ok(()) };
    connection.prepare_cached("commit")?.execute([])?;
    Ok(())
}

fn is_autocommit(tx: &Tx) -> bool {
    matches!(&tx.on, On::Sqlite(connection) if connection.is_autocommit())
}

fn checkpoint_loop(connection: &Connection, shared: &Shared) {
    let mut is_warned = false;
    while !shared.stopping.load(Ordering::SeqCst) {
        // Asking for the size opens nothing: closing a file of the database inside the process would drop SQLite's locks.
        let bytes = std::fs::metadata(&shared.wal).map_or(0, |wal| wal.len());
        metrics::gauge!("store_wal_bytes").set(bytes as f64);
        if bytes > WAL_CHECKPOINT_BYTES {
            let _ = connection.query_row("pragma wal_checkpoint(passive)", [], |_| Ok(()));
        }
        if bytes > 4 * WAL_BRAKE_BYTES && !is_warned {
            tracing::warn!(bytes, "the write-ahead log is large: something holds a read open, or the disk is too slow");
        }
        is_warned = bytes > 4 * WAL_BRAKE_BYTES;
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Connections for reads outside of units: they see what is committed, and wait for nobody.
pub(crate) struct Readers {
    path: PathBuf,
    vfs: Option<String>,
    idle: Mutex<Vec<Reader>>,
    permits: Semaphore,
}

struct Reader {
    connection: Connection,
    deadline: Arc<AtomicI64>,
    epoch: Instant,
}

impl Readers {
    /// Lends a connection to `work`, which is interrupted when it takes longer than a read may.
    pub(crate) async fn with<R>(&self, work: impl FnOnce(&Connection) -> Result<R, Failure>) -> Result<R, StoreError> {
        let _permit = self.permits.acquire().await.map_err(|_| StoreError::Busy)?;
        self.lend(work)
    }

    /// Lends a connection at once, or none when all are in use.
    pub(crate) fn try_with<R>(&self, work: impl FnOnce(&Connection) -> Result<R, Failure>) -> Option<Result<R, StoreError>> {
        let _permit = self.permits.try_acquire().ok()?;
        Some(self.lend(work))
    }

    fn lend<R>(&self, work: impl FnOnce(&Connection) -> Result<R, Failure>) -> Result<R, StoreError> {
        let taken = lock(&self.idle).pop();
        let reader = match taken {
            Some(reader) => reader,
            None => self.open()?,
        };
        let deadline = reader.epoch.elapsed() + READ_TIME_MAX;
        reader.deadline.store(i64::try_from(deadline.as_millis()).unwrap_or(i64::MAX), Ordering::Relaxed);
        let result = work(&reader.connection).map_err(|failure| failure.error);
        lock(&self.idle).push(reader);
        result
    }

    fn open(&self) -> Result<Reader, StoreError> {
        let mut connection = connect(&self.path, true, self.vfs.as_deref())?;
        let (deadline, epoch) = (Arc::new(AtomicI64::new(i64::MAX)), Instant::now());
        let limit = deadline.clone();
        let late = move || i64::try_from(epoch.elapsed().as_millis()).unwrap_or(i64::MAX) > limit.load(Ordering::Relaxed);
        connection.progress_handler(20_000, Some(late)).map_err(StoreError::sqlite)?;
        Ok(Reader { connection, deadline, epoch })
    }
}
