//! The newest seals outside of the database: a small file beside it, lines to print or to mail.
//!
//! Whoever can write to the database can cut off the end of the books, or write them anew from some transfer on, so that
//! everything fits. Only a seal that is kept elsewhere tells. The file is written by the process that posts, with what is
//! durable in the database, and goes into every backup; what it says is compared by [`crate::verify`].

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::future::Future;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use kernel::WorkspaceId;
use store::{P, Reads, Store, StoreError};

use crate::error::LedgerError;
use crate::keeper::{self, Cursor};
use crate::seal::Seal;
use crate::sql::{check, raw_p};

/// The name of the file in the data folder.
pub const FILE: &str = "ledger.seals";
/// How often the file is brought up to date.
const EVERY: Duration = Duration::from_secs(5);
/// Seals of one workspace that the file keeps when it is written anew.
const KEPT: usize = 3;
/// Workspaces that are asked for at once.
const PAGE: i64 = 1_000;

/// Why seals cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum SealsError {
    /// The file.
    #[error("the seals in {path} cannot be read or written: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// A line that is no seal.
    #[error("{path}, line {line}: this is no seal. Name the file that was kept with --seals, or take this one from a backup")]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
    },
    /// The database.
    #[error(transparent)]
    Books(#[from] LedgerError),
}

impl From<StoreError> for SealsError {
    fn from(error: StoreError) -> Self {
        Self::Books(error.into())
    }
}

fn on<T>(path: &Path, result: io::Result<T>) -> Result<T, SealsError> {
    result.map_err(|source| SealsError::File { path: path.to_owned(), source })
}

/// The seals in a file, in its order; none where there is no file. A last line that was cut off by a crash counts for nothing.
pub fn read(path: &Path) -> Result<Vec<Seal>, SealsError> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(path, &text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => on(path, Err(error)),
    }
}

fn parse(path: &Path, text: &str) -> Result<Vec<Seal>, SealsError> {
    let whole = if text.ends_with('\n') { text } else { text.rsplit_once('\n').map_or("", |(whole, _)| whole) };
    // A printed copy may be saved without the end of its last line.
    let rest = text.strip_prefix(whole).and_then(|rest| Seal::parse(rest.trim()).ok());
    let lines = whole.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let seal = |(at, line): (usize, &str)| Seal::parse(line.trim()).map_err(|_| SealsError::Line { path: path.to_owned(), line: at + 1 });
    lines.map(seal).chain(rest.map(Ok)).collect()
}

/// The newest seal of every workspace.
pub async fn newest(reads: &mut impl Reads) -> Result<Vec<Seal>, LedgerError> {
    let (mut all, mut after) = (Vec::new(), Vec::new());
    loop {
        let page = reads.rows(&check::NEWEST_EVERYWHERE, check::owned![P::Bytes(after.into()), PAGE], check::seal).await?;
        let Some(Some(last)) = page.last() else { return Ok(all) };
        after = super::sql::raw(last.workspace).to_vec();
        all.extend(page.into_iter().flatten());
    }
}

/// Keeps the file up to date until `stop`, and once more then.
pub async fn keep(store: Store, path: PathBuf, stop: impl Future<Output = ()>) {
    let mut file: Option<Outside> = None;
    let mut stop = std::pin::pin!(stop);
    loop {
        let is_over = tokio::select! {
            () = tokio::time::sleep(EVERY) => false,
            () = &mut stop => true,
        };
        if let Err(error) = bring_up(&store, &path, &mut file).await {
            tracing::error!(error = &error as &dyn std::error::Error, "the newest seals of the books are not kept outside of the database");
            file = None;
        }
        if is_over {
            return;
        }
    }
}

async fn bring_up(store: &Store, path: &Path, file: &mut Option<Outside>) -> Result<(), SealsError> {
    if file.is_none() {
        *file = Some(Outside::open(path)?);
    }
    match file {
        Some(file) => file.bring_up(store).await.map(|_| ()),
        None => Ok(()),
    }
}

