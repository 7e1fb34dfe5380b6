//! Loads: callers that post for a while, and what was measured meanwhile and until everything was booked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::cost::{Meter, Used};
use super::scene::{Books, Shape};

/// What is posted, and by how many.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) shape: Shape,
    pub(super) batch: usize,
    pub(super) callers: usize,
    /// Between accounts with a limit.
    pub(super) limits: bool,
    /// One transfer at a time through `ledger::post`, in a unit of work of the caller's own.
    pub(super) posts: bool,
}

impl Plan {
    pub(super) const fn new(shape: Shape, batch: usize, callers: usize) -> Self {
        Self { shape, batch, callers, limits: false, posts: false }
    }

    /// Whether both are the same load.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        (self.shape, self.batch, self.callers, self.limits) == (other.shape, other.batch, other.callers, other.limits)
    }
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measured {
    /// Durable transfers a second.
    pub(super) per_s: f64,
    /// The same, counted until the keeper had booked the last one.
    pub(super) booked_per_s: f64,
    /// Transfers that were not booked yet when the callers stopped.
    pub(super) behind: u64,
    /// Microseconds of processor time per transfer, booked: of this process, callers and keeper included.
    pub(super) own_us: f64,
    /// Of these, the one thread that writes to SQLite.
    pub(super) writer_us: f64,
    /// The same of the database's server.
    pub(super) server_us: f64,
    /// Bytes per transfer that went to the disk, or to the server's log.
    pub(super) bytes: f64,
    /// Units that were turned away because too many waited, and are not counted otherwise.
    pub(super) refused: u64,
    /// Half of the units were answered within this.
    pub(super) p50: Duration,
    pub(super) p99: Duration,
}

/// The duration that `percent` of `times` stay within; sorts them.
pub(super) fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    let last = times.len().saturating_sub(1);
    times.get((times.len() * percent / 100).min(last)).copied().unwrap_or_default()
}

/// What callers did.
struct Posted {
    count: u64,
    times: Vec<Duration>,
    /// Until the last one had its answer.
    elapsed: Duration,
    /// Transfers that were not booked yet when the callers stopped.
    behind: u64,
}

/// Posts as planned for `time`.
async fn posted(books: &Arc<Books>, plan: Plan, time: Duration) -> Result<Posted, String> {
    let stop = Arc::new(AtomicBool::new(false));
    let started = Instant::now();
    let tasks: Vec<_> = (0..plan.callers as u64)
        .map(|caller| {
            let (books, stop, mut maker) = (books.clone(), stop.clone(), books.maker(plan.shape, plan.limits, caller));
            tokio::spawn(async move {
                let (mut count, mut times) = (0, Vec::new());
                while !stop.load(Ordering::Relaxed) {
                    let mut batch = maker.batch(plan.batch);
                    let asked = Instant::now();
                    count += match batch.pop() {
                        Some(transfer) if plan.posts => books.post_one(transfer).await?,
                        Some(last) => {
                            batch.push(last);
                            books.post(batch).await?
                        }
                        None => 0,
                    };
                    times.push(asked.elapsed());
                }
                Ok::<_, String>((count, times))
            })
        })
        .collect();
    tokio::time::sleep(time).await;
    stop.store(true, Ordering::Relaxed);
    let behind = books.behind().await?;
    let (mut count, mut times) = (0, Vec::new());
    for task in tasks {
        let (own, own_times) = task.await.map_err(|e| e.to_string())??;
        count += own;
        times.extend(own_times);
    }
    Ok(Posted { count, times, elapsed: started.elapsed(), behind })
}

