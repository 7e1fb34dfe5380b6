//! Books to be measured: a store with accounts, the keeper at work beside, and transfers of every shape.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kernel::{Caller, Clock, Entropy, Id, RawId, WorkspaceId};
use ledger::judge::Judged;
use ledger::{AccountCode, AccountId, AccountKind, LedgerError, Limits, NewAccount, NewTransfer, Outcome, TransferId, Unit, keeper};
use store::testing::{TestPlace, fresh_place};
use store::{Config, Engine, P, Reads, Store, StoreError};
use tokio::task::JoinHandle;

use crate::Options;

pub(super) static SYSTEM: Caller = Caller::system("bench");
/// What each wallet begins with: more than any run takes away.
const FUNDS: i64 = 1_000_000_000_000;
/// Accounts that one unit opens.
const OPENED_AT_ONCE: usize = 250;

store::statements! {
    BOOKED = "select cast(coalesce(max(last_position), 0) as bigint) from ledger_blocks where workspace = $1";
}

/// Which accounts the transfers of a load go between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Any two.
    Uniform,
    /// Both by Zipf's law with s = 1: the first of 10,000 takes part in every fifth transfer or so.
    Zipf,
    /// From any to one that all share.
    Hot,
}

impl Shape {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Zipf => "zipf",
            Self::Hot => "hot",
        }
    }
}

/// Accounts of one kind, and how often each takes part by Zipf's law.
pub(super) struct Crowd {
    accounts: Vec<AccountId>,
    /// Sums of 1/rank up to each account.
    weights: Vec<f64>,
}

impl Crowd {
    fn new(accounts: Vec<AccountId>) -> Self {
        let weights = (1..=accounts.len()).scan(0.0, |sum, rank| {
            *sum += 1.0 / rank as f64;
            Some(*sum)
        });
        Self { weights: weights.collect(), accounts }
    }
}

/// Makes transfers for one caller.
pub(super) struct Maker {
    crowd: Arc<Crowd>,
    shape: Shape,
    unit: Unit,
    clock: Clock,
    state: u64,
}

impl Maker {
    fn random(&mut self) -> u64 {
        // SplitMix64: a caller's own sequence, so that callers do not wait for each other to make their transfers.
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.random()) * bound as u128) >> 64) as usize
    }

    fn by_zipf(&mut self) -> usize {
        let total = self.crowd.weights.last().copied().unwrap_or_default();
        let wanted = self.random() as f64 / u64::MAX as f64 * total;
        self.crowd.weights.partition_point(|sum| *sum < wanted).min(self.crowd.accounts.len() - 1)
    }

    pub(super) fn transfer(&mut self) -> NewTransfer {
        let count = self.crowd.accounts.len();
        let (debit, credit) = loop {
            let pair = match self.shape {
                Shape::Uniform => (self.below(count), self.below(count)),
                Shape::Zipf => (self.by_zipf(), self.by_zipf()),
                Shape::Hot => (self.below(count), 0),
            };
            if pair.0 != pair.1 {
                break pair;
            }
        };
        // As programs choose identifiers: UUIDv7.
        let random = (u128::from(self.random()) << 64) | u128::from(self.random());
        let bits = ((self.clock.now().as_millis() as u128) << 80) | (random >> 48);
        let amount = 1 + self.below(10_000) as i64;
        let id = TransferId::from_raw(RawId::from_bits(bits));
        NewTransfer::exactly(id, self.crowd.accounts[debit], self.crowd.accounts[credit], self.unit.clone(), amount)
    }

    pub(super) fn batch(&mut self, count: usize) -> Vec<NewTransfer> {
        (0..count).map(|_| self.transfer()).collect()
    }
}

/// A store with accounts, and the keeper beside it as in production.
pub(super) struct Books {
    pub(super) store: Store,
    pub(super) workspace: WorkspaceId,
    pub(super) folder: PathBuf,
    unit: Unit,
    free: Arc<Crowd>,
    wallets: Arc<Crowd>,
    /// Transfers that were recorded since the beginning.
    posted: AtomicU64,
    /// Units that were turned away because too many waited.
    refused: AtomicU64,
    keeper: Mutex<JoinHandle<()>>,
    place: Option<TestPlace>,
}

