//! The keeper: follows the log and brings what was posted into the books: positions, history, balances, seals.
//!
//! Posting only appends, so that nobody queues for a shared account; the keeper gives each transfer its position, in the
//! order of the log and only below the horizon of visibility, adds up totals, and seals what it booked in blocks. One step is
//! computed from plain reads and written in one unit, guarded by where the keeper stood: of two processes that step at once
//! one changes nothing.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use kernel::{Caller, Timestamp, WorkspaceId};
use store::{Engine, P, Read, Reads, Store, Tx};
use tokio::sync::watch;

use crate::account::{AccountId, Side, Totals};
use crate::error::LedgerError;
use crate::seal::{self, Hash, Place};
use crate::sql::{self, keep};
use crate::transfer::Transfer;

/// Positions of one epoch of the history.
pub(crate) const EPOCH: i64 = 1 << 12;
/// Transfers that one step books: on SQLite it holds the writer for less than ten milliseconds.
const STEP_MAX: i64 = 1_024;
/// How often the keeper looks by itself: for what other processes posted.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long it leaves a database alone that did not do what it was asked.
const PAUSE: Duration = Duration::from_secs(1);
/// What was posted shortly after another posting shares its step.
const GATHER: Duration = Duration::from_millis(10);
/// Places of the log that [`settle`] looks at in one statement.
const TO_COME_PAGE: i64 = 65_536;
static CALLER: Caller = Caller::system("ledger.keeper");

/// Rings after each commit of this process that posted something.
static BELL: LazyLock<watch::Sender<()>> = LazyLock::new(|| watch::channel(()).0);

pub(crate) fn ring() {
    BELL.send_replace(());
}

/// How far the keeper has come in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// Counts the servers that this database has lived on.
    pub era: i64,
    /// The first place of this era.
    pub first_seq: i64,
    /// The transaction of the last booked transfer.
    pub xid: i64,
    /// Its place.
    pub seq: i64,
}

/// A transfer with its place in the log.
#[derive(Debug, Clone)]
pub(crate) struct Logged {
    pub(crate) workspace: WorkspaceId,
    pub(crate) xid: i64,
    pub(crate) seq: i64,
    pub(crate) transfer: Transfer,
}

/// The newest block of a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealed {
    /// Its number, from 1.
    pub number: i64,
    /// The position of its last transfer.
    pub last_position: i64,
    /// When that was booked.
    pub booked_at: Timestamp,
    /// Its hash, which covers everything before it.
    pub hash: Hash,
}

/// Runs until the process ends; what it is in the middle of then is not kept, and done again. While there is more than a
/// step's worth to book, the next step is computed while the one before it is written.
pub async fn keep(store: Store) {
    let mut bell = BELL.subscribe();
    let mut next = None;
    loop {
        match advance(&store, next.take()).await {
            Ok(Advance::MoreWaits(prepared)) => {
                next = prepared;
                continue;
            }
            Ok(Advance::CaughtUp) => metrics::gauge!("ledger_behind_seconds").set(0.0),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the books were not brought up to date");
                tokio::time::sleep(PAUSE).await;
            }
        }
        if let Ok(Ok(())) = tokio::time::timeout(LOOK_EVERY, bell.changed()).await {
            tokio::time::sleep(GATHER).await;
        }
    }
}

enum Advance {
    /// Everything that could be seen is booked.
    CaughtUp,
    /// There is more, and perhaps the next step is ready.
    MoreWaits(Option<Step>),
}

async fn advance(store: &Store, ready: Option<Step>) -> Result<Advance, LedgerError> {
    let step = match ready {
        Some(step) => step,
        None => match prepare_first(store).await? {
            Some(step) => step,
            None => return Ok(Advance::CaughtUp),
        },
    };
    if step.count < STEP_MAX as usize {
        return Ok(if write(store, &step).await? { Advance::CaughtUp } else { Advance::MoreWaits(None) });
    }
    metrics::gauge!("ledger_behind_seconds").set(store.clock().now().since(step.first_at).as_secs_f64());
    let (written, ahead) = tokio::join!(write(store, &step), prepare(store, step.to, &step.carried));
    Ok(Advance::MoreWaits(if written? { ahead? } else { None }))
}

