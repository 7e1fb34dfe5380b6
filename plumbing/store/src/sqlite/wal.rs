//! The write-ahead log: settled at the start, emptied while the store runs, bounded under constant writes.

use std::fs::OpenOptions;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use rusqlite::Connection;

use super::{BUSY_TIMEOUT, Shared, broken, lock};
use crate::StoreError;

/// What a page in the log is preceded by.
pub(super) const FRAME_HEADER_BYTES: u64 = 24;
/// How long the writer waits, once the log has reached the brake, for reads that began before; later ones do not need the log.
const BRAKE_TIMEOUT: Duration = Duration::from_millis(50);

/// The log of the database at `path`.
pub(super) fn path(path: &Path) -> PathBuf {
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    wal.into()
}

/// Makes what this process sees in the log what the disk holds, then moves it into the database, so that the outcome of
/// every unknown commit is settled before anybody is answered.
///
/// After a failed fsync the system may show pages that it never wrote and will never write again, as it takes them for
/// clean. A checkpoint from such a log that a power cut interrupts leaves a database that its log cannot mend. So the log is
/// written again, byte for byte, and synced, before anything is taken from it.
pub(crate) fn settle(writer: &Connection, path: &Path, vfs: Option<&str>) -> Result<(), StoreError> {
    let of_sqlite = |error| broken(path, error);
    writer.execute_batch("begin immediate").map_err(of_sqlite)?;
    let rewritten = rewrite(&self::path(path), vfs);
    writer.execute_batch("rollback").map_err(of_sqlite)?;
    rewritten.map_err(|e| StoreError::setup(format!("the log of {} cannot be written: check the disk ({e})", path.display())))?;
    // Somebody who reads the file (a backup, say) may keep the log from being emptied; it is on the disk all the same.
    writer.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(())).map_err(of_sqlite)
}

/// Plain file calls are safe here: SQLite holds no locks on the log, only on the database and its -shm.
fn rewrite(wal: &Path, vfs: Option<&str>) -> io::Result<()> {
    let mut file = match OpenOptions::new().read(true).write(true).open(wal) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let (mut at, mut chunk) = (0_u64, vec![0; 1 << 20]);
    loop {
        file.seek(SeekFrom::Start(at))?;
        let length = file.read(&mut chunk)?;
        if length == 0 {
            break;
        }
        file.seek(SeekFrom::Start(at))?;
        file.write_all(&chunk[..length])?;
        #[cfg(feature = "testing")]
        crate::testing::disk::wrote_beside(vfs, wal, at, &chunk[..length]);
        at += length as u64;
    }
    file.sync_all()?;
    #[cfg(feature = "testing")]
    crate::testing::disk::synced_beside(vfs, wal);
    #[cfg(not(feature = "testing"))]
    let _ = vfs;
    Ok(())
}

/// Lets the writer's connection say after every commit how long the log is.
pub(super) fn measure(writer: &mut Connection, shared: &Arc<Shared>) -> rusqlite::Result<()> {
    let page_bytes: u32 = writer.query_row("pragma page_size", [], |row| row.get(0))?;
    let limit = i64::try_from(shared.limits.wal_brake_bytes).unwrap_or(i64::MAX);
    // A log that has outgrown the brake once is cut back when it starts over.
    writer.pragma_update_and_check(None, "journal_size_limit", limit, |_| Ok(()))?;
    let shared = Arc::downgrade(shared);
    writer.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: std::ffi::c_int| {
        if let Some(shared) = shared.upgrade() {
            shared.set_wal_bytes(u64::try_from(pages).unwrap_or(0), u64::from(page_bytes));
        }
        Ok(())
    }))
}

/// Moves the log into the database while units go on, so that committing never has to.
pub(super) fn checkpoint_loop(connection: &Connection, shared: &Shared) {
    let (mut is_warned, mut has_failed) = (false, false);
    let mut queues = lock(&shared.queues);
    while queues.closed.is_none() {
        drop(queues);
        // Asking for the size opens nothing: closing a file of the database inside the process would drop SQLite's locks.
        let bytes = std::fs::metadata(&shared.wal).map_or(0, |wal| wal.len());
        metrics::gauge!("store_wal_bytes").set(bytes as f64);
        if shared.wal_bytes.load(Ordering::Relaxed) > shared.limits.wal_checkpoint_bytes {
            let done = connection.query_row("pragma wal_checkpoint(passive)", [], |_| Ok(()));
            // Nothing is lost by it: the log keeps what could not be moved, and the next round writes it again.
            if let Err(error) = &done
                && !has_failed
            {
                metrics::counter!("store_checkpoint_failures_total").increment(1);
                tracing::error!(%error, "the log cannot be moved into the database: check the disk (space, `dmesg`)");
            }
            has_failed = done.is_err();
        }
        let is_large = bytes > 4 * shared.limits.wal_brake_bytes;
        if is_large && !is_warned {
            tracing::warn!(bytes, "the write-ahead log is large: something holds a read open, or the disk is too slow");
        }
        is_warned = is_large;
        queues = lock(&shared.queues);
        if queues.closed.is_none() {
            queues = shared.closing.wait_timeout(queues, shared.limits.wal_look_every).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Under constant writes the thread's checkpoint never reaches the end of the log, so that the log never starts over. Beyond
/// the brake the writer itself finishes the checkpoint, between two groups.
pub(super) struct Brake {
    next_bytes: u64,
}

impl Brake {
    pub(super) fn new(shared: &Shared) -> Self {
        Self { next_bytes: shared.limits.wal_brake_bytes }
    }

    pub(super) fn pull(&mut self, writer: &Connection, shared: &Shared) {
        let (bytes, limit) = (shared.wal_bytes.load(Ordering::Relaxed), shared.limits.wal_brake_bytes);
        if bytes < self.next_bytes {
            if bytes < limit {
                self.next_bytes = limit;
            }
            return;
        }
        let _ = writer.busy_timeout(BRAKE_TIMEOUT);
        let is_busy = writer.query_row("pragma wal_checkpoint(restart)", [], |row| row.get::<_, i64>(0)).unwrap_or(1) != 0;
        let _ = writer.busy_timeout(BUSY_TIMEOUT);
        // A reader that stays (a backup) is not worth a pause at every group.
        self.next_bytes = if is_busy { bytes + limit / 4 } else { limit };
    }
}
