//! The keeper: follows the log and brings what was posted into the books: positions, history, balances, seals.
//!
//! Posting only appends, so that nobody queues for a shared account; the keeper gives each transfer its position, in the
//! order of the log and only below the horizon of visibility, adds up totals, and seals what it booked in blocks. One step is
//! computed from plain reads and written in one unit, guarded by where the keeper stood: of two processes that step at once
//! one changes nothing.

use std::collections::HashMap;
use std::sync::LazyLock;
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
pub(crate) const EPOCH: i64 = 1 << 16;
/// Transfers that one step books: on SQLite it holds the writer for about ten milliseconds.
const STEP_MAX: i64 = 2_048;
/// How often the keeper looks by itself: for what other processes posted.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// What was posted shortly after another posting shares its step.
const GATHER: Duration = Duration::from_millis(10);
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

/// Runs until the process ends; what it is in the middle of then is not kept, and done again.
pub async fn keep(store: Store) {
    let mut bell = BELL.subscribe();
    loop {
        match step(&store).await {
            Ok(count) if count == STEP_MAX as usize => continue,
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the books were not brought up to date");
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
        if let Ok(Ok(())) = tokio::time::timeout(LOOK_EVERY, bell.changed()).await {
            tokio::time::sleep(GATHER).await;
        }
    }
}

/// Books everything that is in the log and can be seen. For tests, the command line and a start.
pub async fn catch_up(store: &Store) -> Result<usize, LedgerError> {
    let mut total = 0;
    loop {
        let count = step(store).await?;
        total += count;
        if count == 0 {
            return Ok(total);
        }
    }
}

/// To be called once at each start, before anything is posted: where the database was moved to another server, whose
/// transactions count anew, it books what the old one left and begins an era.
pub async fn settle(store: &Store) -> Result<(), LedgerError> {
    loop {
        let mut reads = store.read();
        let (cursor, newest_xid) = cursor(&mut reads).await?;
        if store.engine() == Engine::Sqlite || cursor.xid < newest_xid {
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
        book(store, &mut reads, cursor, logged).await?;
    }
}

pub(crate) async fn cursor(reads: &mut impl Reads) -> Result<(Cursor, i64), LedgerError> {
    reads.row(&keep::CURSOR_EVERYWHERE, &[], keep::cursor).await?.ok_or(LedgerError::NotFound { what: "keeper" })
}

/// One step: books up to two thousand transfers, and says how many.
async fn step(store: &Store) -> Result<usize, LedgerError> {
    let mut reads = store.read();
    let (cursor, _) = cursor(&mut reads).await?;
    let logged =
        reads.rows(&keep::UNBOOKED_EVERYWHERE, store::params![cursor.xid, cursor.seq, cursor.first_seq, STEP_MAX], keep::logged).await?;
    if logged.is_empty() {
        return Ok(0);
    }
    book(store, &mut reads, cursor, logged).await
}

async fn book(store: &Store, reads: &mut Read, cursor: Cursor, logged: Vec<Logged>) -> Result<usize, LedgerError> {
    let count = logged.len();
    let last = logged.last().map_or(cursor, |last| Cursor { xid: last.xid, seq: last.seq, ..cursor });
    let mut pages = Pages::default();
    let mut of_workspaces: Vec<(WorkspaceId, Vec<Logged>)> = Vec::new();
    let mut index: HashMap<WorkspaceId, usize> = HashMap::new();
    for entry in logged {
        let at = *index.entry(entry.workspace).or_insert_with(|| {
            of_workspaces.push((entry.workspace, Vec::new()));
            of_workspaces.len() - 1
        });
        of_workspaces[at].1.push(entry);
    }
    for (workspace, logged) in of_workspaces {
        let own = sql::raw_p(workspace);
        let before = reads.row(&keep::LAST_BLOCK, std::slice::from_ref(&own), keep::last_block).await?;
        let mut accounts: Vec<AccountId> = logged.iter().flat_map(|l| [l.transfer.debit, l.transfer.credit]).collect();
        accounts.sort_unstable();
        accounts.dedup();
        let known = reads.rows(&keep::BALANCES, &[own, sql::raw_list(accounts)], keep::balance).await?;
        let balances = known.into_iter().map(|(account, position, totals)| (account, (position, totals))).collect();
        pages.add(workspace, cursor.era, before, balances, &logged);
    }
    let written = store.write_bulk(&CALLER, (cursor, last, std::sync::Arc::new(pages)), |tx, (cursor, last, pages)| {
        Box::pin(async move { pages.write(tx, cursor, last).await })
    });
    Ok(if written.await? { count } else { 0 })
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
        mut balances: HashMap<AccountId, (i64, Totals)>,
        logged: &[Logged],
    ) {
        let (Some(first), Some(last)) = (logged.first(), logged.last()) else { return };
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
        for (account, (position, totals)) in balances {
            let at = booked.get(&account).copied().unwrap_or(booked_at);
            let [a, b, c, d] = sql::totals_p(&totals);
            self.balances.push(vec![own.clone(), sql::raw_p(account), P::Int(position), P::Int(at.as_micros()), a, b, c, d]);
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
