//! The accounts' histories against what they should be.
//!
//! All of them at first, as two sums: one over the rows that the log asks for, one over those that are there, in whatever
//! order each of them comes. Ten million transfers need no more memory for it than one. Only the workspace whose sums differ
//! is then compared row by row, an epoch at a time.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasher as _, Hash, RandomState};

use kernel::{Timestamp, WorkspaceId};
use store::{P, Reads, Snapshot};

use super::accounts::{id, in_words};
use super::report::{Finding, Findings, Trouble};
use super::{HISTORY_PAGE, raw_of};
use crate::account::{Side, Totals};
use crate::error::LedgerError;
use crate::keeper::EPOCH;
use crate::sql::check::{self, DatedRow, HistoryAt, HistoryRow};
use crate::transfer::Transfer;

/// A sum over rows that does not depend on their order. Its key is drawn anew each time, so that nobody can choose rows
/// that cancel each other out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    rows: u64,
    sum: u128,
}

/// The keys of all sums of one verification.
#[derive(Debug, Default)]
pub(crate) struct Keys(RandomState, RandomState);

impl Sum {
    pub(crate) fn add(&mut self, keys: &Keys, row: &impl Hash) {
        self.rows += 1;
        let wide = u128::from(keys.0.hash_one(row)) << 64 | u128::from(keys.1.hash_one(row));
        self.sum = self.sum.wrapping_add(wide);
    }

    /// A row that cannot be understood is never one that should be there.
    pub(crate) fn spoil(&mut self) {
        self.rows += 1 << 62;
    }
}

/// Two rows of history that a booked transfer makes: what each account holds after it comes from `after`.
pub(crate) fn rows(
    position: i64,
    booked_at: Timestamp,
    transfer: &Transfer,
    mut after: impl FnMut(Side) -> Option<(i64, Totals)>,
) -> [Option<HistoryRow>; 2] {
    [Side::Debit, Side::Credit].map(|side| {
        let (previous, totals) = after(side)?;
        Some(HistoryRow {
            epoch: position / EPOCH,
            account: kernel::Id::raw(transfer.account(side)).bits(),
            position,
            previous,
            transfer: kernel::Id::raw(transfer.id).bits(),
            side,
            booked_at: booked_at.as_micros(),
            totals,
        })
    })
}

/// The rows by day that a booked transfer makes: none where it counts from the day on which it was recorded.
pub(crate) fn dated(position: i64, booked_at: Timestamp, transfer: &Transfer) -> Vec<DatedRow> {
    let (posted, _) = transfer.adds();
    if transfer.effective_at == transfer.recorded_at || posted <= 0 {
        return Vec::new();
    }
    let of = |side| {
        let (debit, credit) = if side == Side::Debit { (posted, 0) } else { (0, posted) };
        let account = kernel::Id::raw(transfer.account(side)).bits();
        let (effective_at, booked_at) = (transfer.effective_at.as_micros(), booked_at.as_micros());
        DatedRow { account, position, effective_at, booked_at, debit, credit }
    };
    vec![of(Side::Debit), of(Side::Credit)]
}

/// One workspace's history, row by row.
pub(crate) struct Exact {
    workspace: WorkspaceId,
    findings: Findings,
    epoch: i64,
    booked: Vec<(i64, Box<Transfer>)>,
    /// Where reading has come: epoch, account, position.
    at: (i64, Vec<u8>, i64),
    read: VecDeque<HistoryAt>,
    is_read: bool,
    accounts: HashMap<u128, (i64, Totals)>,
    booked_at: i64,
    dated: BTreeMap<(u128, i64), DatedRow>,
}

impl Exact {
    pub(crate) fn new(workspace: WorkspaceId, findings: Findings) -> Self {
        Self {
            workspace,
            findings,
            epoch: 0,
            booked: Vec::new(),
            at: (i64::MIN, Vec::new(), i64::MIN),
            read: VecDeque::new(),
            is_read: false,
            accounts: HashMap::new(),
            booked_at: 0,
            dated: BTreeMap::new(),
        }
    }

