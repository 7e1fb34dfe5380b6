//! The folder of a journal: its name, its lock, its files, and a copy of them for the backup.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use kernel::Entropy;

use super::segment::{HEADER_BYTES, SLOT_BYTES};

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

/// A folder that this process holds, with its name; the first half of opening a journal.
#[derive(Debug)]
pub struct Folder {
    pub(super) path: PathBuf,
    pub(super) node: i64,
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

/// A segment that takes no more records.
pub(super) struct Sealed {
    pub(super) number: u64,
    pub(super) path: PathBuf,
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
pub(super) fn segments_in(folder: &Path) -> Result<Vec<Sealed>, JournalError> {
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

pub(super) fn segment_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:08}.scans"))
}

pub(super) fn sync_folder(path: &Path) -> Result<(), JournalError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(io_error("sync", path))
}

pub(super) fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> JournalError + use<> {
    let path = path.to_owned();
    move |source| JournalError::Io { doing, path, source }
}