impl Books {
    /// New books with so many accounts without a limit, and so many wallets with enough in them.
    pub(super) async fn open(options: &Options, engine: Engine, accounts: usize, wallets: usize) -> Result<Self, String> {
        let folder = options.folder(&format!("ledger-{engine:?}-{accounts}"))?;
        let mut place = None;
        let config = match engine {
            Engine::Sqlite => Config::new(&folder, None),
            Engine::Postgres => {
                let fresh = place.insert(fresh_place().await);
                let url = fresh.config().database_url.ok_or("TESSERA_TEST_DATABASE names no PostgreSQL: start this with bench/run")?;
                Config::new(&folder, Some(url))
            }
        };
        let store = Store::open(config).await.map_err(|e| e.to_string())?;
        keeper::settle(&store).await.map_err(|e| e.to_string())?;
        let workspace = WorkspaceId::from_raw(RawId::generate(store.clock().now(), &Entropy::system()));
        let keeper = Mutex::new(tokio::spawn(keeper::keep(store.clone())));
        let unit = Unit::parse("EUR").map_err(|e| e.to_string())?;
        let empty = Arc::new(Crowd::new(Vec::new()));
        let (posted, refused) = (AtomicU64::new(0), AtomicU64::new(0));
        let mut books = Self { store, workspace, folder, unit, free: empty.clone(), wallets: empty, posted, refused, keeper, place };
        let source = books.accounts("source", 1, Limits::None).await?[0];
        books.free = Arc::new(Crowd::new(books.accounts("free", accounts, Limits::None).await?));
        let wallets = books.accounts("wallet", wallets, Limits::DebitsWithinCredits).await?;
        for some in wallets.chunks(1_000) {
            let batch = some.iter().map(|wallet| {
                let id = TransferId::from_raw(RawId::generate(books.store.clock().now(), &Entropy::system()));
                NewTransfer::exactly(id, source, *wallet, books.unit.clone(), FUNDS)
            });
            books.post(batch.collect()).await?;
        }
        books.wallets = Arc::new(Crowd::new(wallets));
        books.until_booked().await?;
        Ok(books)
    }

    async fn accounts(&self, word: &'static str, count: usize, limits: Limits) -> Result<Vec<AccountId>, String> {
        let mut opened = Vec::with_capacity(count);
        let mut opening = tokio::task::JoinSet::new();
        for first in (0..count).step_by(OPENED_AT_ONCE) {
            let (store, workspace, unit) = (self.store.clone(), self.workspace, self.unit.clone());
            let numbers = first..count.min(first + OPENED_AT_ONCE);
            opening.spawn(async move { open_some(&store, workspace, word, numbers, unit, limits).await });
            if opening.len() == 8 {
                opened.extend(joined(opening.join_next().await)?);
            }
        }
        while !opening.is_empty() {
            opened.extend(joined(opening.join_next().await)?);
        }
        Ok(opened)
    }

    /// A maker of transfers for caller number `caller`, between accounts with a limit or without one.
    pub(super) fn maker(&self, shape: Shape, limits: bool, caller: u64) -> Maker {
        let crowd = if limits { self.wallets.clone() } else { self.free.clone() };
        let state = u64::from_le_bytes(self.store.entropy().bytes()) ^ caller;
        Maker { crowd, shape, unit: self.unit.clone(), clock: self.store.clock().clone(), state }
    }

    /// Posts a batch in a unit of its own, and counts what was recorded.
    pub(super) async fn post(&self, batch: Vec<NewTransfer>) -> Result<u64, String> {
        let unit = self.store.write(&SYSTEM, (self.workspace, batch), |tx, (workspace, batch)| {
            Box::pin(async move { ledger::post_batch(tx, workspace, batch).await })
        });
        self.counted(unit.await)
    }

    /// The same as work that others go before.
    pub(super) async fn post_bulk(&self, batch: Vec<NewTransfer>) -> Result<u64, String> {
        let unit = self.store.write_bulk(&SYSTEM, (self.workspace, batch), |tx, (workspace, batch)| {
            Box::pin(async move { ledger::post_batch(tx, workspace, batch).await })
        });
        self.counted(unit.await)
    }

    /// Posts one transfer as a verb of another module does, in its unit of work.
    pub(super) async fn post_one(&self, transfer: NewTransfer) -> Result<u64, String> {
        let unit = self.store.write(&SYSTEM, (self.workspace, transfer), |tx, (workspace, transfer)| {
            Box::pin(async move { ledger::post(tx, workspace, "order:bench", vec![transfer]).await })
        });
        self.counted(unit.await)
    }

