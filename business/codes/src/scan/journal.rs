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

#![expect(unsafe_code, reason = "a file mapped into memory is shared with the kernel; see Segment::words")]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use kernel::Entropy;
use memmap2::{MmapOptions, MmapRaw};

use super::record::{Record, WORDS};

/// Bytes of one slot: a commit word and the record.
pub const SLOT_BYTES: usize = (WORDS + 1) * 8;
/// Bytes before the first slot.
const HEADER_BYTES: usize = 4096;
const MAGIC: &[u8; 8] = b"TSRSCAN1";
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

/// Why the journal cannot be opened or extended.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process has the folder open.
    #[error("the journal in {} is in use by another process", .0.display())]
    Held(PathBuf),
    /// The file `node` does not hold a name.
    #[error("{} does not hold 16 hexadecimal digits; restore it from the backup, or move the folder away", .0.display())]
    Node(PathBuf),
    /// The file system refused.
    #[error("cannot {doing} {}", .path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
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

/// A folder that this process holds, with its name; the first half of opening a journal.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    node: i64,
    _lock: File,
}

impl Folder {
    /// Makes the folder if need be, takes its lock and reads or draws its name.
    pub fn open(path: &Path, entropy: &Entropy) -> Result<Self, JournalError> {
        fs::create_dir_all(path).map_err(io_error("make", path))?;
        let name = path.join("node");
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&name).map_err(io_error("open", &name))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(JournalError::Held(path.to_owned())),
            Err(fs::TryLockError::Error(source)) => return Err(io_error("lock", &name)(source)),
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(io_error("read", &name))?;
        let node = if text.is_empty() {
            let node = (u64::from_le_bytes(entropy.bytes()) >> 1).max(1);
            file.write_all(format!("{node:016x}\n").as_bytes()).and_then(|()| file.sync_all()).map_err(io_error("write", &name))?;
            sync_folder(path)?;
            node
        } else {
            match u64::from_str_radix(text.trim(), 16) {
                Ok(node) if node != 0 && node >> 63 == 0 => node,
                _ => return Err(JournalError::Node(name)),
            }
        };
        Ok(Self { path: path.to_owned(), node: node as i64, _lock: file })
    }

    /// The random name of this journal, positive; the key of its rows in the database.
    pub fn node(&self) -> i64 {
        self.node
    }
}

/// A segment that is mapped and takes records.
struct Segment {
    number: u64,
    path: PathBuf,
    slots: u64,
    next: AtomicU64,
    /// Slots known to be on the disk; only the syncing thread moves it.
    synced: AtomicU64,
    map: MmapRaw,
}

impl Segment {
    fn create(folder: &Path, number: u64, node: i64, slots: u64) -> Result<Arc<Self>, JournalError> {
        let path = segment_path(folder, number);
        let bytes = HEADER_BYTES + slots as usize * SLOT_BYTES;
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).map_err(io_error("make", &path))?;
        let made = (|| {
            allocate(&file, bytes as u64)?;
            let mut header = [0; 32];
            header[..8].copy_from_slice(MAGIC);
            header[8..16].copy_from_slice(&number.to_le_bytes());
            header[16..24].copy_from_slice(&node.to_le_bytes());
            header[24..].copy_from_slice(&slots.to_le_bytes());
            file.write_all_at(&header, 0)?;
            file.sync_all()?;
            MmapOptions::new().len(bytes).map_raw(&file)
        })();
        match made {
            Ok(map) => {
                sync_folder(folder)?;
                Ok(Arc::new(Self { number, path, slots, next: AtomicU64::new(0), synced: AtomicU64::new(0), map }))
            }
            Err(source) => {
                // A half-made file would block the next try, which makes the same number.
                let _ = fs::remove_file(&path);
                Err(io_error("allocate", &path)(source))
            }
        }
    }

    /// The slots as atomic words, twelve to a slot.
    fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is page-aligned, at least this long for as long as `self` lives, zero-filled or written only
        // through these atomics (by this process: the folder is locked; the kernel only copies pages out), and every bit
        // pattern is a valid word. The file's blocks were allocated before the mapping was made and it is never truncated.
        unsafe {
            let first = self.map.as_ptr().add(HEADER_BYTES).cast::<AtomicU64>();
            std::slice::from_raw_parts(first, self.slots as usize * (WORDS + 1))
        }
    }

    fn write(&self, slot: u64, record: &Record) {
        let at = slot as usize * (WORDS + 1);
        let words = record.words();
        let cells = &self.words()[at..at + WORDS + 1];
        for (cell, word) in cells[1..].iter().zip(words) {
            cell.store(word.to_le(), Ordering::Relaxed);
        }
        cells[0].store(commit_word(self.number, slot, &words).to_le(), Ordering::Release);
    }

    fn read(&self, slot: u64) -> Slot {
        let at = slot as usize * (WORDS + 1);
        let cells = &self.words()[at..at + WORDS + 1];
        let commit = u64::from_le(cells[0].load(Ordering::Acquire));
        let mut words = [0; WORDS];
        for (word, cell) in words.iter_mut().zip(&cells[1..]) {
            *word = u64::from_le(cell.load(Ordering::Relaxed));
        }
        Slot::of(self.number, slot, commit, &words)
    }

    /// Brings what was claimed so far to the disk. A slot that is being written during this is brought by the next round.
    fn sync(&self) -> io::Result<()> {
        let claimed = self.next.load(Ordering::Acquire).min(self.slots);
        let done = self.synced.load(Ordering::Relaxed);
        if claimed > done {
            let from = HEADER_BYTES + done as usize * SLOT_BYTES;
            self.map.flush_range(from, (claimed - done) as usize * SLOT_BYTES)?;
            // The last slots may still have been in the making: they are flushed again next time.
            self.synced.store(claimed.saturating_sub(64).max(done), Ordering::Relaxed);
        }
        Ok(())
    }
}

