//! Backup of a running SQLite installation, and restore, each verified.
//!
//! A backup is one file: a tar archive of a consistent copy of the database, the folders that belong to it (such as the
//! journal of scans) and `manifest.json`, which comes first and holds the SHA-256 of every other file. With a key file it
//! is encrypted as a whole. The vault's key is never in it.

mod sealed;

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::{Component, Path, PathBuf};

use kernel::{Entropy, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{StoreError, lock_folder, migrations, sqlite};

use sealed::{MAGIC, SealedReader, SealedWriter};

const MANIFEST: &str = "manifest.json";
const DATABASE: &str = "tessera.db";
/// The file in a data folder that says that a backup was restored there and has not been started since: what was done after
/// the backup is forgotten here, but not by the world outside.
pub const RESTORED: &str = "restored";

/// What a backup holds, and what a restore has verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The format of the archive.
    pub format: u32,
    /// When the copy was begun.
    pub created_at: Timestamp,
    /// The newest migration that had run.
    pub migration: String,
    /// Every other file of the archive.
    pub files: Vec<BackedUp>,
}

/// One file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackedUp {
    /// Its path inside the data folder, with `/` between the parts.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256 in hexadecimal digits.
    pub sha256: String,
}

fn failed(what: &str, path: &Path, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::setup(format!("{what} {}: {error}", path.display()))
}

/// Copies the installation in `data`, running or not, into the new file `target`, with the folders of `data` that `with`
/// names. `staging` copies those folders to where they can be read at leisure (the journal goes on growing meanwhile) and
/// is called before the database is copied. The file is synced before this returns.
pub fn backup(
    data: &Path,
    target: &Path,
    key: Option<&[u8; 32]>,
    now: Timestamp,
    entropy: &Entropy,
    staging: impl FnOnce(&Path) -> io::Result<()>,
) -> Result<Manifest, StoreError> {
    if target.exists() {
        return Err(StoreError::setup(format!("{} exists already: name a new file, or move that one away", target.display())));
    }
    let source = data.join(DATABASE);
    if !source.exists() {
        return Err(StoreError::setup(format!("{} holds no database: name the data folder with --data", data.display())));
    }
    let mut part = target.as_os_str().to_owned();
    part.push(".part");
    let (part, stage) = (PathBuf::from(&part), {
        let mut stage = part;
        stage.push(".d");
        PathBuf::from(stage)
    });
    let cleanup = Cleanup { part: part.clone(), stage: stage.clone() };
    std::fs::create_dir(&stage).map_err(|e| failed("cannot make the folder", &stage, &e))?;

    // A journal's segment may be counted and deleted at any time: what is not in its copy must be counted in the database's.
    staging(&stage).map_err(|e| failed("cannot copy into", &stage, &e))?;
    copy_database(&source, &stage.join(DATABASE))?;
    let mut files = Vec::new();
    list(&stage, &stage, &mut files).map_err(|e| failed("cannot read", &stage, &e))?;
    let migration = migrations().next_back().map(|m| m.name.to_owned()).unwrap_or_default();
    let manifest = Manifest { format: 1, created_at: now, migration, files };

    let written = (|| -> io::Result<()> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
        let out = BufWriter::new(file);
        let file = match key {
            None => archive(out, &stage, &manifest)?,
            Some(key) => archive(SealedWriter::new(out, key, entropy)?, &stage, &manifest)?.finish()?,
        };
        file.into_inner().map_err(|e| e.into_error())?.sync_all()?;
        std::fs::rename(&part, target)?;
        File::open(target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")))?.sync_all()
    })();
    written.map_err(|e| failed("cannot write", target, &e))?;
    drop(cleanup);
    Ok(manifest)
}

/// Removes what a backup leaves half-way, however it ends.
struct Cleanup {
    part: PathBuf,
    stage: PathBuf,
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.part);
        let _ = std::fs::remove_dir_all(&self.stage);
    }
}

/// Copies every page in one read transaction, so that the copy is of one instant, and checks the copy.
fn copy_database(source: &Path, target: &Path) -> Result<(), StoreError> {
    let from = sqlite::connect(source, true, None)?;
    let mut to = rusqlite::Connection::open(target).map_err(StoreError::sqlite)?;
    let step = rusqlite::backup::Backup::new(&from, &mut to).and_then(|backup| backup.step(-1)).map_err(StoreError::sqlite)?;
    if step != rusqlite::backup::StepResult::Done {
        return Err(StoreError::Busy);
    }
    // The copy stands alone: no log beside it.
    to.query_row("pragma journal_mode = delete", [], |_| Ok(())).map_err(StoreError::sqlite)?;
    sound(&to, target)
}

/// Fails unless every page, index and reference of a database is in order.
fn sound(connection: &rusqlite::Connection, path: &Path) -> Result<(), StoreError> {
    let verdict: String = connection.query_row("pragma integrity_check(1)", [], |row| row.get(0)).map_err(StoreError::sqlite)?;
    if verdict != "ok" {
        return Err(failed("the database is damaged:", path, &verdict));
    }
    let mut statement = connection.prepare("pragma foreign_key_check").map_err(StoreError::sqlite)?;
    let dangling = statement.exists([]).map_err(StoreError::sqlite)?;
    if dangling { Err(failed("rows point to rows that are gone in", path, &"see pragma foreign_key_check")) } else { Ok(()) }
}

