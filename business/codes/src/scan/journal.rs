//! The journal: where a scan is before it is answered, and until it is counted.
//!
//! A folder of preallocated segment files, each mapped into memory. [`Journal::append`] claims a slot with one atomic
//! addition, stores the record's words and then, with `Release`, the commit word. From then on the record is in the
//! page cache, so it survives the end of the process by any means; every 200 ms a thread brings what is new to the disk,
//! so that a power cut may cost the last 200 ms.
//!
//! - Space is allocated when a segment is made (`posix_fallocate`), ahead of need and off the path of a scan. So a full
//!   disk shows there, as an error, and not as a signal in the middle of a store to the mapping.
//! - Without a further segment `append` refuses at once: the scan is answered all the same, because a printed code that
//!   leads nowhere costs more than a number that is low. [`Journal::health`] then says so, which turns readiness red, and
//!   `refused` counts what was not recorded.
//! - A process never appends to a segment of an earlier one. What it finds is read to its end: slots without a commit word
//!   were claimed but never answered, and those whose checksum fails were torn by a power cut; both are skipped.
//! - One process holds the folder (a lock on the file `node`, which also holds the folder's random name).
//! - Backup: [`backup`] copies the folder *before* the database is backed up. The database holds the position up to which
//!   it has counted, so whatever the copy holds before that position is ignored after a restore, and whatever is behind it
//!   is counted. (The other order could miss a segment that was counted and deleted between the two.)

mod folder;
mod segment;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

pub use folder::{Folder, JournalError, backup};
use folder::{Sealed, io_error, segments_in};
pub use segment::SLOT_BYTES;
use segment::{HEADER_BYTES, Segment, Slot};

use super::record::{Record, WORDS};

/// How often what is new is brought to the disk.
const SYNC_EVERY: Duration = Duration::from_millis(200);

/// Where a record stands: the segment's number and the slot in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Position {
    /// The segment's number, from 1.
    pub segment: u64,
    /// The slot, from 0.
    pub slot: u64,
}

/// How the journal does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Scans are recorded and reach the disk.
    Good,
    /// There is no room for a further segment: scans are answered but not recorded.
    Full,
    /// The disk refused to take what was written: a power cut may cost more than 200 ms.
    Unsynced,
    /// Scans are recorded, but the database does not take their counts; they wait in the journal.
    Uncounted,
}

struct Shared {
    folder: Folder,
    slots: u64,
    current: RwLock<Arc<Segment>>,
    sealed: Mutex<Vec<Sealed>>,
    /// Full segments whose last records are not on the disk yet.
    unsynced: Mutex<Vec<Arc<Segment>>>,
    spare: Mutex<Option<Arc<Segment>>>,
    wake: Condvar,
    /// Held while a segment is made and put in place, so that no number is made twice.
    making: Mutex<()>,
    /// The current segment's number.
    number: AtomicU64,
    /// Slots of this process's earlier segments.
    filled: AtomicU64,
    refused: AtomicU64,
    torn: AtomicU64,
    is_full: AtomicBool,
    is_sync_failing: AtomicBool,
    is_stopping: AtomicBool,
}

/// The open journal. Dropping it without [`Journal::close`] is what `kill -9` does, except that its threads end.
pub struct Journal {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").field("node", &self.node()).field("appended", &self.appended()).finish_non_exhaustive()
    }
}