/// The file, open for the process that posts.
#[derive(Debug)]
pub struct Outside {
    path: PathBuf,
    /// What the file holds, in its order.
    kept: BTreeMap<WorkspaceId, Vec<Seal>>,
    lines: usize,
    /// A crash left half a line.
    is_torn: bool,
    cursor: Option<Cursor>,
    is_told: bool,
}

impl Outside {
    /// Reads what is in the file, if it is there.
    pub fn open(path: &Path) -> Result<Self, SealsError> {
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            text => on(path, text)?,
        };
        let seals = parse(path, &text)?;
        let mut kept: BTreeMap<WorkspaceId, Vec<Seal>> = BTreeMap::new();
        let lines = seals.len();
        seals.into_iter().for_each(|seal| kept.entry(seal.workspace).or_default().push(seal));
        let is_torn = !text.is_empty() && !text.ends_with('\n');
        Ok(Self { path: path.to_owned(), kept, lines, is_torn, cursor: None, is_told: false })
    }

    /// Adds the seals that are new; says how many.
    pub async fn bring_up(&mut self, store: &Store) -> Result<usize, SealsError> {
        let mut reads = store.read();
        let (cursor, _) = keeper::cursor(&mut reads).await?;
        if self.cursor == Some(cursor) && !self.is_torn {
            return Ok(0);
        }
        let mut fresh = Vec::new();
        for seal in newest(&mut reads).await? {
            let known = self.kept.get(&seal.workspace).and_then(|seals| seals.last());
            if known.is_some_and(|known| known.number >= seal.number && *known != seal) && !self.is_told {
                self.is_told = true;
                tracing::error!(workspace = %seal.workspace, "the database does not have a seal that was kept: run `tessera ledger verify`");
            }
            if known != Some(&seal) {
                fresh.push(seal);
            }
        }
        let count = fresh.len();
        let (path, lines) = (self.path.clone(), fresh.iter().map(|seal| seal.line() + "\n").collect::<String>());
        for seal in fresh {
            self.kept.entry(seal.workspace).or_default().push(seal);
        }
        self.lines += count;
        if self.is_torn || self.lines > 2 * KEPT * self.kept.len() + 1_000 {
            self.rewrite(&mut reads).await?;
        } else if count > 0 {
            blocking(&self.path, move || append(&path, &lines)).await?;
        }
        self.cursor = Some(cursor);
        Ok(count)
    }

    /// Writes the file anew with the newest few of each workspace. A seal that the database does not have is never dropped.
    async fn rewrite(&mut self, reads: &mut impl Reads) -> Result<(), SealsError> {
        for (workspace, seals) in &mut self.kept {
            let older = seals.len().saturating_sub(KEPT);
            let mut stays = HashMap::new();
            for seal in &seals[..older] {
                let there = reads.row(&check::SEAL, check::owned![raw_p(*workspace), seal.number], check::seal).await?.flatten();
                stays.insert((seal.number, seal.hash), there != Some(*seal));
            }
            let mut at = 0;
            seals.retain(|seal| {
                at += 1;
                at > older || stays.get(&(seal.number, seal.hash)).copied().unwrap_or(true)
            });
        }
        let lines: String = self.kept.values().flatten().map(|seal| seal.line() + "\n").collect();
        self.lines = self.kept.values().map(Vec::len).sum();
        let path = self.path.clone();
        blocking(&self.path, move || replace(&path, &lines)).await?;
        self.is_torn = false;
        Ok(())
    }
}

async fn blocking(path: &Path, work: impl FnOnce() -> io::Result<()> + Send + 'static) -> Result<(), SealsError> {
    on(path, tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(io::Error::other("a thread ended"))))
}

fn append(path: &Path, lines: &str) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let is_new = !path.exists();
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    file.write_all(lines.as_bytes())?;
    file.sync_all()?;
    if is_new { sync_folder(path) } else { Ok(()) }
}

fn replace(path: &Path, lines: &str) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    file.write_all(lines.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&part, path)?;
    sync_folder(path)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")))?.sync_all()
}

/// Copies the file into a backup that is being made. To be called before the database is copied: no seal in the backup is
/// then newer than its database.
pub fn back_up(data: &Path, stage: &Path) -> io::Result<()> {
    match std::fs::copy(data.join(FILE), stage.join(FILE)) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