/// Checks the database of an installation, running or not, and answers how many bytes it has.
pub fn check(data: &Path) -> Result<u64, StoreError> {
    let path = data.join(DATABASE);
    if !path.exists() {
        return Err(StoreError::setup(format!("{} holds no database: name the data folder with --data", data.display())));
    }
    sound(&sqlite::connect(&path, true, None)?, &path)?;
    std::fs::metadata(&path).map(|m| m.len()).map_err(|e| failed("cannot read", &path, &e))
}

fn list(root: &Path, folder: &Path, files: &mut Vec<BackedUp>) -> io::Result<()> {
    let mut entries = std::fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            list(root, &path, files)?;
            continue;
        }
        let mut hash = Sha256::new();
        let bytes = io::copy(&mut File::open(&path)?, &mut HashWriter(&mut hash))?;
        let relative = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
        files.push(BackedUp { path: relative, bytes, sha256: hex(&hash.finalize()) });
    }
    Ok(())
}

struct HashWriter<'a>(&'a mut Sha256);

impl Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn archive<W: Write>(out: W, stage: &Path, manifest: &Manifest) -> io::Result<W> {
    let mut builder = tar::Builder::new(out);
    let text = serde_json::to_vec_pretty(manifest)?;
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    header.set_mode(0o600);
    header.set_cksum();
    builder.append_data(&mut header, MANIFEST, text.as_slice())?;
    for file in &manifest.files {
        builder.append_file(&file.path, &mut File::open(stage.join(&file.path))?)?;
    }
    builder.into_inner()
}

/// Unpacks the backup `source` into the data folder `data`, which must hold no installation yet, and verifies every file and
/// the database. A restore that fails leaves the folder as it was.
pub fn restore(source: &Path, data: &Path, key: Option<&[u8; 32]>) -> Result<Manifest, StoreError> {
    let lock = lock_folder(data)?;
    if data.join(DATABASE).exists() {
        return Err(StoreError::setup(format!("{} holds an installation already: restore into a new folder with --data", data.display())));
    }
    let stage = data.join("restoring");
    let _ = std::fs::remove_dir_all(&stage);
    let cleanup = Cleanup { part: stage.join("none"), stage: stage.clone() };
    std::fs::create_dir(&stage).map_err(|e| failed("cannot make the folder", &stage, &e))?;
    let manifest = unpack(source, &stage, key).map_err(|e| failed("cannot restore", source, &e))?;

    let mut found = Vec::new();
    list(&stage, &stage, &mut found).map_err(|e| failed("cannot read", &stage, &e))?;
    let mut expected = manifest.files.clone();
    expected.sort_by(|a, b| a.path.cmp(&b.path));
    found.sort_by(|a, b| a.path.cmp(&b.path));
    if expected != found {
        return Err(failed("the backup is not what its manifest says:", source, &"a file is missing, added or changed"));
    }
    let database = stage.join(DATABASE);
    sound(&rusqlite::Connection::open(&database).map_err(StoreError::sqlite)?, &database)?;
    let moved = (|| -> io::Result<()> {
        let mut entries = std::fs::read_dir(&stage)?.collect::<io::Result<Vec<_>>>()?;
        // The database last: its presence is what makes the folder an installation.
        entries.sort_by_key(|entry| entry.file_name() == DATABASE);
        for entry in entries {
            std::fs::rename(entry.path(), data.join(entry.file_name()))?;
        }
        File::create(data.join(RESTORED))?.sync_all()?;
        File::open(data)?.sync_all()
    })();
    moved.map_err(|e| failed("cannot fill", data, &e))?;
    drop((cleanup, lock));
    Ok(manifest)
}

fn unpack(source: &Path, stage: &Path, key: Option<&[u8; 32]>) -> io::Result<Manifest> {
    let mut file = BufReader::new(File::open(source)?);
    let mut magic = [0; MAGIC.len()];
    let is_sealed = file.read_exact(&mut magic).is_ok() && magic == *MAGIC;
    let refused = |words: &str| io::Error::new(io::ErrorKind::InvalidData, words.to_owned());
    let plain: Box<dyn Read> = match (is_sealed, key) {
        (true, Some(key)) => Box::new(SealedReader::new(file, key)?),
        (true, None) => return Err(refused("it is encrypted: name its key file with --backup-key")),
        (false, _) => {
            file.rewind()?;
            Box::new(file)
        }
    };
    let mut archive = tar::Archive::new(plain);
    let mut manifest: Option<Manifest> = None;
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        if !entry.header().entry_type().is_file() || !path.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(refused("it is not a backup: it holds something other than plain files"));
        }
        if path == Path::new(MANIFEST) {
            let mut text = Vec::new();
            (&mut entry).take(16 << 20).read_to_end(&mut text)?;
            manifest = Some(serde_json::from_slice(&text)?);
            continue;
        }
        let target = stage.join(&path);
        std::fs::create_dir_all(target.parent().unwrap_or(stage))?;
        let mut out = File::create_new(&target)?;
        io::copy(&mut entry, &mut out)?;
        out.sync_all()?;
    }
    // Reads what is left, so that an encrypted file that was cut off behind the archive's end is noticed.
    io::copy(&mut archive.into_inner(), &mut io::sink())?;
    let manifest = manifest.ok_or_else(|| refused("it is not a backup: it has no manifest"))?;
    if manifest.format == 1 { Ok(manifest) } else { Err(refused("it was made by a newer release")) }
}