impl Journal {
    /// Opens the journal: everything found in the folder is sealed, and a new segment begins, numbered above both what is
    /// found and `counted`, the segment up to which the database has counted (files that were lost must not bring a number
    /// back that is counted already). `segment_bytes` is the size of the segments made from now on.
    pub fn open(folder: Folder, counted: u64, segment_bytes: usize) -> Result<Self, JournalError> {
        let mut sealed = segments_in(&folder.path)?;
        sealed.sort_by_key(|segment| segment.number);
        let number = sealed.last().map_or(0, |last| last.number).max(counted) + 1;
        let slots = (segment_bytes.saturating_sub(HEADER_BYTES) / SLOT_BYTES).clamp(1, 1 << 30) as u64;
        let current = Segment::create(&folder.path, number, folder.node, slots)?;
        let shared = Arc::new(Shared {
            folder,
            slots,
            current: RwLock::new(current),
            sealed: Mutex::new(sealed),
            unsynced: Mutex::default(),
            spare: Mutex::default(),
            wake: Condvar::new(),
            making: Mutex::default(),
            number: AtomicU64::new(number),
            filled: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            torn: AtomicU64::new(0),
            is_full: AtomicBool::new(false),
            is_sync_failing: AtomicBool::new(false),
            is_stopping: AtomicBool::new(false),
        });
        let mut threads = Vec::new();
        for (name, run) in [("scan-ahead", Shared::keep_ahead as fn(&Shared)), ("scan-sync", Shared::keep_synced)] {
            let running = shared.clone();
            let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || run(&running));
            threads.push(thread.map_err(io_error("start a thread for", &shared.folder.path))?);
        }
        Ok(Self { shared, threads: Mutex::new(threads) })
    }

    /// Records a scan; true once it is in the page cache, false when there is no room for it.
    pub fn append(&self, record: &Record) -> bool {
        loop {
            {
                // Holding this lock while writing means that whoever seals the segment has seen every write to it end.
                let current = self.shared.current.read().unwrap_or_else(PoisonError::into_inner);
                let slot = current.next.fetch_add(1, Ordering::AcqRel);
                if slot < current.slots {
                    current.write(slot, record);
                    return true;
                }
            }
            if !self.shared.turn() {
                self.shared.refused.fetch_add(1, Ordering::Relaxed);
                return false;
            }
        }
    }

    /// Hands the committed records from `from` on to `each`, in order, at most `max` slots of them, and answers the
    /// position behind the last slot that was looked at. Stops before a slot that is being written right now.
    pub fn read(&self, from: Position, max: u64, each: impl FnMut(Position, &Record)) -> Result<Position, JournalError> {
        self.shared.read(from, Position { segment: u64::MAX, slot: u64::MAX }, max, each)
    }

    /// As [`Journal::read`], and ends before `upto` at the latest.
    pub fn read_upto(&self, from: Position, upto: Position, each: impl FnMut(Position, &Record)) -> Result<Position, JournalError> {
        self.shared.read(from, upto, u64::MAX, each)
    }

    /// Deletes the sealed segments below number `segment`: all their records are counted and none is needed any more.
    pub fn delete_below(&self, segment: u64) {
        let mut sealed = lock(&self.shared.sealed);
        sealed.retain(|old| {
            if old.number >= segment {
                return true;
            }
            match fs::remove_file(&old.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(path = %old.path.display(), %error, "a counted journal segment cannot be deleted");
                    true
                }
                _ => false,
            }
        });
    }

    /// The number of the oldest segment that is there.
    pub fn oldest(&self) -> u64 {
        let current = self.shared.current.read().unwrap_or_else(PoisonError::into_inner).number;
        lock(&self.shared.sealed).first().map_or(current, |segment| segment.number)
    }

    /// The random name of this journal.
    pub fn node(&self) -> i64 {
        self.shared.folder.node
    }

    /// Scans recorded since this process began.
    pub fn appended(&self) -> u64 {
        let current = self.shared.current.read().unwrap_or_else(PoisonError::into_inner);
        self.shared.filled.load(Ordering::Relaxed) + current.next.load(Ordering::Relaxed).min(current.slots)
    }

    /// Scans that were answered but not recorded, because there was no room.
    pub fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::Relaxed)
    }

    /// Records that a power cut tore, met while reading.
    pub fn torn(&self) -> u64 {
        self.shared.torn.load(Ordering::Relaxed)
    }

    /// The end of what is recorded.
    pub fn end(&self) -> Position {
        let current = self.shared.current.read().unwrap_or_else(PoisonError::into_inner);
        Position { segment: current.number, slot: current.next.load(Ordering::Acquire).min(current.slots) }
    }

    /// Slots between `from` and the end of what is recorded; those of earlier processes' segments are counted as full.
    pub fn waiting(&self, from: Position) -> u64 {
        let (number, next) = {
            let current = self.shared.current.read().unwrap_or_else(PoisonError::into_inner);
            (current.number, current.next.load(Ordering::Relaxed).min(current.slots))
        };
        if from.segment >= number {
            return next.saturating_sub(from.slot);
        }
        let sealed = lock(&self.shared.sealed).iter().filter(|segment| segment.number >= from.segment).count() as u64;
        (next + sealed * self.shared.slots).saturating_sub(from.slot)
    }

    /// Whether scans are recorded and reach the disk.
    pub fn health(&self) -> Health {
        if self.shared.is_full.load(Ordering::Relaxed) {
            Health::Full
        } else if self.shared.is_sync_failing.load(Ordering::Relaxed) {
            Health::Unsynced
        } else {
            Health::Good
        }
    }

    /// Brings everything to the disk.
    pub fn sync(&self) -> Result<(), JournalError> {
        self.shared.sync_all()
    }

    /// Ends the threads and brings everything to the disk. Appending still works afterwards, unsynced.
    pub fn close(&self) -> Result<(), JournalError> {
        self.end_threads();
        if let Some(spare) = lock(&self.shared.spare).take() {
            let _ = fs::remove_file(&spare.path);
        }
        self.shared.sync_all()
    }

    fn end_threads(&self) {
        self.shared.is_stopping.store(true, Ordering::Release);
        self.shared.wake.notify_all();
        for thread in lock(&self.threads).drain(..) {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.end_threads();
    }
}

