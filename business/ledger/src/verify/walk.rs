//! The walk along the log, and what is compared on the way and at its end.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

use kernel::{Timestamp, WorkspaceId};
use store::{Engine, P, Reads, Snapshot};

use super::accounts::{Accounts, id};
use super::chain::{Fit, align, check_block};
use super::history::{self, Exact, Keys, Sum};
use super::report::{Finding, Findings, Report, Trouble};
use super::{HISTORY_PAGE, LOG_PAGE, Options, raw_of};
use crate::account::Side;
use crate::error::LedgerError;
use crate::keeper::{self, Cursor};
use crate::seal::{self, Hash, Seal};
use crate::sql::check::{self, BlockRow, LogRow};
use crate::sql::raw_p;
use crate::transfer::Transfer;

/// Blocks of one workspace that are read at once.
const BLOCKS_PAGE: i64 = 16;
/// Workspaces whose history is compared row by row, where it is not what it should be.
const EXACT_MAX: usize = 8;
/// Transfers that may stand between one and another that was judged before it. On PostgreSQL the log is in the order of
/// transactions, which may have begun long before they came to post; their places tell who was first.
const REORDERED_MAX: usize = 1 << 18;

/// A place in the log: transaction and place. On SQLite there is one writer, and the place alone counts.
pub(super) type At = (i64, i64);

/// What is gathered for one workspace.
pub(super) struct Books {
    pub(super) workspace: WorkspaceId,
    pub(super) accounts: Accounts,
    /// The newest block that was compared; zeros before the first.
    pub(super) sealed: Seal,
    pub(super) sealed_end: Option<(i64, At)>,
    pub(super) blocks: VecDeque<BlockRow>,
    pub(super) is_read: bool,
    pub(super) last_number: i64,
    /// The rows of the log that belong to the next block, with their leaves.
    pub(super) rows: Vec<(Hash, LogRow)>,
    pub(super) block_count: u64,
    pub(super) history: (Sum, Sum),
    pub(super) dated: (Sum, Sum),
}

impl Books {
    fn new(workspace: WorkspaceId) -> Self {
        let sealed = Seal { workspace, number: 0, last_position: 0, booked_at: Timestamp::from_micros(0), hash: [0; 32] };
        Self {
            workspace,
            accounts: Accounts::new(workspace),
            sealed,
            sealed_end: None,
            blocks: VecDeque::new(),
            is_read: false,
            last_number: i64::MIN,
            rows: Vec::new(),
            block_count: 0,
            history: Default::default(),
            dated: Default::default(),
        }
    }

    /// Makes sure that the next block is there, if there is one.
    async fn look_ahead(&mut self, snapshot: &mut Snapshot) -> Result<(), LedgerError> {
        if self.blocks.is_empty() && !self.is_read {
            let params = check::owned![raw_p(self.workspace), self.last_number, BLOCKS_PAGE];
            let page = snapshot.rows(&check::BLOCKS, params, check::block_row).await?;
            self.is_read = (page.len() as i64) < BLOCKS_PAGE;
            self.last_number = page.last().map_or(self.last_number, |last| last.number);
            self.blocks = page.into();
        }
        Ok(())
    }
}

/// What is done with what was booked.
pub(super) enum Aim {
    /// Added up, for all workspaces at once.
    Sums,
    /// Compared with the history row by row, for one workspace. Everything else was looked at before.
    Rows(Box<Exact>),
}

pub(super) struct Walk<'a> {
    pub(super) snapshot: &'a mut Snapshot,
    pub(super) options: &'a Options,
    pub(super) aim: Aim,
    pub(super) findings: Findings,
    pub(super) report: Report,
    pub(super) cursor: Cursor,
    pub(super) keys: Keys,
    pub(super) books: HashMap<u128, Books>,
    /// Transfers that depend on a limit or a promise, the one with the lowest place first.
    pub(super) judged: BinaryHeap<Reverse<ToJudge>>,
    pub(super) reordered_max: usize,
    pub(super) scope: (Vec<u8>, Vec<u8>),
}

pub(super) struct ToJudge {
    seq: i64,
    workspace: u128,
    position: Option<i64>,
    transfer: Box<Transfer>,
}

