//! Connections for reads outside of units: they see what is committed, and wait for nobody.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::{Shared, connect, lock};
use crate::StoreError;
use crate::tx::Failure;

/// Readers at most.
const READERS_MAX: usize = 8;
/// Steps of SQLite's machine between two looks at the clock.
const STEPS: i32 = 20_000;

pub(crate) struct Readers {
    path: PathBuf,
    vfs: Option<String>,
    shared: Arc<Shared>,
    idle: Mutex<Vec<Reader>>,
    permits: Semaphore,
}

struct Reader {
    connection: Connection,
    deadline: Arc<AtomicI64>,
    epoch: Instant,
}

impl Readers {
    pub(super) fn new(path: PathBuf, vfs: Option<String>, shared: Arc<Shared>) -> Self {
        Self { path, vfs, shared, idle: Mutex::default(), permits: Semaphore::new(READERS_MAX) }
    }

    /// A connection of its own that only reads, and is not interrupted.
    pub(crate) fn connect(&self) -> Result<Connection, StoreError> {
        connect(&self.path, true, self.vfs.as_deref())
    }

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
        if let Some(reason) = self.shared.fatal.get() {
            return Err(StoreError::Stopped { reason: reason.clone() });
        }
        let taken = lock(&self.idle).pop();
        let reader = match taken {
            Some(reader) => reader,
            None => self.open()?,
        };
        let deadline = reader.epoch.elapsed() + self.shared.limits.read_time_max;
        reader.deadline.store(i64::try_from(deadline.as_millis()).unwrap_or(i64::MAX), Ordering::Relaxed);
        let result = work(&reader.connection).map_err(|failure| failure.error);
        lock(&self.idle).push(reader);
        result
    }

    /// A read that lasts keeps the log from being emptied. Interrupting one is harmless; a write is never interrupted, because
    /// SQLite would take the whole group's transaction back.
    fn open(&self) -> Result<Reader, StoreError> {
        let mut connection = connect(&self.path, true, self.vfs.as_deref())?;
        let (deadline, epoch) = (Arc::new(AtomicI64::new(i64::MAX)), Instant::now());
        let limit = deadline.clone();
        let late = move || i64::try_from(epoch.elapsed().as_millis()).unwrap_or(i64::MAX) > limit.load(Ordering::Relaxed);
        connection.progress_handler(STEPS, Some(late)).map_err(StoreError::sqlite)?;
        Ok(Reader { connection, deadline, epoch })
    }
}
