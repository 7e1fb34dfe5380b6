//! What a load costs beside time: processor time here and in the database's server, bytes for the disk, and the disk itself.

use std::io::{Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use store::{Engine, Reads, Store};

use super::load::percentile;

store::statements! {
    BACKEND = sqlite "select 0" postgres "select cast(pg_backend_pid() as bigint)";
    WAL_BYTES = sqlite "select 0" postgres "select cast(pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') as bigint)";
}

/// What was used up to a moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Used {
    /// Seconds of processor time of this process.
    pub(super) own_s: f64,
    /// Of these, SQLite's writer, which everything passes through.
    pub(super) writer_s: f64,
    /// The same of the processes of the database's server, where it runs on this machine.
    pub(super) server_s: f64,
    /// Bytes that SQLite gave to the disk, or that PostgreSQL wrote to its log.
    pub(super) bytes: u64,
}

/// Reads the meters of a store.
pub(super) struct Meter {
    store: Store,
    /// The server's first process, the parent of all others.
    postmaster: Option<u32>,
}

impl Meter {
    pub(super) async fn new(store: &Store) -> Result<Self, String> {
        let postmaster = match store.engine() {
            Engine::Sqlite => None,
            Engine::Postgres => {
                let backend = store.read().row(&BACKEND, &[], |row| row.get::<i64>(0)).await.map_err(|e| e.to_string())?;
                backend.and_then(|pid| stat(u32::try_from(pid).ok()?)).map(|stat| stat.parent)
            }
        };
        Ok(Self { store: store.clone(), postmaster })
    }

    pub(super) async fn read(&self) -> Result<Used, String> {
        let bytes = match self.store.engine() {
            Engine::Sqlite => written_bytes(),
            Engine::Postgres => {
                let bytes = self.store.read().row(&WAL_BYTES, &[], |row| row.get::<i64>(0)).await.map_err(|e| e.to_string())?;
                bytes.unwrap_or(0).unsigned_abs()
            }
        };
        Ok(Used { own_s: own_seconds(), writer_s: writer_seconds(), server_s: self.postmaster.map_or(0.0, server_seconds), bytes })
    }
}

#[expect(unsafe_code, reason = "the kernel's own account of this process, finer than the ticks of /proc")]
fn own_seconds() -> f64 {
    // SAFETY: rusage is plain numbers, for which zeroes are values, and getrusage fills it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// What the threads of this process that write SQLite's files have used.
fn writer_seconds() -> f64 {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten().map(|entry| entry.path());
    let writers = threads.filter(|thread| std::fs::read_to_string(thread.join("comm")).is_ok_and(|name| name.trim() == "store-writer"));
    let nanos = writers.filter_map(|thread| {
        let text = std::fs::read_to_string(thread.join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    nanos.sum::<u64>() as f64 / 1e9
}

fn written_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.parse().ok()).unwrap_or(0)
}

struct Stat {
    parent: u32,
    ticks: u64,
    /// Of children that have ended.
    ended_ticks: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit(')').next()?.split_whitespace().collect();
    let number = |at: usize| fields.get(at).and_then(|word| word.parse::<u64>().ok());
    Some(Stat { parent: u32::try_from(number(1)?).ok()?, ticks: number(11)? + number(12)?, ended_ticks: number(13)? + number(14)? })
}

fn server_seconds(postmaster: u32) -> f64 {
    let Some(first) = stat(postmaster) else { return 0.0 };
    let pids = std::fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let children = pids.filter_map(stat).filter(|stat| stat.parent == postmaster).map(|stat| stat.ticks);
    (first.ticks + first.ended_ticks + children.sum::<u64>()) as f64 / 100.0
}

/// How long this disk takes to make four kilobytes durable where a file has room for them already, as a log has that starts
/// over: the median of many, beside nothing else.
pub(super) fn sync_time(folder: &Path) -> Result<Duration, String> {
    const TIMES: usize = 200;
    let path = folder.join("sync.probe");
    let probe = || -> std::io::Result<Vec<Duration>> {
        let mut file = std::fs::File::create(&path)?;
        file.write_all(&vec![1; 4096 * TIMES])?;
        file.sync_all()?;
        file.rewind()?;
        let mut times = Vec::with_capacity(TIMES);
        for _ in 0..TIMES {
            let started = Instant::now();
            file.write_all(&[7; 4096])?;
            file.sync_data()?;
            times.push(started.elapsed());
        }
        std::fs::remove_file(&path)?;
        Ok(times)
    };
    let mut times = probe().map_err(|e| e.to_string())?;
    Ok(percentile(&mut times, 50))
}