impl PartialEq for ToJudge {
    fn eq(&self, other: &Self) -> bool {
        self.seq == other.seq
    }
}
impl Eq for ToJudge {}
impl PartialOrd for ToJudge {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for ToJudge {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.seq.cmp(&other.seq)
    }
}

impl<'a> Walk<'a> {
    pub(super) async fn begin(snapshot: &'a mut Snapshot, options: &'a Options) -> Result<Self, LedgerError> {
        let (cursor, _) = keeper::cursor(snapshot).await?;
        let scope = match options.workspace {
            Some(workspace) => (raw_of(workspace), raw_of(workspace)),
            // Longer than any identifier: nothing stands behind it.
            None => (Vec::new(), vec![0xFF; 17]),
        };
        let report = Report { version: format!("{}-{}-{}", cursor.era, cursor.xid, cursor.seq), ..Report::default() };
        let reordered_max = if snapshot.engine() == Engine::Sqlite { 0 } else { REORDERED_MAX };
        Ok(Self {
            snapshot,
            options,
            aim: Aim::Sums,
            findings: Findings::new(options.findings_max),
            report,
            cursor,
            keys: Keys::default(),
            books: HashMap::new(),
            judged: BinaryHeap::new(),
            reordered_max,
            scope,
        })
    }

    pub(super) async fn run(mut self) -> Result<Report, LedgerError> {
        self.read_accounts().await?;
        self.walk().await?;
        while let Some(Reverse(next)) = self.judged.pop() {
            self.judge(next);
        }
        self.check_cursor();
        self.check_totals().await?;
        let unequal = self.sum_history().await?;
        self.check_seals().await?;
        self.add_up();
        for workspace in unequal.iter().take(EXACT_MAX) {
            self.compare_rows(*workspace).await?;
        }
        for workspace in unequal.iter().skip(EXACT_MAX) {
            let words = "its history is not what the log adds up to: verify it by itself with --workspace".to_owned();
            self.findings.add(plain(Trouble::History, Some(*workspace), words));
        }
        (self.report.findings, self.report.findings_left_out) = self.findings.into_parts();
        Ok(self.report)
    }

    /// One more walk for one workspace, whose history is compared row by row.
    async fn compare_rows(&mut self, workspace: WorkspaceId) -> Result<(), LedgerError> {
        let options = Options { workspace: Some(workspace), findings_max: 0, ..Options::default() };
        let findings = std::mem::replace(&mut self.findings, Findings::new(0));
        let mut walk = Walk::begin(self.snapshot, &options).await?;
        walk.aim = Aim::Rows(Box::new(Exact::new(workspace, findings)));
        walk.walk().await?;
        if let Aim::Rows(exact) = walk.aim {
            self.findings = exact.finish(walk.snapshot).await?;
        }
        Ok(())
    }

    async fn read_accounts(&mut self) -> Result<(), LedgerError> {
        let mut at = (self.scope.0.clone(), Vec::new());
        loop {
            let params = check::owned![blob(&at.0), blob(&at.1), blob(&self.scope.1), HISTORY_PAGE];
            let page = self.snapshot.rows(&check::ACCOUNTS_EVERYWHERE, params, check::account_row).await?;
            let Some(last) = page.last() else { return Ok(()) };
            at = (last.workspace.clone(), last.raw.clone());
            for row in page {
                match check::bits(&row.workspace) {
                    Some(workspace) => {
                        let books = self.books.entry(workspace).or_insert_with(|| Books::new(id(workspace)));
                        books.accounts.know(row, &mut self.findings);
                    }
                    None => self.findings.add(plain(Trouble::Account, None, format!("the account {:?} is in no workspace", row.code))),
                }
            }
        }
    }

    /// Reads the log era by era, and hashes one page while the next is on its way.
    async fn walk(&mut self) -> Result<(), LedgerError> {
        for (era, from, until) in self.eras().await? {
            let mut page = self.page((i64::MIN, i64::MIN), from, until).await?;
            while let Some(last) = page.last() {
                let (at, is_full) = ((last.xid, last.seq), page.len() as i64 == LOG_PAGE);
                let hashing = tokio::task::spawn_blocking(move || page.into_iter().map(|row| (leaf(&row), row)).collect::<Vec<_>>());
                page = if is_full { self.page(at, from, until).await? } else { Vec::new() };
                let rows = hashing.await.map_err(|_| store::StoreError::Stopped { reason: "a thread ended".into() })?;
                for (leaf, row) in rows {
                    self.row(era, leaf, row).await?;
                }
            }
        }
        self.finish_blocks().await
    }