/// Books everything that is in the log and can be seen. For tests, the command line and a start.
pub async fn catch_up(store: &Store) -> Result<usize, LedgerError> {
    let mut total = 0;
    while let Some(step) = prepare_first(store).await? {
        if write(store, &step).await? {
            total += step.count;
        }
    }
    Ok(total)
}

/// Whether everything that is committed is booked. On PostgreSQL any open transaction of the server, of another database too,
/// may hold the keeper back for a while.
pub async fn has_caught_up(store: &Store) -> Result<bool, LedgerError> {
    let mut reads = store.read();
    let (cursor, _) = cursor(&mut reads).await?;
    let params = store::params![cursor.xid, cursor.seq, cursor.first_seq, 1_i64];
    Ok(reads.rows(&keep::FOREIGN_EVERYWHERE, params, keep::logged).await?.is_empty())
}

/// How long ago the oldest transfer was recorded that could be booked and is not; zero where there is none.
pub async fn behind(store: &Store) -> Result<Duration, LedgerError> {
    let mut reads = store.read();
    let (cursor, _) = cursor(&mut reads).await?;
    let params = store::params![cursor.xid, cursor.seq, cursor.first_seq, 1_i64];
    let oldest = reads.row(&keep::UNBOOKED_EVERYWHERE, params, keep::logged).await?;
    Ok(oldest.map_or(Duration::ZERO, |oldest| reads.now().since(oldest.transfer.recorded_at)))
}

/// To be called once at each start, before anything is posted: where the database was moved to another server, whose
/// transactions count anew, it books what the old one left and begins an era.
pub async fn settle(store: &Store) -> Result<(), LedgerError> {
    if store.engine() == Engine::Sqlite {
        return Ok(());
    }
    loop {
        let mut reads = store.read();
        let (cursor, newest_xid) = cursor(&mut reads).await?;
        if cursor.xid < newest_xid && !is_anything_foreign(&mut reads, cursor).await? {
            return Ok(());
        }
        let logged =
            reads.rows(&keep::FOREIGN_EVERYWHERE, store::params![cursor.xid, cursor.seq, cursor.first_seq, STEP_MAX], keep::logged).await?;
        if logged.is_empty() {
            store
                .write(&CALLER, cursor, |tx, cursor| {
                    Box::pin(async move {
                        tx.execute(&keep::NEW_ERA_EVERYWHERE, store::params![cursor.era, cursor.xid, cursor.seq]).await?;
                        Ok::<_, LedgerError>(())
                    })
                })
                .await?;
            continue;
        }
        let step = compute(&mut reads, cursor, logged, &Carried::new()).await?;
        write(store, &step).await?;
    }
}

/// Whether the log holds, in this era, a transfer that this server cannot have seen posted: it has the number of a transaction
/// to come. Once it is booked the keeper stands there itself. What earlier eras left is passed by.
async fn is_anything_foreign(reads: &mut Read, cursor: Cursor) -> Result<bool, LedgerError> {
    let mut after = (i64::MIN, i64::MIN);
    loop {
        let page = reads.rows(&keep::TO_COME_EVERYWHERE, store::params![after.0, after.1, TO_COME_PAGE], keep::at).await?;
        if page.iter().any(|(_, seq)| *seq >= cursor.first_seq) {
            return Ok(true);
        }
        match page.last() {
            Some(last) if page.len() as i64 == TO_COME_PAGE => after = *last,
            _ => return Ok(false),
        }
    }
}

pub(crate) async fn cursor(reads: &mut impl Reads) -> Result<(Cursor, i64), LedgerError> {
    reads.row(&keep::CURSOR_EVERYWHERE, &[], keep::cursor).await?.ok_or(LedgerError::NotFound { what: "keeper" })
}

/// What the accounts and the newest block of each workspace are like after a step that may not be written yet.
type Carried = HashMap<WorkspaceId, (Sealed, Balances)>;
/// The last position and the totals of accounts.
type Balances = HashMap<AccountId, (i64, Totals)>;

