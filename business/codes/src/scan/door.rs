//! The door of a scan: from a request to its outcome, recorded on the way.
//!
//! [`Scanner::scan`] answers from memory, without waiting, allocating or asking the system for more than the time; it leaves
//! what needs the database (a code not seen lately, a code with a limit) to [`Scanner::scan_slowly`].

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cache::{Cache, Known, Limits, Versioned};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use kernel::{Caller, Timestamp};
use store::{Store, StoreError, params};
use tokio::sync::watch;

use super::agent::{Agent, Agents};
use super::doubles::{FastMap, WINDOW_MICROS};
use super::error::ScanError;
use super::fold::Fold;
use super::journal::{Folder, Health, Journal, Position};
use super::record::{Network, REFERRER_BYTES, Record, language, place, referrer_host};
use super::salt::{Salts, device_hash, header_hash};
use super::sql;
use super::target::{Target, Way, location_with};
use crate::events::{CodeChanged, RecordingChanged};
use crate::{Closed, PublicCode, queries};

/// How often the journal is counted when little is waiting.
const FOLD_EVERY: Duration = Duration::from_millis(300);
/// How often the fold looks whether it has something to do.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// So many scans waiting are counted before their time.
const SOON: u64 = 4_096;
/// A longer backlog than this lets the fold work half of the time, twice as long a one all the time; else a fifth.
const BACKLOG: u64 = 2_000_000;
/// How long a failed fold rests before it tries again.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// How long [`Scanner::settle`] waits at most.
const SETTLE_MAX: Duration = Duration::from_secs(30);
/// Devices that used up a limited scan lately; beyond, the oldest are forgotten.
const LIMITED_MAX: usize = 50_000;

/// What a scanner is started with.
#[derive(Clone)]
pub struct Setup {
    /// Where codes are kept and scans are counted.
    pub store: Store,
    /// The journal's folder, `journal` in the data folder.
    pub folder: PathBuf,
    /// Bytes of codes that are kept in memory.
    pub cache_bytes: u64,
    /// Bytes of one journal segment; 8 MiB hold some 87,000 scans.
    pub segment_bytes: usize,
}

impl Setup {
    /// 32 MiB of codes in memory, segments of 8 MiB.
    pub fn new(store: Store, folder: impl Into<PathBuf>) -> Self {
        Self { store, folder: folder.into(), cache_bytes: 32 << 20, segment_bytes: 8 << 20 }
    }
}

/// One request for a code, borrowed from the connection.
#[derive(Debug, Clone, Copy)]
pub struct ScanRequest<'a> {
    /// The one segment of the path.
    pub code: &'a str,
    /// What follows the question mark.
    pub query: Option<&'a str>,
    /// GET; a HEAD is answered alike and is no scan.
    pub is_get: bool,
    /// The request's headers.
    pub headers: &'a HeaderMap,
    /// The visitor's address, proxies taken into account.
    pub address: IpAddr,
    /// The visitor's country in two letters, from a header of a trusted proxy.
    pub place: Option<&'a [u8]>,
}

/// What a scan is answered with.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// 302 with this `Location` and `no-store`.
    Redirect(HeaderValue),
    /// 200 with the page of [`Target::thing`].
    Open(Arc<Target>),
    /// A page that says why there is nothing: 404 for unbound, 410 for retired, expired and used up, 503 or 404 for paused.
    Closed(Arc<Target>, Closed),
    /// 404: no code of this installation.
    NotFound,
    /// 503: the code is not in memory and the database does not answer.
    Busy,
}

/// What the scanner has done since it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Scans that were answered and recorded.
    pub recorded: u64,
    /// Scans that were answered but not recorded, because the disk was full.
    pub refused: u64,
    /// Records of the journal that are not counted yet, at most.
    pub waiting: u64,
    /// Records that were counted.
    pub counted: u64,
    /// Codes in memory.
    pub cached: usize,
}

/// Answers scans. Cheap to clone.
#[derive(Clone)]
pub struct Scanner(Arc<Inner>);