    /// Takes a booked transfer; where it begins another epoch, the one before is compared.
    pub(crate) async fn booked(&mut self, snapshot: &mut Snapshot, position: i64, transfer: Box<Transfer>) -> Result<(), LedgerError> {
        if position / EPOCH > self.epoch {
            self.compare(snapshot, position / EPOCH - 1).await?;
            self.epoch = position / EPOCH;
        }
        self.booked.push((position, transfer));
        Ok(())
    }

    /// Compares what is left, and whatever stands beyond it; hands the findings back.
    pub(crate) async fn finish(mut self, snapshot: &mut Snapshot) -> Result<Findings, LedgerError> {
        self.compare(snapshot, i64::MAX).await?;
        self.compare_dated(snapshot).await?;
        Ok(self.findings)
    }

    fn finding(&self, position: i64, transfer: Option<u128>, account: Option<u128>, words: String) -> Finding {
        Finding {
            trouble: Trouble::History,
            workspace: Some(self.workspace),
            position: Some(position),
            transfer: transfer.map(id),
            account: account.map(id),
            words,
        }
    }

    async fn compare(&mut self, snapshot: &mut Snapshot, until_epoch: i64) -> Result<(), LedgerError> {
        let mut stored: BTreeMap<i64, Vec<HistoryRow>> = BTreeMap::new();
        while let Some(at) = self.next(snapshot, until_epoch).await? {
            match at.row {
                Some(row) if row.epoch == row.position.div_euclid(EPOCH) => stored.entry(row.position).or_default().push(row),
                _ => {
                    let words = "a row of the history cannot be understood, or stands where nobody looks for it".to_owned();
                    let finding = self.finding(at.position, None, check::bits(&at.account), words);
                    self.findings.add(finding);
                }
            }
        }
        let mut booked = std::mem::take(&mut self.booked);
        booked.sort_unstable_by_key(|(position, _)| *position);
        for (position, transfer) in booked {
            let rows = stored.remove(&position).unwrap_or_default();
            self.one(position, &transfer, rows);
        }
        for (position, rows) in stored {
            for row in rows {
                let words = format!("the history of {} has it, and the log has not", id::<crate::AccountId>(row.account));
                let finding = self.finding(position, Some(row.transfer), None, words);
                self.findings.add(finding);
                // What follows it was computed from it.
                self.accounts.insert(row.account, (position, row.totals));
            }
        }
        Ok(())
    }

    fn one(&mut self, position: i64, transfer: &Transfer, mut rows: Vec<HistoryRow>) {
        let (posted, pending) = transfer.adds();
        let transfer_bits = kernel::Id::raw(transfer.id).bits();
        let booked_at = self.booked_at.max(transfer.recorded_at.as_micros());
        self.booked_at = booked_at;
        for side in [Side::Debit, Side::Credit] {
            let account = kernel::Id::raw(transfer.account(side)).bits();
            let (previous, before) = self.accounts.get(&account).copied().unwrap_or_default();
            let mut totals = before;
            totals.add(side, posted, pending);
            let epoch = position / EPOCH;
            let expected = HistoryRow { epoch, account, position, previous, transfer: transfer_bits, side, booked_at, totals };
            let found = rows.iter().position(|row| row.account == account).map(|at| rows.swap_remove(at));
            let Some(found) = found else {
                let words = format!("the history of {} does not have it", transfer.account(side));
                let finding = self.finding(position, Some(transfer_bits), Some(account), words);
                self.findings.add(finding);
                self.accounts.insert(account, (position, totals));
                continue;
            };
            if found != expected {
                let words = self.difference(&found, &expected, transfer, &before);
                let finding = self.finding(position, Some(transfer_bits), Some(account), words);
                self.findings.add(finding);
            }
            self.booked_at = self.booked_at.max(found.booked_at);
            // What follows was computed from what is there: one wrong row is one finding.
            self.accounts.insert(account, (position, found.totals));
        }
        for row in rows {
            let words =
                format!("the history of {} has it, and the transfer is not between its accounts", id::<crate::AccountId>(row.account));
            let finding = self.finding(position, Some(row.transfer), None, words);
            self.findings.add(finding);
            self.accounts.insert(row.account, (position, row.totals));
        }
    }