/// A step that was computed.
struct Step {
    from: Cursor,
    to: Cursor,
    /// How many transfers it books.
    count: usize,
    /// When the first of them was recorded.
    first_at: Timestamp,
    pages: Arc<Pages>,
    carried: Carried,
}

async fn prepare_first(store: &Store) -> Result<Option<Step>, LedgerError> {
    let (cursor, _) = cursor(&mut store.read()).await?;
    prepare(store, cursor, &Carried::new()).await
}

/// Computes the step from `from`, where `carried` is what the step before it leaves; none where nothing can be seen there.
async fn prepare(store: &Store, from: Cursor, carried: &Carried) -> Result<Option<Step>, LedgerError> {
    let mut reads = store.read();
    let logged = reads.rows(&keep::UNBOOKED_EVERYWHERE, store::params![from.xid, from.seq, from.first_seq, STEP_MAX], keep::logged).await?;
    if logged.is_empty() {
        return Ok(None);
    }
    compute(&mut reads, from, logged, carried).await.map(Some)
}

async fn compute(reads: &mut Read, from: Cursor, logged: Vec<Logged>, before: &Carried) -> Result<Step, LedgerError> {
    let (count, first_at) = (logged.len(), logged.first().map_or(reads.now(), |first| first.transfer.recorded_at));
    let to = logged.last().map_or(from, |last| Cursor { xid: last.xid, seq: last.seq, ..from });
    let mut of_workspaces: Vec<(WorkspaceId, Vec<Logged>)> = Vec::new();
    let mut index: HashMap<WorkspaceId, usize> = HashMap::new();
    for entry in logged {
        let at = *index.entry(entry.workspace).or_insert_with(|| {
            of_workspaces.push((entry.workspace, Vec::new()));
            of_workspaces.len() - 1
        });
        of_workspaces[at].1.push(entry);
    }
    let (mut pages, mut carried) = (Pages::default(), Carried::new());
    for (workspace, logged) in of_workspaces {
        let own = sql::raw_p(workspace);
        let known = before.get(&workspace);
        let last_block = match known {
            Some((sealed, _)) => Some(*sealed),
            None => reads.row(&keep::LAST_BLOCK, std::slice::from_ref(&own), keep::last_block).await?,
        };
        let mut accounts: Vec<AccountId> = logged.iter().flat_map(|l| [l.transfer.debit, l.transfer.credit]).collect();
        accounts.sort_unstable();
        accounts.dedup();
        let mut balances = Balances::with_capacity(accounts.len());
        if let Some((_, known)) = known {
            accounts.retain(|account| match known.get(account) {
                Some(balance) => {
                    balances.insert(*account, *balance);
                    false
                }
                None => true,
            });
        }
        let read = reads.rows(&keep::BALANCES, &[own, sql::raw_list(accounts)], keep::balance).await?;
        balances.extend(read.into_iter().map(|(account, position, totals)| (account, (position, totals))));
        if let Some(sealed) = pages.add(workspace, from.era, last_block, &mut balances, &logged) {
            carried.insert(workspace, (sealed, balances));
        }
    }
    Ok(Step { from, to, count, first_at, pages: Arc::new(pages), carried })
}

/// Writes a step; false where another keeper did so before.
async fn write(store: &Store, step: &Step) -> Result<bool, LedgerError> {
    let input = (step.from, step.to, Arc::clone(&step.pages));
    store.write_bulk(&CALLER, input, |tx, (from, to, pages)| Box::pin(async move { pages.write(tx, from, to).await })).await
}

/// The rows of one step, ready to be written.
#[derive(Default)]
struct Pages {
    history: Vec<Vec<P<'static>>>,
    balances: Vec<Vec<P<'static>>>,
    dated: Vec<Vec<P<'static>>>,
    blocks: Vec<Vec<P<'static>>>,
}