    fn counted(&self, answer: Result<Vec<Judged>, LedgerError>) -> Result<u64, String> {
        let rows = match answer {
            Ok(rows) => rows,
            Err(LedgerError::Store(StoreError::Busy)) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                return Ok(0);
            }
            Err(error) => return Err(chain(&error)),
        };
        if let Some(row) = rows.iter().find(|row| row.outcome != Outcome::Created) {
            return Err(format!("a transfer was not created but {}", row.outcome.as_str()));
        }
        self.posted.fetch_add(rows.len() as u64, Ordering::Relaxed);
        Ok(rows.len() as u64)
    }

    /// Posts `count` transfers as fast as the keeper follows, and waits until they are booked.
    pub(super) async fn fill(self: &Arc<Self>, count: u64) -> Result<(), String> {
        let asked = Arc::new(AtomicU64::new(0));
        let tasks: Vec<_> = (0..8)
            .map(|caller| {
                let (books, asked, mut maker) = (self.clone(), asked.clone(), self.maker(Shape::Uniform, false, caller));
                tokio::spawn(async move {
                    while asked.fetch_add(1_000, Ordering::Relaxed) < count {
                        books.post(maker.batch(1_000)).await?;
                        while books.behind().await? > 100_000 {
                            tokio::time::sleep(Duration::from_millis(20)).await;
                        }
                    }
                    Ok::<_, String>(())
                })
            })
            .collect();
        for task in tasks {
            task.await.map_err(|e| e.to_string())??;
        }
        self.until_booked().await
    }

    /// How many units were turned away so far because too many waited.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// How many recorded transfers the keeper has not booked yet.
    pub(super) async fn behind(&self) -> Result<u64, String> {
        let own = P::Bytes(self.workspace.raw().bits().to_be_bytes().to_vec().into());
        let posted = self.posted.load(Ordering::Relaxed);
        let booked = self.store.read().row(&BOOKED, &[own], |row| row.get::<i64>(0)).await.map_err(|e| e.to_string())?;
        Ok(posted.saturating_sub(booked.unwrap_or(0).unsigned_abs()))
    }

    /// Waits until the keeper has booked everything.
    pub(super) async fn until_booked(&self) -> Result<(), String> {
        let (mut least, mut since) = (u64::MAX, Instant::now());
        loop {
            let behind = self.behind().await?;
            if behind == 0 {
                return Ok(());
            }
            if behind < least {
                (least, since) = (behind, Instant::now());
            }
            if since.elapsed() > Duration::from_secs(60) {
                return Err(format!("the keeper stands still, {behind} transfers behind"));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn keeper(&self) -> MutexGuard<'_, JoinHandle<()>> {
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the keeper.
    pub(super) fn rest(&self) {
        self.keeper().abort();
    }

    /// Starts it again.
    pub(super) fn resume(&self) {
        *self.keeper() = tokio::spawn(keeper::keep(self.store.clone()));
    }

    /// Ends the keeper and removes what was stored.
    pub(super) async fn close(self) {
        self.rest();
        self.store.close().await;
        let _ = std::fs::remove_dir_all(&self.folder);
        drop(self.place);
    }
}

/// An error with what is behind it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let behind = std::iter::successors(error.source(), |error| error.source());
    behind.fold(error.to_string(), |words, error| format!("{words}: {error}"))
}

type Joined = Option<Result<Result<Vec<AccountId>, String>, tokio::task::JoinError>>;

fn joined(task: Joined) -> Result<Vec<AccountId>, String> {
    task.map_or(Ok(Ok(Vec::new())), |task| task).map_err(|e| e.to_string())?
}

async fn open_some(
    store: &Store,
    workspace: WorkspaceId,
    word: &'static str,
    numbers: std::ops::Range<usize>,
    unit: Unit,
    limits: Limits,
) -> Result<Vec<AccountId>, String> {
    let accounts = numbers.map(|number| {
        let code = AccountCode::parse(&format!("{word}.{number}")).map_err(|e| e.to_string())?;
        let name = format!("{word} {number}");
        Ok(NewAccount { code, name, kind: AccountKind::Liability, unit: unit.clone(), limits, metadata: None })
    });
    let accounts: Vec<NewAccount> = accounts.collect::<Result<_, String>>()?;
    let unit = store.write_bulk(&SYSTEM, (workspace, accounts), |tx, (workspace, accounts)| {
        Box::pin(async move {
            let mut ids = Vec::with_capacity(accounts.len());
            for new in accounts {
                ids.push(ledger::open(tx, workspace, new).await?.id);
            }
            Ok::<_, LedgerError>(ids)
        })
    });
    unit.await.map_err(|e| e.to_string())
}