struct Inner {
    store: Store,
    cache: Cache<u64, Arc<Target>>,
    journal: Arc<Journal>,
    salts: Salts,
    agents: Agents,
    /// Who used up a scan of a limited code in the last five seconds, and when.
    limited: Mutex<FastMap<Timestamp>>,
    folded: watch::Sender<Position>,
    counted: AtomicU64,
    is_hurried: AtomicBool,
    is_failing: AtomicBool,
    is_stopping: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What can be told of a request apart from its code.
struct Visit {
    now: Timestamp,
    agent: Agent,
    device: u64,
    is_scan: bool,
}

/// Opens the journal, takes up counting where it was left and starts answering.
pub async fn start(setup: Setup) -> Result<Scanner, ScanError> {
    let Setup { store, folder, cache_bytes, segment_bytes } = setup;
    let folder = Folder::open(&folder, store.entropy())?;
    let counted = Fold::mark_of(&store, folder.node()).await?;
    let journal = Arc::new(Journal::open(folder, counted.segment, segment_bytes)?);
    let fold = Fold::begin(store.clone(), journal.clone()).await?;
    let salts = Salts::new(store.entropy());
    salts.renew(&store).await?;
    let cache = Cache::new(Limits::bytes(cache_bytes), store.clock().clone(), |_, target: Option<&Arc<Target>>| {
        target.map_or(0, |target| target.weight())
    });
    let scanner = Scanner(Arc::new(Inner {
        cache,
        journal,
        salts,
        agents: Agents::default(),
        limited: Mutex::default(),
        folded: watch::channel(fold.position()).0,
        counted: AtomicU64::new(0),
        is_hurried: AtomicBool::new(false),
        is_failing: AtomicBool::new(false),
        is_stopping: AtomicBool::new(false),
        thread: Mutex::new(None),
        store,
    }));
    let (inner, runtime) = (scanner.0.clone(), tokio::runtime::Handle::current());
    let run = move || runtime.block_on(fold_loop(&inner, fold));
    let thread = std::thread::Builder::new().name("scan-fold".to_owned()).spawn(run);
    let thread = thread.map_err(|error| StoreError::Setup { advice: format!("cannot start a thread: {error}") })?;
    *scanner.0.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
    Ok(scanner)
}

impl Scanner {
    /// Answers from memory and records the scan; `None` when the database must be asked: then call [`Scanner::scan_slowly`].
    pub fn scan(&self, request: &ScanRequest<'_>) -> Option<Outcome> {
        let Ok(code) = PublicCode::parse(request.code.as_bytes()) else { return Some(Outcome::NotFound) };
        match self.0.cache.known(&code.number()) {
            Known::Value(target) if !target.is_limited() => Some(self.answer(target, request, &self.visit(request), true)),
            Known::Absent => Some(Outcome::NotFound),
            _ => None,
        }
    }