/// What one slot holds.
enum Slot {
    Empty,
    Torn,
    Holds(Record),
}

impl Slot {
    fn of(segment: u64, slot: u64, commit: u64, words: &[u64; WORDS]) -> Self {
        if commit == 0 {
            Self::Empty
        } else if commit == commit_word(segment, slot, words) {
            Self::Holds(Record::from_words(words))
        } else {
            Self::Torn
        }
    }
}

/// The checksum of a record, bound to its place, and never zero.
fn commit_word(segment: u64, slot: u64, words: &[u64; WORDS]) -> u64 {
    let mut bytes = [0; WORDS * 8];
    for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    let crc = crc32fast::hash(&bytes);
    (u64::from(crc) << 32) | ((segment.wrapping_mul(0x9E37_79B9).wrapping_add(slot)) & 0x7FFF_FFFF) | 0x8000_0000
}

/// A segment that takes no more records.
struct Sealed {
    number: u64,
    path: PathBuf,
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
            let shared = shared.clone();
            let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || run(&shared));
            threads.push(thread.map_err(io_error("start a thread for", &self::segment_path(Path::new(""), number)))?);
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

/// Copies a journal's folder for a backup; call it *before* the database is backed up. Works beside a running process.
/// Segments are copied up to their last record. Answers how many bytes were written.
pub fn backup(from: &Path, to: &Path) -> Result<u64, JournalError> {
    fs::create_dir_all(to).map_err(io_error("make", to))?;
    let mut written = 0;
    let node = from.join("node");
    match fs::read(&node) {
        Ok(name) => {
            written += name.len() as u64;
            fs::write(to.join("node"), name).map_err(io_error("write", to))?;
        }
        // An installation that has never served has no journal.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(io_error("read", &node)(error)),
    }
    for segment in segments_in(from)? {
        let bytes = match fs::read(&segment.path) {
            Ok(bytes) => bytes,
            // Counted and deleted since the folder was listed: the database, backed up later, has it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(io_error("read", &segment.path)(error)),
        };
        let used = bytes
            .get(HEADER_BYTES..)
            .unwrap_or_default()
            .chunks_exact(SLOT_BYTES)
            .rposition(|slot| slot[..8] != [0; 8])
            .map_or(0, |last| HEADER_BYTES + (last + 1) * SLOT_BYTES);
        if used > 0 {
            let target = segment_path(to, segment.number);
            let mut file = File::create(&target).map_err(io_error("make", &target))?;
            file.write_all(&bytes[..used]).and_then(|()| file.sync_all()).map_err(io_error("write", &target))?;
            written += used as u64;
        }
    }
    sync_folder(to)?;
    Ok(written)
}

/// The segment files of a folder; anything else in it is left alone.
fn segments_in(folder: &Path) -> Result<Vec<Sealed>, JournalError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(io_error("list", folder))? {
        let path = entry.map_err(io_error("list", folder))?.path();
        let number = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_suffix(".scans"))
            .and_then(|digits| digits.parse().ok());
        if let Some(number) = number {
            found.push(Sealed { number, path });
        }
    }
    Ok(found)
}

fn segment_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:08}.scans"))
}

/// Gives the file its blocks, so that no later store to its mapping can find the disk full. (A file system that copies on
/// write, such as btrfs or ZFS, cannot promise this; keep free space there.)
#[cfg(target_os = "linux")]
fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let length = libc::off_t::try_from(bytes).map_err(io::Error::other)?;
    loop {
        // SAFETY: a plain call on a descriptor that is open for writing for as long as `file` is borrowed.
        match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, length) } {
            0 => return Ok(()),
            libc::EINTR => {}
            error => return Err(io::Error::from_raw_os_error(error)),
        }
    }
}

/// Gives the file its blocks by writing them.
#[cfg(not(target_os = "linux"))]
fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    let zeros = vec![0; 1 << 16];
    let mut at = 0;
    while at < bytes {
        let take = (bytes - at).min(zeros.len() as u64) as usize;
        file.write_all_at(&zeros[..take], at)?;
        at += take as u64;
    }
    Ok(())
}

fn sync_folder(path: &Path) -> Result<(), JournalError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(io_error("sync", path))
}

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> JournalError + use<> {
    let path = path.to_owned();
    move |source| JournalError::Io { doing, path, source }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