impl Pages {
    fn add(
        &mut self,
        workspace: WorkspaceId,
        era: i64,
        before: Option<Sealed>,
        balances: &mut Balances,
        logged: &[Logged],
    ) -> Option<Sealed> {
        let (first, last) = (logged.first()?, logged.last()?);
        let own = sql::raw_p(workspace);
        let before = before.unwrap_or(Sealed { number: 0, last_position: 0, booked_at: Timestamp::from_micros(0), hash: [0; 32] });
        let mut leaves = Vec::with_capacity(logged.len() * 32);
        let (mut position, mut booked_at) = (before.last_position, before.booked_at);
        let from = self.history.len();
        let mut booked: HashMap<AccountId, Timestamp> = HashMap::with_capacity(balances.len());
        for Logged { transfer, .. } in logged {
            position += 1;
            // A position's instant is never before that of an earlier one, whichever node's clock recorded it.
            booked_at = booked_at.max(transfer.recorded_at);
            leaves.extend(seal::leaf(workspace, transfer));
            let (posted, pending) = transfer.adds();
            for side in [Side::Debit, Side::Credit] {
                let account = transfer.account(side);
                let (previous, totals) = balances.entry(account).or_default();
                totals.add(side, posted, pending);
                let [a, b, c, d] = sql::totals_p(totals);
                self.history.push(vec![
                    own.clone(),
                    P::Int(position / EPOCH),
                    sql::raw_p(account),
                    P::Int(position),
                    P::Int(*previous),
                    sql::raw_p(transfer.id),
                    P::Text(side.as_str().into()),
                    P::Int(booked_at.as_micros()),
                    a,
                    b,
                    c,
                    d,
                ]);
                *previous = position;
                booked.insert(account, booked_at);
                if transfer.effective_at != transfer.recorded_at && posted > 0 {
                    let (debit, credit) = if side == Side::Debit { (posted, 0) } else { (0, posted) };
                    self.dated.push(vec![
                        own.clone(),
                        sql::raw_p(account),
                        P::Int(position),
                        P::Int(transfer.effective_at.as_micros()),
                        P::Int(booked_at.as_micros()),
                        P::Int(debit),
                        P::Int(credit),
                    ]);
                }
            }
        }
        // Rows that stand together in the table are written together.
        self.history[from..].sort_by(|a, b| key(a).cmp(&key(b)));
        let mut changed: Vec<_> = balances.iter().collect();
        changed.sort_unstable_by_key(|(account, _)| **account);
        for (account, (position, totals)) in changed {
            let at = booked.get(account).copied().unwrap_or(booked_at);
            let [a, b, c, d] = sql::totals_p(totals);
            self.balances.push(vec![own.clone(), sql::raw_p(*account), P::Int(*position), P::Int(at.as_micros()), a, b, c, d]);
        }
        let place = Place { number: before.number + 1, first_position: before.last_position + 1, last_position: position, booked_at };
        let hash = seal::block(workspace, &place, &before.hash, &leaves);
        self.blocks.push(vec![
            own,
            P::Int(place.number),
            P::Int(place.first_position),
            P::Int(place.last_position),
            P::Int(era),
            P::Int(first.xid),
            P::Int(first.seq),
            P::Int(last.xid),
            P::Int(last.seq),
            P::Int(booked_at.as_micros()),
            P::Bytes(leaves.into()),
            P::Bytes(hash.to_vec().into()),
        ]);
        Some(Sealed { number: place.number, last_position: position, booked_at, hash })
    }

    /// Writes the step unless somebody else did; true means that it was written.
    async fn write(&self, tx: &mut Tx, from: Cursor, to: Cursor) -> Result<bool, LedgerError> {
        let moved = tx.execute(&keep::ADVANCE_EVERYWHERE, store::params![from.era, from.xid, from.seq, to.xid, to.seq]).await?;
        if moved == 0 {
            return Ok(false);
        }
        tx.execute_columns(&keep::INSERT_HISTORY, &self.history).await?;
        tx.execute_columns(&keep::PUT_BALANCE, &self.balances).await?;
        tx.execute_columns(&keep::INSERT_DATED, &self.dated).await?;
        for block in &self.blocks {
            tx.execute(&keep::INSERT_BLOCK, block).await?;
        }
        Ok(true)
    }
}

/// Epoch, account and position of a row of the history.
fn key<'a>(row: &'a [P<'static>]) -> (i64, &'a [u8], i64) {
    match row {
        [_, P::Int(epoch), P::Bytes(account), P::Int(position), ..] => (*epoch, account.as_ref(), *position),
        _ => (0, &[], 0),
    }
}