    async fn page(&mut self, after: At, from: i64, until: i64) -> Result<Vec<LogRow>, LedgerError> {
        let params = check::owned![after.0, after.1, from, until, blob(&self.scope.0), blob(&self.scope.1), LOG_PAGE];
        Ok(self.snapshot.rows(&check::LOG_EVERYWHERE, params, check::log_row).await?)
    }

    /// Every era with its first and its last place. Each but the last ended when everything in it was booked, and the next
    /// began behind it: where the blocks leave open which of two a place belongs to, the count of what was booked tells.
    async fn eras(&mut self) -> Result<Vec<(i64, i64, i64)>, LedgerError> {
        let mut eras = Vec::new();
        let (mut from, mut booked) = (i64::MIN, 0);
        if self.cursor.era > 0 && self.snapshot.engine() == Engine::Postgres {
            let known = self.snapshot.rows(&check::ERAS_EVERYWHERE, &[], check::era_row).await?;
            let past: Vec<_> = known.into_iter().filter(|row| row.era < self.cursor.era).collect();
            for (index, row) in past.iter().enumerate() {
                booked += row.transfers;
                let next = match past.get(index + 1) {
                    None => self.cursor.first_seq,
                    Some(next) => {
                        let until = check::owned![row.last_seq];
                        let counted = self.snapshot.row(&check::COUNT_UNTIL_EVERYWHERE, until, check::number).await?.unwrap_or_default();
                        let more = check::owned![row.last_seq, (booked - counted).max(0)];
                        let nth = self.snapshot.row(&check::NTH_AFTER_EVERYWHERE, more, check::number).await?;
                        nth.unwrap_or(next.first_seq).min(next.first_seq)
                    }
                };
                eras.push((row.era, from, next.saturating_sub(1)));
                from = next;
            }
        }
        eras.push((self.cursor.era, from, i64::MAX));
        Ok(eras)
    }

    /// A place as the keeper orders it.
    fn place(&self, (xid, seq): At) -> At {
        if self.snapshot.engine() == Engine::Sqlite { (0, seq) } else { (xid, seq) }
    }

    async fn row(&mut self, era: i64, leaf: Hash, row: LogRow) -> Result<(), LedgerError> {
        self.report.transfers += 1;
        let Some(bits) = check::bits(&row.workspace) else {
            let transfer = check::bits(&row.id).map(id);
            let words = "it is in no workspace".to_owned();
            self.findings.add(Finding { transfer, ..plain(Trouble::Unreadable, None, words) });
            return Ok(());
        };
        let at = (era, self.place((row.xid, row.seq)));
        loop {
            let books = self.books.entry(bits).or_insert_with(|| Books::new(id(bits)));
            books.look_ahead(self.snapshot).await?;
            let Some(block) = books.blocks.front() else { break };
            let (block_era, last) = (block.era, block.last);
            if at <= (block_era, self.place(last)) {
                if let Some(books) = self.books.get_mut(&bits) {
                    books.rows.push((leaf, row));
                }
                return Ok(());
            }
            self.finish_block(bits).await?;
        }
        self.beyond(bits, at, row);
        Ok(())
    }

    /// A row behind the last block: it waits to be booked, unless the keeper has passed it.
    fn beyond(&mut self, bits: u128, at: (i64, At), row: LogRow) {
        let Some(books) = self.books.get_mut(&bits) else { return };
        let is_passed = at <= (self.cursor.era, (self.cursor.xid, self.cursor.seq)) || row.seq < self.cursor.first_seq;
        let transfer = check::bits(&row.id).map(id);
        if is_passed {
            let words = "it stands below the keeper's place, and the keeper never booked it".to_owned();
            self.findings.add(Finding { transfer, ..plain(Trouble::NotBooked, Some(books.workspace), words) });
        } else {
            self.report.waiting += 1;
        }
        if row.xid != 0 && self.snapshot.engine() == Engine::Sqlite {
            let words = "it has the number of a transaction, which the ledger never gives on SQLite".to_owned();
            self.findings.add(Finding { transfer, ..plain(Trouble::Unreadable, Some(books.workspace), words) });
        }
        match row.transfer {
            Ok(found) => {
                if books.accounts.add(&found, None, &mut self.findings) {
                    self.will_judge(ToJudge { seq: row.seq, workspace: bits, position: None, transfer: found });
                }
            }
            Err(column) => self.findings.add(Finding { transfer, ..unreadable(books.workspace, column) }),
        }
    }

