//! One segment of a journal: a file whose blocks are allocated before it is mapped into memory.

#![expect(unsafe_code, reason = "a file mapped into memory is shared with the kernel; see Segment::words")]

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{MmapOptions, MmapRaw};

use super::super::record::{Record, WORDS};
use super::folder::{JournalError, io_error, segment_path, sync_folder};

/// Bytes of one slot: a commit word and the record.
pub const SLOT_BYTES: usize = (WORDS + 1) * 8;
/// Bytes before the first slot.
pub(super) const HEADER_BYTES: usize = 4096;
const MAGIC: &[u8; 8] = b"TSRSCAN1";

/// A segment that is mapped and takes records.
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    pub(super) slots: u64,
    pub(super) next: AtomicU64,
    /// Slots known to be on the disk; only the syncing thread moves it.
    pub(super) synced: AtomicU64,
    map: MmapRaw,
}

impl Segment {
    pub(super) fn create(folder: &Path, number: u64, node: i64, slots: u64) -> Result<Arc<Self>, JournalError> {
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
        let made = made.map_err(io_error("allocate", &path)).and_then(|map| sync_folder(folder).map(|()| map));
        match made {
            Ok(map) => Ok(Arc::new(Self { number, path, slots, next: AtomicU64::new(0), synced: AtomicU64::new(0), map })),
            Err(error) => {
                // A half-made file would block the next try, which makes the same number.
                let _ = fs::remove_file(&path);
                Err(error)
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

    pub(super) fn write(&self, slot: u64, record: &Record) {
        let at = slot as usize * (WORDS + 1);
        let words = record.words();
        let cells = &self.words()[at..at + WORDS + 1];
        for (cell, word) in cells[1..].iter().zip(words) {
            cell.store(word.to_le(), Ordering::Relaxed);
        }
        cells[0].store(commit_word(self.number, slot, &words).to_le(), Ordering::Release);
    }

    pub(super) fn read(&self, slot: u64) -> Slot {
        let at = slot as usize * (WORDS + 1);
        let cells = &self.words()[at..at + WORDS + 1];
        let commit = u64::from_le(cells[0].load(Ordering::Acquire));
        let mut words = [0; WORDS];
        for (word, cell) in words.iter_mut().zip(&cells[1..]) {
            *word = u64::from_le(cell.load(Ordering::Relaxed));
        }
        Slot::of(self.number, slot, commit, &words)
    }

    /// Brings what was claimed so far to the disk. A slot that is being written during this is brought by the next round, and
    /// so is everything behind it: a thread may be put to sleep between its claim and its record for as long as it takes.
    pub(super) fn sync(&self) -> io::Result<()> {
        let claimed = self.next.load(Ordering::Acquire).min(self.slots);
        let done = self.synced.load(Ordering::Relaxed);
        if claimed > done {
            // Looked up before the flush: what is whole now is on the disk after it.
            let is_whole = |slot: &u64| self.words()[*slot as usize * (WORDS + 1)].load(Ordering::Acquire) != 0;
            let whole = done + (done..claimed).take_while(is_whole).count() as u64;
            let from = HEADER_BYTES + done as usize * SLOT_BYTES;
            self.map.flush_range(from, (claimed - done) as usize * SLOT_BYTES)?;
            self.synced.store(whole, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// What one slot holds.
pub(super) enum Slot {
    Empty,
    Torn,
    Holds(Record),
}

impl Slot {
    pub(super) fn of(segment: u64, slot: u64, commit: u64, words: &[u64; WORDS]) -> Self {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_late_is_brought_to_the_disk_by_a_later_round() {
        let folder = std::env::temp_dir().join(format!("tessera_segment_{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let segment = Segment::create(&folder, 1, 1, 300).unwrap();
        let record = Record::from_words(&[7; WORDS]);
        segment.next.store(200, Ordering::Release);
        (0..200).filter(|slot| *slot != 40).for_each(|slot| segment.write(slot, &record));
        segment.sync().unwrap();
        assert_eq!(segment.synced.load(Ordering::Relaxed), 40, "the record of slot 40 is still to come");
        segment.write(40, &record);
        segment.sync().unwrap();
        assert_eq!(segment.synced.load(Ordering::Relaxed), 200);
        fs::remove_dir_all(&folder).unwrap();
    }
}