    /// Answers with the help of the database and records the scan.
    pub async fn scan_slowly(&self, request: &ScanRequest<'_>) -> Outcome {
        let Ok(code) = PublicCode::parse(request.code.as_bytes()) else { return Outcome::NotFound };
        let found = match self.0.cache.known(&code.number()) {
            // What is left of a limited code is known to the database alone.
            Known::Value(target) if target.is_limited() => self.load(code).await.map(|found| found.map(|found| found.value)),
            _ => self.0.cache.get_or_load(&code.number(), || self.load(code)).await,
        };
        let target = match found {
            Ok(Some(target)) => target,
            Ok(None) => return Outcome::NotFound,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "a code could not be looked up");
                return Outcome::Busy;
            }
        };
        let visit = self.visit(request);
        let has_left = match self.take_one(&target, &visit).await {
            Ok(has_left) => has_left,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "a limited scan could not be counted");
                return Outcome::Busy;
            }
        };
        self.answer(target, request, &visit, has_left)
    }

    /// Forgets what is known of a code, whose row now has `version`.
    pub fn forget(&self, code: PublicCode, version: i64) {
        self.0.cache.invalidate(&code.number(), version);
    }

    /// Follows the log: call it with every fact that the feed brings.
    pub fn hear(&self, entry: &outbox::Entry) {
        if let Some(changed) = entry.decode::<CodeChanged>() {
            self.forget(changed.code, changed.version);
        } else if entry.decode::<RecordingChanged>().is_some() {
            // Rare, and a workspace's codes are not known by workspace.
            self.0.cache.clear();
        }
    }

    /// Call it when facts may be missing: keeps what is loaded for a second at most until [`Scanner::trust`].
    pub fn doubt(&self) {
        self.0.cache.doubt();
    }

    /// Call it when facts arrive again.
    pub fn trust(&self) {
        self.0.cache.trust();
    }

    /// Waits until everything that is recorded so far is counted.
    pub async fn settle(&self) -> Result<(), ScanError> {
        let end = self.0.journal.end();
        let mut folded = self.0.folded.subscribe();
        let reached = async {
            while *folded.borrow_and_update() < end {
                self.0.is_hurried.store(true, Ordering::Release);
                self.wake();
                if let Ok(Err(_)) = tokio::time::timeout(LOOK_EVERY * 2, folded.changed()).await {
                    break;
                }
            }
        };
        tokio::time::timeout(SETTLE_MAX, reached).await.map_err(|_| ScanError::Store(StoreError::Busy))
    }

    /// Whether scans are recorded and counted; for readiness.
    pub fn health(&self) -> Health {
        match self.0.journal.health() {
            Health::Good if self.0.is_failing.load(Ordering::Relaxed) || self.has_fold_ended() => Health::Uncounted,
            health => health,
        }
    }

    /// What was done since the start.
    pub fn stats(&self) -> Stats {
        Stats {
            recorded: self.0.journal.appended(),
            refused: self.0.journal.refused(),
            waiting: self.0.journal.waiting(*self.0.folded.borrow()),
            counted: self.0.counted.load(Ordering::Relaxed),
            cached: self.0.cache.len(),
        }
    }

    /// Counts what is recorded, brings the journal to the disk and ends the threads; call it when no more scans are answered.
    pub async fn stop(&self) -> Result<(), ScanError> {
        self.0.is_stopping.store(true, Ordering::Release);
        self.wake();
        let thread = self.0.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let journal = self.0.journal.clone();
        let ended = tokio::task::spawn_blocking(move || {
            if let Some(thread) = thread {
                let _ = thread.join();
            }
            journal.close()
        });
        match ended.await {
            Ok(closed) => Ok(closed?),
            Err(_) => Ok(()),
        }
    }

    /// Whether nobody counts any more: only a defect ends the thread before it is stopped.
    fn has_fold_ended(&self) -> bool {
        self.0.thread.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(JoinHandle::is_finished)
    }

    fn wake(&self) {
        if let Some(thread) = &*self.0.thread.lock().unwrap_or_else(PoisonError::into_inner) {
            thread.thread().unpark();
        }
    }

    async fn load(&self, code: PublicCode) -> Result<Option<Versioned<Arc<Target>>>, crate::CodeError> {
        let found = queries::resolve_everywhere(&mut self.0.store.read(), code).await?;
        Ok(found.map(|row| Versioned::new(Arc::new(Target::from(&row)), row.version)))
    }

    fn visit(&self, request: &ScanRequest<'_>) -> Visit {
        let now = self.0.store.clock().now();
        let salt = self.0.salts.of(now);
        let header = request.headers.get(header::USER_AGENT).map_or(&[][..], HeaderValue::as_bytes);
        let hash = header_hash(salt, header);
        let agent = self.0.agents.tell(hash, header);
        let is_scan = request.is_get && !agent.is_preview() && !is_prefetch(request.headers);
        Visit { now, agent, device: device_hash(salt, request.address, hash), is_scan }
    }

    /// Whether a limited code has a scan for this visit, taking it where the visit is one. A device that took one less than
    /// five seconds ago does not take another.
    async fn take_one(&self, target: &Target, visit: &Visit) -> Result<bool, StoreError> {
        if !target.is_limited() || !target.is_open(visit.now) {
            return Ok(true);
        }
        if !visit.is_scan {
            return Ok(target.has_left());
        }
        let code = target.code().number();
        let key = visit.device ^ code.wrapping_mul(0xD6E8_FEB8_6659_FD93);
        let is_recent = |at: &Timestamp| (visit.now.as_micros() - at.as_micros()).abs() < WINDOW_MICROS;
        if target.recording().device && self.0.limited.lock().unwrap_or_else(PoisonError::into_inner).get(&key).is_some_and(is_recent) {
            return Ok(true);
        }
        let taken = self
            .0
            .store
            .write(&Caller::system("scan"), code.cast_signed(), |tx, code| {
                Box::pin(async move { tx.execute(&sql::TAKE_ONE_EVERYWHERE, params![code]).await })
            })
            .await?;
        if taken > 0 && target.recording().device {
            let mut limited = self.0.limited.lock().unwrap_or_else(PoisonError::into_inner);
            if limited.len() >= LIMITED_MAX {
                limited.retain(|_, at| is_recent(at));
            }
            if limited.len() >= LIMITED_MAX {
                limited.clear();
            }
            limited.insert(key, visit.now);
        }
        Ok(taken > 0)
    }

    /// The outcome at a code; a scan that leads somewhere is recorded before anybody hears of it.
    fn answer(&self, target: Arc<Target>, request: &ScanRequest<'_>, visit: &Visit, has_left: bool) -> Outcome {
        let outcome = match target.way(visit.now, has_left) {
            Way::Location(location) => Outcome::Redirect(location_with(location, request.query)),
            Way::Thing(_) => {
                self.record(&target, request, visit);
                return Outcome::Open(target);
            }
            Way::Closed(why) => return Outcome::Closed(target, why),
        };
        self.record(&target, request, visit);
        outcome
    }

    fn record(&self, target: &Target, request: &ScanRequest<'_>, visit: &Visit) {
        if !visit.is_scan {
            return;
        }
        let recording = target.recording();
        let header = |name| request.headers.get(name).map(HeaderValue::as_bytes);
        let record = Record {
            code: target.code().number(),
            at: visit.now,
            device: if recording.device { visit.device } else { 0 },
            workspace: target.workspace(),
            agent: if recording.device { visit.agent } else { visit.agent.without_device() },
            is_limited: target.is_limited(),
            language: if recording.device { header(header::ACCEPT_LANGUAGE).map_or([0; 2], language) } else { [0; 2] },
            place: if recording.place { request.place.map_or([0; 2], place) } else { [0; 2] },
            network: recording.address.then(|| Network::of(request.address)),
            referrer: header(header::REFERER).map_or([0; REFERRER_BYTES], referrer_host),
        };
        // Without room in the journal the scan is answered all the same; the journal counts and reports it.
        let _ = self.0.journal.append(&record);
    }
}

