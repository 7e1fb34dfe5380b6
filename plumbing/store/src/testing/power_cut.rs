//! The power is cut: what a disk may hold afterwards, rebuilt from a recording, and whether it is all that was answered.
//!
//! On PostgreSQL the same rests on PostgreSQL's own promise for `fsync = on` and `synchronous_commit = on`, which is tested
//! there; here its server is killed in the tests of this crate, and every answered unit is there after its recovery.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kernel::{Caller, Entropy};

use super::disk::{Disk, Operation};
use crate::{Config, Limits, Reads, Store, StoreError, backup, params};

/// The unit that a write survives a power cut in: a disk writes a sector whole or not at all.
const SECTOR_BYTES: usize = 512;

/// What survives of that which was written and not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survives {
    /// Nothing.
    Nothing,
    /// Everything, as after `kill -9`.
    Everything,
    /// The first writes to each file, and the next one up to a sector.
    Prefix,
    /// Any sector with this chance in percent, in any order; what was never written holds noise.
    Sectors(u64),
}

impl Survives {
    /// One of them.
    pub fn any(random: &Entropy) -> Self {
        match random.below(6) {
            0 => Self::Nothing,
            1 => Self::Everything,
            2 => Self::Prefix,
            _ => Self::Sectors(1 + random.below(99)),
        }
    }
}

#[derive(Clone)]
enum Change {
    Write(u64, Arc<[u8]>),
    Size(u64),
}

/// A file's content, whatever its name.
#[derive(Clone, Default)]
struct Content {
    synced: Vec<u8>,
    since: Vec<Change>,
}

/// Which content a name has: on the disk, and for the programs that run.
#[derive(Clone, Copy, Default)]
struct Name {
    on_disk: Option<usize>,
    now: Option<usize>,
}

/// A disk, followed through a recording.
#[derive(Clone, Default)]
pub struct Replay {
    names: BTreeMap<usize, Name>,
    contents: Vec<Content>,
}

impl Replay {
    /// A disk that holds these files, synced, before anything was recorded.
    pub fn holding(files: impl IntoIterator<Item = (usize, Vec<u8>)>) -> Self {
        let mut replay = Self::default();
        for (file, synced) in files {
            let content = replay.add(Content { synced, since: Vec::new() });
            replay.names.insert(file, Name { on_disk: Some(content), now: Some(content) });
        }
        replay
    }

    fn add(&mut self, content: Content) -> usize {
        self.contents.push(content);
        self.contents.len() - 1
    }

    fn now(&mut self, file: usize) -> &mut Content {
        let content = match self.names.get(&file).and_then(|name| name.now) {
            Some(content) => content,
            None => {
                let content = self.add(Content::default());
                self.names.entry(file).or_default().now = Some(content);
                content
            }
        };
        &mut self.contents[content]
    }

    /// Goes one operation further.
    pub fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Create { file } => {
                let content = self.add(Content::default());
                self.names.entry(*file).or_default().now = Some(content);
            }
            Operation::Write { file, offset, bytes } => self.now(*file).since.push(Change::Write(*offset, Arc::from(&bytes[..]))),
            Operation::Truncate { file, bytes } => self.now(*file).since.push(Change::Size(*bytes)),
            Operation::Sync { file, with_folder, failed } => {
                let content = self.now(*file);
                let since = std::mem::take(&mut content.since);
                // After a failed sync the system takes what it could not write for written: it never will be.
                if !failed {
                    since.iter().for_each(|change| change.reach(&mut content.synced));
                }
                self.sync_names(*with_folder);
            }
            Operation::Delete { file, with_folder } => {
                self.names.entry(*file).or_default().now = None;
                self.sync_names(*with_folder);
            }
        }
    }

    fn sync_names(&mut self, wanted: bool) {
        if wanted {
            self.names.values_mut().for_each(|name| name.on_disk = name.now);
        }
    }

    /// What a start would find if the power were cut here, by the files' numbers.
    pub fn cut(&self, survives: Survives, random: &Entropy) -> BTreeMap<usize, Vec<u8>> {
        let chance = |percent: u64| random.below(100) < percent;
        let mut found = BTreeMap::new();
        for (file, name) in &self.names {
            let is_newest = match survives {
                Survives::Nothing => false,
                Survives::Everything => true,
                Survives::Prefix => chance(50),
                Survives::Sectors(percent) => chance(percent),
            };
            if let Some(content) = if is_newest { name.now } else { name.on_disk } {
                found.insert(*file, self.contents[content].cut(survives, random));
            }
        }
        found
    }
}