    fn will_judge(&mut self, next: ToJudge) {
        if matches!(self.aim, Aim::Rows(_)) {
            return;
        }
        self.judged.push(Reverse(next));
        if self.judged.len() > self.reordered_max
            && let Some(Reverse(first)) = self.judged.pop()
        {
            self.judge(first);
        }
    }

    fn judge(&mut self, next: ToJudge) {
        if let Some(books) = self.books.get_mut(&next.workspace) {
            books.accounts.judge(&next.transfer, next.position, &mut self.findings);
        }
    }

    /// Compares the next block of a workspace with the rows that stand where it was sealed.
    async fn finish_block(&mut self, bits: u128) -> Result<(), LedgerError> {
        let Some(books) = self.books.get_mut(&bits) else { return Ok(()) };
        let Some(block) = books.blocks.pop_front() else { return Ok(()) };
        books.block_count += 1;
        let (workspace, before) = (books.workspace, books.sealed);
        let mut rows = std::mem::take(&mut books.rows);
        let mut booked: Vec<(i64, LogRow)> = Vec::with_capacity(rows.len());

        // Blocks in between that are gone: their rows are there, and stand before this one's first.
        let missing = block.first_position - before.last_position - 1;
        if missing > 0 {
            let first = (block.era, self.place(block.first));
            let strays = rows.iter().take_while(|(_, row)| (block.era, self.place((row.xid, row.seq))) < first).count();
            let strays = strays.min(usize::try_from(missing).unwrap_or(usize::MAX));
            booked.extend((before.last_position + 1..).zip(rows.drain(..strays).map(|(_, row)| row)));
        }
        let found: Vec<Hash> = rows.iter().map(|(leaf, _)| *leaf).collect();
        let (trouble, leaves) = check_block(workspace, &before, &block, &found);
        for words in trouble {
            self.findings.add(plain(Trouble::Block, Some(workspace), words));
        }
        let alignment = align(&found, &leaves);
        let finding = |trouble, position, transfer, words: &str| Finding {
            trouble,
            workspace: Some(workspace),
            position,
            transfer,
            account: None,
            words: words.to_owned(),
        };
        for (fit, (_, row)) in alignment.rows.iter().zip(rows) {
            let transfer = check::bits(&row.id).map(id);
            let at = |leaf: usize| block.first_position + leaf as i64;
            let (position, said) = match *fit {
                Fit::Sealed(leaf) => (Some(at(leaf)), None),
                Fit::Moved(leaf) => {
                    (Some(at(leaf)), Some((Trouble::Exchanged, "it stands at another place in the log than it was sealed at")))
                }
                Fit::Changed(leaf) => (Some(at(leaf)), Some((Trouble::Changed, "it is not what was sealed at this place"))),
                Fit::Inserted => (None, Some((Trouble::Inserted, "it stands among transfers that were sealed, and was not there then"))),
            };
            if let Some((trouble, words)) = said {
                let around = if position.is_none() { format!("{words} (block {})", block.number) } else { words.to_owned() };
                self.findings.add(finding(trouble, position, transfer, &around));
            }
            booked.extend(position.map(|position| (position, row)));
        }
        let is_whole = alignment.removed.is_empty() && alignment.rows.iter().all(|fit| matches!(fit, Fit::Sealed(_)));
        for leaf in alignment.removed {
            let position = Some(block.first_position + leaf as i64);
            self.findings.add(finding(Trouble::Removed, position, None, "what was sealed here is gone from the log"));
        }
        booked.sort_by_key(|(position, _)| *position);
        self.book(bits, booked, &block, is_whole).await
    }