/// Headers by which a browser says that nobody is looking yet.
static AHEAD: [HeaderName; 4] = [
    HeaderName::from_static("sec-purpose"),
    HeaderName::from_static("purpose"),
    HeaderName::from_static("x-purpose"),
    HeaderName::from_static("x-moz"),
];

/// A browser that fetches ahead of its user, or draws a small picture of a page.
fn is_prefetch(headers: &HeaderMap) -> bool {
    AHEAD.iter().any(|name| {
        headers.get(name).is_some_and(|value| {
            let value = value.as_bytes();
            let says = |word: &[u8]| value.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word));
            says(b"prefetch") || says(b"prerender") || says(b"preview")
        })
    })
}

/// Counts the journal until it is stopped, and keeps the salts. Runs on a thread of its own, because a window takes longer
/// to add up than a worker may be held.
async fn fold_loop(inner: &Inner, mut fold: Fold) {
    let (mut last, mut rest) = (Instant::now(), FOLD_EVERY);
    loop {
        let is_stopping = inner.is_stopping.load(Ordering::Acquire);
        let is_hurried = inner.is_hurried.swap(false, Ordering::AcqRel);
        if let Err(error) = inner.salts.renew(&inner.store).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "the salt of the day could not be fetched");
        }
        let waiting = inner.journal.waiting(fold.position());
        let is_due = last.elapsed() >= rest && (last.elapsed() >= FOLD_EVERY || waiting >= SOON) && waiting > 0;
        if !(is_due || is_hurried || is_stopping) {
            std::thread::park_timeout(LOOK_EVERY);
            continue;
        }
        let began = Instant::now();
        let step = fold.step().await;
        inner.is_failing.store(step.is_err(), Ordering::Relaxed);
        rest = match &step {
            Ok(step) => {
                inner.counted.fetch_add(step.scans, Ordering::Relaxed);
                inner.folded.send_replace(step.at);
                let waiting = inner.journal.waiting(step.at);
                metrics::gauge!("scans_waiting").set(waiting as f64);
                metrics::counter!("scans_counted_total").increment(step.scans);
                metrics::histogram!("scans_fold_seconds").record(began.elapsed().as_secs_f64());
                // Scans come before their counting: it takes a fifth of a core, and more only when it falls behind.
                match waiting / BACKLOG {
                    0 => began.elapsed() * 4,
                    1 => began.elapsed(),
                    _ => Duration::ZERO,
                }
            }
            Err(error) => {
                tracing::error!(error = error as &dyn std::error::Error, "scans could not be counted; they wait in the journal");
                AFTER_FAILURE
            }
        };
        last = Instant::now();
        if is_stopping && step.is_ok_and(|step| step.scans > 0) {
            continue;
        }
        if is_stopping {
            return;
        }
    }
}