impl Change {
    fn reach(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(offset, written) => put(bytes, *offset as usize, written, |_| {}),
            Self::Size(size) => bytes.resize(*size as usize, 0),
        }
    }
}

/// Writes into `bytes`; what lies between its end and the offset is filled by `fill`.
fn put(bytes: &mut Vec<u8>, offset: usize, written: &[u8], fill: impl FnOnce(&mut [u8])) {
    let (end, old) = (offset + written.len(), bytes.len());
    if end > old {
        bytes.resize(end, 0);
        if offset > old {
            fill(&mut bytes[old..offset]);
        }
    }
    bytes[offset..end].copy_from_slice(written);
}

impl Content {
    fn cut(&self, survives: Survives, random: &Entropy) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        match survives {
            Survives::Nothing => {}
            Survives::Everything => self.since.iter().for_each(|change| change.reach(&mut bytes)),
            Survives::Prefix => {
                let whole = random.below(self.since.len() as u64 + 1) as usize;
                self.since[..whole].iter().for_each(|change| change.reach(&mut bytes));
                if let Some(Change::Write(offset, written)) = self.since.get(whole) {
                    // Up to the end of some sector of the file.
                    let sectors = written.len().div_ceil(SECTOR_BYTES) as u64;
                    let end = (*offset as usize / SECTOR_BYTES + random.below(sectors + 1) as usize) * SECTOR_BYTES;
                    let length = end.saturating_sub(*offset as usize).min(written.len());
                    put(&mut bytes, *offset as usize, &written[..length], |_| {});
                }
            }
            Survives::Sectors(percent) => {
                for change in &self.since {
                    match change {
                        Change::Size(_) if random.below(100) >= percent => {}
                        Change::Size(_) => change.reach(&mut bytes),
                        Change::Write(offset, written) => {
                            let (mut at, mut rest) = (*offset as usize, &written[..]);
                            while !rest.is_empty() {
                                let (piece, after) = rest.split_at((SECTOR_BYTES - at % SECTOR_BYTES).min(rest.len()));
                                if random.below(100) < percent {
                                    put(&mut bytes, at, piece, |gap| random.fill(gap));
                                }
                                at += piece.len();
                                rest = after;
                            }
                        }
                    }
                }
            }
        }
        bytes
    }
}

crate::statements! {
    INSERT = "insert into store_probe (id, number) values ($1, $2)";
    COUNT_UP = "insert into store_probe (id, number) values ('total', 1) on conflict (id) do update set number = store_probe.number + 1";
    ALL = "select id, number from store_probe order by id";
}

static CALLER: Caller = Caller::system("power cut");
/// Rows of one unit, beside the one that counts all units.
const ROWS: i64 = 3;

/// What became of the units after many power cuts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PowerCut {
    /// How often the power was cut.
    pub cuts: usize,
    /// Operations of the disk that were recorded, and between which it was cut.
    pub operations: usize,
    /// Syncs of the database among them, which end a checkpoint each.
    pub checkpoints: usize,
    /// Units that were answered, all in all, and had to be there wherever the cut came after the answer.
    pub acknowledged: usize,
    /// Answered units that were not there: must be 0.
    pub lost: usize,
    /// Units of which a part was there: must be 0.
    pub halves: usize,
    /// Databases that did not open or did not pass SQLite's integrity check: must be 0.
    pub damaged: usize,
}

