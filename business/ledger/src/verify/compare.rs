//! What is compared when the walk is over: totals, histories, the keeper's place, seals from outside.

use kernel::WorkspaceId;
use store::Reads;

use super::HISTORY_PAGE;
use super::accounts::{id, in_words};
use super::report::{Finding, Trouble};
use super::walk::{Books, Walk, blob, plain};
use crate::account::Limits;
use crate::error::LedgerError;
use crate::sql::check::{self, TotalsRow};
use crate::sql::raw_p;

impl Walk<'_> {
    /// The keeper writes its place together with its blocks.
    pub(super) fn check_cursor(&mut self) {
        if self.options.workspace.is_some() {
            return;
        }
        let newest = self.books.values().filter_map(|books| books.sealed_end).max();
        let (era, at) = newest.unwrap_or_default();
        let cursor = self.cursor;
        let is_fresh_era = cursor.era > era && (cursor.xid, cursor.seq) == (0, 0);
        if !is_fresh_era && (era, at) != (cursor.era, (cursor.xid, cursor.seq)) {
            let (xid, seq) = at;
            let words = format!("the keeper stands at {}, and the newest block ends at {era}-{xid}-{seq}", self.report.version);
            self.findings.add(plain(Trouble::Cursor, None, words));
        }
    }

    /// Compares the totals that are kept with those that were added up.
    pub(super) async fn check_totals(&mut self) -> Result<(), LedgerError> {
        for is_guard in [false, true] {
            let (sql, map): (_, store::Map<TotalsRow>) = match is_guard {
                false => (&check::BALANCES_EVERYWHERE, check::balance_row),
                true => (&check::GUARDED_EVERYWHERE, check::guarded_row),
            };
            let mut at = (self.scope.0.clone(), Vec::new());
            loop {
                let params = check::owned![blob(&at.0), blob(&at.1), blob(&self.scope.1), HISTORY_PAGE];
                let page = self.snapshot.rows(sql, params, map).await?;
                let Some(last) = page.last() else { break };
                at = (last.workspace.clone(), last.account.clone());
                for row in page {
                    self.check_total(is_guard, &row);
                }
            }
        }
        for books in self.books.values() {
            let said = |account, words: String| Finding { account: Some(account), ..plain(Trouble::Totals, Some(books.workspace), words) };
            for (account, state) in &books.accounts.by_id {
                if state.position > 0 && !state.has_balance {
                    self.findings.add(said(*account, "its balance is gone".into()));
                }
                if state.limits != Limits::None && !state.has_guard {
                    self.findings.add(said(*account, "it has a limit, and the totals that guard it are gone".into()));
                }
                let all = state.all;
                let is_empty = all.debits_posted == all.credits_posted && (all.debits_pending, all.credits_pending) == (0, 0);
                if state.is_closed && !is_empty {
                    let finding = said(*account, format!("it is closed, and holds {}", in_words(&all)));
                    self.findings.add(Finding { trouble: Trouble::Account, ..finding });
                }
            }
        }
        Ok(())
    }

    fn check_total(&mut self, is_guard: bool, row: &TotalsRow) {
        let account = check::bits(&row.account).map(id);
        let books = check::bits(&row.workspace).and_then(|bits| self.books.get_mut(&bits));
        let workspace = books.as_ref().map(|books| books.workspace);
        let state = books.and_then(|books| books.accounts.by_id.get_mut(&account?));
        let name = if is_guard { "the totals that guard it" } else { "its balance" };
        let mut say = |words: String| self.findings.add(Finding { account, ..plain(Trouble::Totals, workspace, words) });
        let Some(state) = state else { return say(format!("{name} belongs to no account")) };
        let slot = if is_guard { &mut state.has_guard } else { &mut state.has_balance };
        *slot = true;
        let due = if is_guard { state.all } else { state.booked };
        match row.totals {
            None => say(format!("{name} cannot be understood")),
            Some(there) if there != due => {
                say(format!("{name} says {}, and the log adds up to {}", in_words(&there), in_words(&due)));
            }
            Some(_) => {}
        }
        if is_guard && state.limits == Limits::None && state.is_known {
            say("it has no limit, and totals that guard one".into());
        }
        if let Some((position, booked_at)) = row.place
            && (position, booked_at) != (state.position, state.booked_at)
        {
            say(format!("its balance says position {position} at {booked_at}, and the log {} at {}", state.position, state.booked_at));
        }
    }

    /// Adds up the histories that are there; answers the workspaces where they are not what they should be.
    pub(super) async fn sum_history(&mut self) -> Result<Vec<WorkspaceId>, LedgerError> {
        let mut at = (self.scope.0.clone(), i64::MIN, Vec::new(), i64::MIN);
        loop {
            let params = check::owned![blob(&at.0), at.1, blob(&at.2), at.3, blob(&self.scope.1), HISTORY_PAGE];
            let page = self.snapshot.rows(&check::HISTORY_EVERYWHERE, params, check::history_row).await?;
            let Some(last) = page.last() else { break };
            at = (last.workspace.clone(), last.epoch, last.account.clone(), last.position);
            self.report.history_rows += page.len() as u64;
            for row in page {
                let books = check::bits(&row.workspace).and_then(|bits| self.books.get_mut(&bits));
                match (books, row.row) {
                    (Some(books), Some(row)) => books.history.1.add(&self.keys, &row),
                    (Some(books), None) => books.history.1.spoil(),
                    (None, _) => self.findings.add(plain(Trouble::History, None, "a row of the history is in no workspace".into())),
                }
            }
        }
        let mut at = (self.scope.0.clone(), Vec::new(), i64::MIN);
        loop {
            let params = check::owned![blob(&at.0), blob(&at.1), at.2, blob(&self.scope.1), HISTORY_PAGE];
            let page = self.snapshot.rows(&check::DATED_EVERYWHERE, params, check::dated_row).await?;
            let Some(last) = page.last() else { break };
            at = (last.workspace.clone(), last.account.clone(), last.position);
            for row in page {
                let books = check::bits(&row.workspace).and_then(|bits| self.books.get_mut(&bits));
                match (books, row.row) {
                    (Some(books), Some(row)) => books.dated.1.add(&self.keys, &row),
                    (Some(books), None) => books.dated.1.spoil(),
                    (None, _) => self.findings.add(plain(Trouble::History, None, "a transfer by its day is in no workspace".into())),
                }
            }
        }
        let is_unequal = |books: &&Books| books.history.0 != books.history.1 || books.dated.0 != books.dated.1;
        let mut unequal: Vec<_> = self.books.values().filter(is_unequal).map(|books| books.workspace).collect();
        unequal.sort_unstable();
        Ok(unequal)
    }

    /// Looks for each seal from outside in the database.
    pub(super) async fn check_seals(&mut self) -> Result<(), LedgerError> {
        for seal in self.options.seals.iter().filter(|seal| self.options.workspace.is_none_or(|own| own == seal.workspace)) {
            self.report.seals += 1;
            let params = check::owned![raw_p(seal.workspace), seal.number];
            let there = self.snapshot.row(&check::SEAL, params, check::seal).await?.flatten();
            let newest = self.books.get(&kernel::Id::raw(seal.workspace).bits()).map(|books| books.sealed);
            let words = match there {
                Some(there) if there == *seal => continue,
                Some(_) => format!("block {} is not the one that was sealed: it, or something before it, was written anew", seal.number),
                None => {
                    let (number, last) = newest.map_or((0, 0), |newest| (newest.number, newest.last_position));
                    let gone = seal.last_position - last;
                    format!(
                        "block {} is gone: the newest is block {number}, and {gone} transfers up to position {} with it",
                        seal.number, seal.last_position
                    )
                }
            };
            let position = Some(seal.last_position);
            self.findings.add(Finding { position, ..plain(Trouble::Seal, Some(seal.workspace), words) });
        }
        Ok(())
    }

    /// The trial balance and the counts.
    pub(super) fn add_up(&mut self) {
        self.report.workspaces = self.books.len() as u64;
        for books in self.books.values() {
            self.report.blocks += books.block_count;
            self.report.accounts += books.accounts.by_id.len() as u64;
            self.report.newest.extend((books.block_count > 0).then_some(books.sealed));
            for state in books.accounts.by_id.values() {
                let sums = self.report.units.entry(state.unit.clone()).or_default();
                sums.accounts += 1;
                sums.debits_posted += state.all.debits_posted;
                sums.credits_posted += state.all.credits_posted;
                let net = state.all.debits_posted - state.all.credits_posted;
                sums.debit_balances += net.max(0);
                sums.credit_balances += (-net).max(0);
            }
        }
        self.report.newest.sort_unstable_by_key(|seal| seal.workspace);
        for (unit, sums) in &self.report.units {
            if sums.debits_posted != sums.credits_posted {
                let words = format!("{unit}: debits of {} against credits of {}", sums.debits_posted, sums.credits_posted);
                self.findings.add(plain(Trouble::Totals, None, words));
            }
        }
    }
}