    /// Enters the rows of a block into what is added up.
    async fn book(&mut self, bits: u128, rows: Vec<(i64, LogRow)>, block: &BlockRow, is_whole: bool) -> Result<(), LedgerError> {
        let Some(workspace) = self.books.get(&bits).map(|books| books.workspace) else { return Ok(()) };
        let mut booked_at = self.books.get(&bits).map_or(block.booked_at, |books| books.sealed.booked_at);
        for (position, row) in rows {
            let transfer = match row.transfer {
                Ok(transfer) => transfer,
                Err(column) => {
                    let at = Finding { position: Some(position), transfer: check::bits(&row.id).map(id), ..unreadable(workspace, column) };
                    self.findings.add(at);
                    continue;
                }
            };
            booked_at = booked_at.max(transfer.recorded_at);
            let dated = history::dated(position, booked_at, &transfer);
            match &mut self.aim {
                Aim::Rows(exact) => {
                    exact.dated(dated);
                    exact.booked(self.snapshot, position, transfer).await?;
                }
                Aim::Sums => {
                    let Some(books) = self.books.get_mut(&bits) else { continue };
                    let previous = [Side::Debit, Side::Credit]
                        .map(|side| books.accounts.by_id.get(&transfer.account(side)).map_or(0, |state| state.position));
                    let is_judged = books.accounts.add(&transfer, Some((position, booked_at)), &mut self.findings);
                    let after = |side| {
                        let state = books.accounts.by_id.get(&transfer.account(side))?;
                        Some((previous[side as usize], state.booked))
                    };
                    for row in history::rows(position, booked_at, &transfer, after).into_iter().flatten() {
                        books.history.0.add(&self.keys, &row);
                    }
                    dated.iter().for_each(|row| books.dated.0.add(&self.keys, row));
                    if is_judged {
                        self.will_judge(ToJudge { seq: row.seq, workspace: bits, position: Some(position), transfer });
                    }
                }
            }
        }
        if is_whole && booked_at != block.booked_at {
            let words = format!("block {} says that it was booked at {}, and its transfers {booked_at}", block.number, block.booked_at);
            self.findings.add(plain(Trouble::Block, Some(workspace), words));
        }
        let Some(books) = self.books.get_mut(&bits) else { return Ok(()) };
        let BlockRow { number, last_position, booked_at, .. } = *block;
        let hash = block.hash.as_slice().try_into().unwrap_or([0; 32]);
        books.sealed = Seal { workspace, number, last_position, booked_at, hash };
        books.sealed_end = Some((block.era, block.last));
        Ok(())
    }

    /// Blocks behind the last row of their workspace: what they sealed is gone.
    async fn finish_blocks(&mut self) -> Result<(), LedgerError> {
        let mut after = self.scope.0.clone();
        if let Some(workspace) = self.options.workspace {
            self.books.entry(kernel::Id::raw(workspace).bits()).or_insert_with(|| Books::new(workspace));
        } else {
            loop {
                let page = self.snapshot.rows(&check::NEWEST_EVERYWHERE, check::owned![blob(&after), 1_000_i64], check::seal).await?;
                for seal in page.iter().flatten() {
                    self.books.entry(kernel::Id::raw(seal.workspace).bits()).or_insert_with(|| Books::new(seal.workspace));
                }
                let Some(Some(last)) = page.last() else { break };
                after = raw_of(last.workspace);
            }
        }
        let all: Vec<u128> = self.books.keys().copied().collect();
        for bits in all {
            while let Some(books) = self.books.get_mut(&bits) {
                books.look_ahead(self.snapshot).await?;
                if books.blocks.is_empty() {
                    break;
                }
                self.finish_block(bits).await?;
            }
        }
        Ok(())
    }
}

fn leaf(row: &LogRow) -> Hash {
    match (&row.transfer, check::bits(&row.workspace)) {
        (Ok(transfer), Some(workspace)) => seal::leaf(id(workspace), transfer),
        // No transfer hashes to it.
        _ => [0; 32],
    }
}

pub(super) fn plain(trouble: Trouble, workspace: Option<WorkspaceId>, words: String) -> Finding {
    Finding { trouble, workspace, position: None, transfer: None, account: None, words }
}

fn unreadable(workspace: WorkspaceId, column: &str) -> Finding {
    plain(Trouble::Unreadable, Some(workspace), format!("its {column} is nothing that the ledger writes"))
}

pub(super) fn blob(raw: &[u8]) -> P<'static> {
    P::Bytes(raw.to_vec().into())
}