/// Runs units of several callers on a recording disk, cuts the power at `cuts` places that follow from `seed` (every fourth
/// time once more while the store recovers), and looks for every answered unit. SQLite only.
pub async fn power_cut(cuts: usize, seed: u64) -> PowerCut {
    let random = Entropy::seeded(seed);
    let root = scratch(&format!("power_cut_{seed}"));
    let disk = Disk::register();
    let mut config = Config::new(root.join("live"), None);
    config.key_file = Some(root.join("secret.key"));
    config.on_fatal = Arc::new(|reason| eprintln!("the store has stopped: {reason}"));
    config.vfs = Some(disk.name());
    // Small, so that the log is emptied beside the units and starts over many times.
    config.limits = Limits {
        wal_checkpoint_bytes: 64 << 10,
        wal_look_every: Duration::from_millis(2),
        wal_brake_bytes: 256 << 10,
        ..Limits::default()
    };

    let answered = Arc::new(Mutex::new(Vec::new()));
    for phase in 0..2 {
        let store = Store::open(config.clone()).await.expect("the store opens");
        load(&store, disk, phase, &answered).await;
        store.close().await;
    }
    let (files, operations) = disk.take();
    let answered = std::mem::take(&mut *answered.lock().unwrap_or_else(PoisonError::into_inner));
    let of_database = |operation: &&Operation| match operation {
        Operation::Sync { file, .. } => files[*file].extension().is_some_and(|end| end == "db"),
        _ => false,
    };
    let checkpoints = operations.iter().filter(of_database).count();
    let mut found =
        PowerCut { checkpoints, cuts: 0, operations: operations.len(), acknowledged: answered.len(), lost: 0, halves: 0, damaged: 0 };

    // Half of the places right after an answer, which is where a commit that was not synced would show.
    let mut places: Vec<usize> = (0..cuts)
        .map(|cut| match answered.get(random.below(answered.len() as u64) as usize) {
            Some((_, position)) if cut % 2 == 0 => *position,
            _ => random.below(operations.len() as u64 + 1) as usize,
        })
        .collect();
    places.sort_unstable();
    let (mut replay, mut at) = (Replay::default(), 0);
    for (number, place) in places.into_iter().enumerate() {
        operations[at..place].iter().for_each(|operation| replay.apply(operation));
        at = place;
        let expected: Vec<&str> = answered.iter().filter(|(_, position)| *position <= place).map(|(unit, _)| unit.as_str()).collect();
        let image = replay.cut(Survives::any(&random), &random);
        let folder = root.join(format!("cut {number}"));
        if number % 4 == 3 {
            // And once more, while a start makes good what the first cut left.
            let image = cut_again(&config, &files, &image, &folder.join("first"), &random).await;
            put_down(&files, &image, &folder);
        } else {
            put_down(&files, &image, &folder);
        }
        found.cuts += 1;
        look(&config, &folder, &expected, &mut found).await;
        let _ = std::fs::remove_dir_all(&folder);
    }
    let _ = std::fs::remove_dir_all(&root);
    found
}