impl Shared {
    /// Puts the spare segment in the place of a full one; false when there is none to be had.
    fn turn(&self) -> bool {
        if self.is_full.load(Ordering::Acquire) {
            return false;
        }
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.next.load(Ordering::Acquire) < current.slots {
            return true;
        }
        let _making = lock(&self.making);
        let spare = lock(&self.spare).take();
        let next = match spare {
            Some(spare) => spare,
            // The thread that makes segments ahead was starved: make it here, once, while the others wait.
            None => match Segment::create(&self.folder.path, current.number + 1, self.folder.node, self.slots) {
                Ok(made) => made,
                Err(error) => {
                    self.is_full.store(true, Ordering::Release);
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "scans are not recorded: the journal has no room for a segment"
                    );
                    return false;
                }
            },
        };
        self.install(&mut current, next);
        true
    }

    /// The caller holds `making`.
    fn install(&self, current: &mut Arc<Segment>, next: Arc<Segment>) {
        self.number.store(next.number, Ordering::Release);
        let full = std::mem::replace(current, next);
        self.filled.fetch_add(full.slots, Ordering::Relaxed);
        lock(&self.sealed).push(Sealed { number: full.number, path: full.path.clone() });
        lock(&self.unsynced).push(full);
        self.wake.notify_all();
    }

    /// Makes the next segment before it is needed; after a full disk, tries again until there is room.
    fn keep_ahead(&self) {
        while !self.is_stopping.load(Ordering::Acquire) {
            let has_spare = {
                let _making = lock(&self.making);
                let is_missing = lock(&self.spare).is_none();
                if is_missing {
                    match Segment::create(&self.folder.path, self.number.load(Ordering::Acquire) + 1, self.folder.node, self.slots) {
                        Ok(made) => *lock(&self.spare) = Some(made),
                        Err(error) => tracing::debug!(error = &error as &dyn std::error::Error, "no spare journal segment yet"),
                    }
                }
                lock(&self.spare).is_some()
            };
            if has_spare && self.is_full.load(Ordering::Acquire) {
                let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
                let _making = lock(&self.making);
                let spare = lock(&self.spare).take();
                if let Some(spare) = spare {
                    self.install(&mut current, spare);
                    self.is_full.store(false, Ordering::Release);
                    tracing::info!("scans are recorded again");
                }
                continue;
            }
            // Woken when the spare was taken; without room, the pause keeps the tries from becoming a busy loop.
            let guard = lock(&self.spare);
            let is_idle = |spare: &mut Option<Arc<Segment>>| spare.is_some() == has_spare && !self.is_stopping.load(Ordering::Acquire);
            let _ = self.wake.wait_timeout_while(guard, Duration::from_millis(200), is_idle);
        }
    }

    fn keep_synced(&self) {
        while !self.is_stopping.load(Ordering::Acquire) {
            std::thread::park_timeout(SYNC_EVERY);
            let failed = match self.sync_all() {
                Ok(()) => false,
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "scans do not reach the disk");
                    true
                }
            };
            self.is_sync_failing.store(failed, Ordering::Relaxed);
            metrics::counter!("scans_recorded_total").absolute({
                let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
                self.filled.load(Ordering::Relaxed) + current.next.load(Ordering::Relaxed).min(current.slots)
            });
            metrics::counter!("scans_refused_total").absolute(self.refused.load(Ordering::Relaxed));
        }
    }

    fn sync_all(&self) -> Result<(), JournalError> {
        let full = lock(&self.unsynced).clone();
        for segment in &full {
            segment.synced.store(0, Ordering::Relaxed);
            segment.sync().map_err(io_error("sync", &segment.path))?;
        }
        lock(&self.unsynced).retain(|segment| full.iter().all(|done| done.number != segment.number));
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        current.sync().map_err(io_error("sync", &current.path))
    }

    fn read(&self, from: Position, upto: Position, max: u64, mut each: impl FnMut(Position, &Record)) -> Result<Position, JournalError> {
        let mut at = from;
        let mut left = max;
        loop {
            if at >= upto || left == 0 {
                return Ok(at);
            }
            // The current segment is looked at first: should it be sealed right after, it is still whole in our hands.
            let current = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
            let sealed = lock(&self.sealed)
                .iter()
                .find(|segment| segment.number >= at.segment && segment.number < current.number)
                .map(|segment| (segment.number, segment.path.clone()));
            let (number, path) = sealed.unwrap_or_else(|| (current.number, PathBuf::new()));
            if number > at.segment {
                at = Position { segment: number, slot: 0 };
                continue;
            }
            if number == current.number {
                let claimed = current.next.load(Ordering::Acquire).min(current.slots);
                let mut end = claimed.min(at.slot.saturating_add(left));
                if upto.segment == number {
                    end = end.min(upto.slot);
                }
                while at.slot < end {
                    match current.read(at.slot) {
                        Slot::Holds(record) => each(at, &record),
                        Slot::Torn => _ = self.torn.fetch_add(1, Ordering::Relaxed),
                        Slot::Empty => break,
                    }
                    at.slot += 1;
                }
                return Ok(at);
            }
            let end = if upto.segment == number { upto.slot } else { u64::MAX };
            let (looked_at, is_done) = self.read_sealed(number, &path, at.slot, end.min(at.slot.saturating_add(left)), &mut each)?;
            left = left.saturating_sub(looked_at - at.slot);
            at.slot = looked_at;
            if is_done {
                at = Position { segment: number + 1, slot: 0 };
            }
        }
    }

    /// Reads slots of a sealed file; answers how far it came and whether that was the file's end.
    fn read_sealed(
        &self,
        number: u64,
        path: &Path,
        from: u64,
        upto: u64,
        each: &mut impl FnMut(Position, &Record),
    ) -> Result<(u64, bool), JournalError> {
        let file = File::open(path).map_err(io_error("open", path))?;
        let length = file.metadata().map_err(io_error("read", path))?.len();
        // A power cut may leave a file short; what is there is read.
        let slots = length.saturating_sub(HEADER_BYTES as u64) / SLOT_BYTES as u64;
        let end = upto.min(slots);
        let mut slot = from;
        let mut buffer = vec![0; 4096 * SLOT_BYTES];
        while slot < end {
            let take = (end - slot).min(4096) as usize;
            let bytes = &mut buffer[..take * SLOT_BYTES];
            file.read_exact_at(bytes, HEADER_BYTES as u64 + slot * SLOT_BYTES as u64).map_err(io_error("read", path))?;
            for chunk in bytes.chunks_exact(SLOT_BYTES) {
                let mut all = [0; WORDS + 1];
                for (word, eight) in all.iter_mut().zip(chunk.as_chunks::<8>().0) {
                    *word = u64::from_le_bytes(*eight);
                }
                let (commit, words) = all.split_first().map(|(commit, words)| (*commit, words)).unwrap_or((0, &[]));
                if let Ok(words) = words.try_into() {
                    match Slot::of(number, slot, commit, words) {
                        Slot::Holds(record) => each(Position { segment: number, slot }, &record),
                        Slot::Torn => _ = self.torn.fetch_add(1, Ordering::Relaxed),
                        Slot::Empty => {}
                    }
                }
                slot += 1;
            }
        }
        Ok((slot.max(from), slot >= slots))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