    fn difference(&self, found: &HistoryRow, expected: &HistoryRow, transfer: &Transfer, before: &Totals) -> String {
        let account = transfer.account(expected.side);
        if found.totals != expected.totals {
            let (there, due) = (in_words(&found.totals), in_words(&expected.totals));
            return format!("the history of {account} goes from {} to {there}, and by the log to {due}", in_words(before));
        }
        if found.transfer != expected.transfer {
            return format!("the history of {account} has {} here", id::<crate::TransferId>(found.transfer));
        }
        if found.previous != expected.previous {
            return format!("the history of {account} goes back to position {}, and was at {}", found.previous, expected.previous);
        }
        if found.side != expected.side {
            return format!("the history of {account} has it on the other side");
        }
        let (there, due) = (Timestamp::from_micros(found.booked_at), Timestamp::from_micros(expected.booked_at));
        format!("the history of {account} has it booked at {there}, and it was at {due}")
    }

    /// The next row up to an epoch, in the order of the table.
    async fn next(&mut self, snapshot: &mut Snapshot, until_epoch: i64) -> Result<Option<HistoryAt>, LedgerError> {
        if self.read.is_empty() && !self.is_read {
            let own = crate::sql::raw_p(self.workspace);
            let (epoch, account, position) = (self.at.0, P::Bytes(self.at.1.clone().into()), self.at.2);
            let params = check::owned![own, epoch, account, position, own, HISTORY_PAGE];
            let page = snapshot.rows(&check::HISTORY_EVERYWHERE, params, check::history_row).await?;
            self.is_read = (page.len() as i64) < HISTORY_PAGE;
            if let Some(last) = page.last() {
                self.at = (last.epoch, last.account.clone(), last.position);
            }
            self.read = page.into();
        }
        Ok(self.read.pop_front_if(|row| row.epoch <= until_epoch))
    }

    /// Remembers the rows by day that a transfer should have.
    pub(crate) fn dated(&mut self, rows: Vec<DatedRow>) {
        self.dated.extend(rows.into_iter().map(|row| ((row.account, row.position), row)));
    }

    async fn compare_dated(&mut self, snapshot: &mut Snapshot) -> Result<(), LedgerError> {
        let own = raw_of(self.workspace);
        let mut at = (own.clone(), Vec::new(), i64::MIN);
        loop {
            let bytes = |raw: &[u8]| P::Bytes(raw.to_vec().into());
            let params = check::owned![bytes(&at.0), bytes(&at.1), at.2, bytes(&own), HISTORY_PAGE];
            let page = snapshot.rows(&check::DATED_EVERYWHERE, params, check::dated_row).await?;
            let Some(last) = page.last() else { break };
            at = (last.workspace.clone(), last.account.clone(), last.position);
            for row in page {
                let account = check::bits(&row.account);
                let expected = account.and_then(|account| self.dated.remove(&(account, row.position)));
                if row.row.is_none() || row.row != expected {
                    let words = "what counts from another day than it was recorded on is not kept as the log has it".to_owned();
                    let finding = self.finding(row.position, None, account, words);
                    self.findings.add(finding);
                }
            }
        }
        for ((account, position), _) in std::mem::take(&mut self.dated) {
            let words = "it counts from another day than it was recorded on, and is not kept there".to_owned();
            let finding = self.finding(position, None, Some(account), words);
            self.findings.add(finding);
        }
        Ok(())
    }
}