/// An empty folder, in memory where the system has one there: syncs are recorded, and none needs a real disk.
pub fn scratch(name: &str) -> PathBuf {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let folder = parent.join(format!("tessera_test_{}_{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("the folder is made");
    folder.canonicalize().expect("the folder is there")
}

/// Lets several callers write, and notes after how many operations of the disk each was answered.
async fn load(store: &Store, disk: &'static Disk, phase: usize, answered: &Arc<Mutex<Vec<(String, usize)>>>) {
    let callers = (0..8).map(|caller| {
        let (store, answered) = (store.clone(), answered.clone());
        tokio::spawn(async move {
            for number in 0..60 {
                let unit = format!("{phase}.{caller}.{number}");
                let committed_at = Arc::new(Mutex::new(usize::MAX));
                let input = (unit.clone(), number % 7 == 6, disk, committed_at.clone());
                let kept = store.write(&CALLER, input, |tx, (unit, is_refused, disk, committed_at)| {
                    Box::pin(async move {
                        for row in 0..ROWS {
                            tx.execute(&INSERT, params![format!("{unit}/{row}"), row]).await?;
                        }
                        tx.execute(&COUNT_UP, &[]).await?;
                        tx.after_commit(move || *committed_at.lock().unwrap_or_else(PoisonError::into_inner) = disk.position());
                        if is_refused { Err(StoreError::Busy) } else { Ok(()) }
                    })
                });
                if kept.await.is_ok() {
                    // Whichever is earlier: a hook or an answer that came before the sync must show.
                    let committed_at = *committed_at.lock().unwrap_or_else(PoisonError::into_inner);
                    let position = committed_at.min(disk.position());
                    answered.lock().unwrap_or_else(PoisonError::into_inner).push((unit, position));
                }
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.expect("a caller does not panic");
    }
}

/// Starts a store on what a cut left, and cuts again at any of the operations that this takes.
async fn cut_again(
    config: &Config,
    files: &[PathBuf],
    image: &BTreeMap<usize, Vec<u8>>,
    folder: &Path,
    random: &Entropy,
) -> BTreeMap<usize, Vec<u8>> {
    put_down(files, image, folder);
    let disk = Disk::register();
    let again = Config { folder: folder.to_owned(), vfs: Some(disk.name()), ..config.clone() };
    if let Ok(store) = Store::open(again).await {
        store.close().await;
    }
    let (again_files, operations) = disk.take();
    // The same numbers as in the first recording.
    let number = |file: usize| files.iter().position(|known| known.file_name() == again_files[file].file_name());
    let mut replay = Replay::holding(image.clone());
    for operation in &operations[..random.below(operations.len() as u64 + 1) as usize] {
        let mut operation = operation.clone();
        let file = match &mut operation {
            Operation::Create { file }
            | Operation::Write { file, .. }
            | Operation::Truncate { file, .. }
            | Operation::Sync { file, .. }
            | Operation::Delete { file, .. } => file,
        };
        if let Some(known) = number(*file) {
            *file = known;
            replay.apply(&operation);
        }
    }
    replay.cut(Survives::any(random), random)
}

/// Writes an image into a folder, under the files' own names.
pub fn put_down(files: &[PathBuf], image: &BTreeMap<usize, Vec<u8>>, folder: &Path) {
    std::fs::create_dir_all(folder).expect("the folder is made");
    for (file, bytes) in image {
        let name = files[*file].file_name().expect("a file has a name");
        std::fs::write(folder.join(name), bytes).expect("the file is written");
    }
}

/// Opens a store on what is left and compares it with what was answered.
async fn look(config: &Config, folder: &Path, expected: &[&str], found: &mut PowerCut) {
    let config = Config { folder: folder.to_owned(), vfs: None, ..config.clone() };
    let store = match Store::open(config).await {
        Ok(store) => store,
        Err(error) => {
            eprintln!("{}: {error}", folder.display());
            found.damaged += 1;
            return;
        }
    };
    let rows = store.read().rows(&ALL, &[], |row| Ok((row.get::<String>(0)?, row.get::<i64>(1)?))).await;
    match rows {
        Ok(rows) => {
            let (lost, halves) = compare(&rows, expected);
            found.lost += lost;
            found.halves += halves;
        }
        Err(_) => found.damaged += 1,
    }
    if backup::check(folder).is_err() {
        found.damaged += 1;
    }
    store.close().await;
}

/// How many of the expected units are missing, and how many units are there in part.
fn compare(rows: &[(String, i64)], expected: &[&str]) -> (usize, usize) {
    let mut units: BTreeMap<&str, i64> = BTreeMap::new();
    let mut total = 0;
    for (id, number) in rows {
        match id.split_once('/') {
            Some((unit, _)) => *units.entry(unit).or_default() += 1,
            None => total = *number,
        }
    }
    let lost = expected.iter().filter(|unit| !units.contains_key(*unit)).count();
    let halves = units.values().filter(|rows| **rows != ROWS).count() + usize::from(total != units.len() as i64);
    (lost, halves)
}