/// Posts as planned for `time`, then waits until everything was booked.
pub(super) async fn measure(books: &Arc<Books>, meter: &Meter, plan: Plan, time: Duration) -> Result<Measured, String> {
    let (before, refused_before) = (meter.read().await?, books.refused());
    let started = Instant::now();
    let Posted { count, mut times, elapsed, behind } = posted(books, plan, time).await?;
    books.until_booked().await?;
    let until_booked = started.elapsed();
    let after = meter.read().await?;
    let each = |total: f64| total / (count as f64).max(1.0);
    Ok(Measured {
        per_s: count as f64 / elapsed.as_secs_f64(),
        booked_per_s: count as f64 / until_booked.as_secs_f64(),
        behind,
        own_us: each((after.own_s - before.own_s) * 1e6),
        writer_us: each((after.writer_s - before.writer_s) * 1e6),
        server_us: each((after.server_s - before.server_s) * 1e6),
        bytes: each((after.bytes - before.bytes) as f64),
        refused: books.refused() - refused_before,
        p50: percentile(&mut times, 50),
        p99: percentile(&mut times, 99),
    })
}

/// What a transfer costs in one of its two phases, with nobody beside.
pub(super) struct Phase {
    pub(super) per_s: f64,
    pub(super) own_us: f64,
    pub(super) writer_us: f64,
    pub(super) server_us: f64,
}

/// Posts for `time` while the keeper rests, then books it all with nobody posting: both apart.
pub(super) async fn phases(books: &Arc<Books>, meter: &Meter, time: Duration) -> Result<[Phase; 2], String> {
    books.rest();
    let before = meter.read().await?;
    let done = posted(books, Plan::new(Shape::Uniform, 1_000, 16), time).await?;
    let between = meter.read().await?;
    let started = Instant::now();
    ledger::keeper::catch_up(&books.store).await.map_err(|e| e.to_string())?;
    let booked_in = started.elapsed();
    let after = meter.read().await?;
    books.resume();
    let phase = |from: Used, to: Used, took: Duration| {
        let each = |seconds: f64| seconds * 1e6 / (done.count as f64).max(1.0);
        Phase {
            per_s: done.count as f64 / took.as_secs_f64(),
            own_us: each(to.own_s - from.own_s),
            writer_us: each(to.writer_s - from.writer_s),
            server_us: each(to.server_s - from.server_s),
        }
    };
    Ok([phase(before, between, done.elapsed), phase(between, after, booked_in)])
}

/// How long single transfers waited while a large batch of somebody else's went in chunks.
pub(super) struct Beside {
    pub(super) p50: Duration,
    pub(super) p99: Duration,
    pub(super) most: Duration,
    /// How long each large batch took: the median.
    pub(super) batch: Duration,
    pub(super) batches: usize,
}

/// Rows of a large batch, and of each chunk that it goes in.
const LARGE: usize = 8_000;
const CHUNK: usize = 250;

/// One caller sends batches of 8,000 rows in chunks as bulk work; another posts single transfers.
pub(super) async fn beside_a_large_batch(books: &Arc<Books>, time: Duration) -> Result<Beside, String> {
    let stop = Arc::new(AtomicBool::new(false));
    let (theirs, their_stop, mut their_maker) = (books.clone(), stop.clone(), books.maker(Shape::Uniform, false, 1));
    let large = tokio::spawn(async move {
        let mut times = Vec::new();
        while !their_stop.load(Ordering::Relaxed) {
            let batch = their_maker.batch(LARGE);
            let asked = Instant::now();
            for chunk in batch.chunks(CHUNK) {
                theirs.post_bulk(chunk.to_vec()).await?;
            }
            times.push(asked.elapsed());
        }
        Ok::<_, String>(times)
    });
    let (started, mut maker, mut times) = (Instant::now(), books.maker(Shape::Uniform, false, 2), Vec::new());
    while started.elapsed() < time {
        let transfer = maker.transfer();
        let asked = Instant::now();
        books.post(vec![transfer]).await?;
        times.push(asked.elapsed());
    }
    stop.store(true, Ordering::Relaxed);
    let mut batches = large.await.map_err(|e| e.to_string())??;
    books.until_booked().await?;
    Ok(Beside {
        p50: percentile(&mut times, 50),
        p99: percentile(&mut times, 99),
        most: percentile(&mut times, 100),
        batch: percentile(&mut batches, 50),
        batches: batches.len(),
    })
}
