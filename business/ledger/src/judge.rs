//! What becomes of a batch: each transfer is judged as if it were alone, after those before it. No I/O.
//!
//! The checks run in the order of [`Outcome`]'s table in `docs/ledger.md`; the first that fails gives the code.

use std::collections::{HashMap, HashSet};

use kernel::Timestamp;
use serde_json::Value;

use crate::account::{AccountId, Limits, Side, Totals, Unit};
use crate::transfer::{AMOUNT_MAX, Action, Ask, NewTransfer, Outcome, Transfer, TransferId, TransferKind};

/// What a judgement has to know of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// What it counts.
    pub unit: Unit,
    /// How far it may go.
    pub limits: Limits,
    /// Whether it is closed.
    pub is_closed: bool,
}

/// What the books hold of everything that a batch names.
#[derive(Debug, Clone, Default)]
pub struct Scene {
    /// The accounts.
    pub accounts: HashMap<AccountId, Known>,
    /// The totals of those with a limit.
    pub guarded: HashMap<AccountId, Totals>,
    /// The transfers with the batch's identifiers, and the pending ones that it resolves.
    pub transfers: HashMap<TransferId, Transfer>,
    /// How pending ones were resolved.
    pub resolved: HashMap<TransferId, TransferKind>,
}

/// What became of one transfer, and how much it moved, made pending or released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged {
    /// What became of it.
    pub outcome: Outcome,
    /// Minor units; 0 where it was refused.
    pub amount: i64,
}

/// A judged batch.
#[derive(Debug, Clone, Default)]
pub struct Judgement {
    /// One for each transfer, in their order.
    pub rows: Vec<Judged>,
    /// Those to be recorded.
    pub created: Vec<Transfer>,
    /// Accounts with a limit whose totals changed.
    pub touched: Vec<AccountId>,
}

/// Judges `batch` at the instant `now` on behalf of `actor`; `scene` is left as it will be once the batch is recorded.
pub fn judge(scene: &mut Scene, batch: Vec<NewTransfer>, now: Timestamp, actor: &str) -> Judgement {
    let mut bench = Bench { scene, now, actor, judgement: Judgement::default(), undo: Vec::new(), fresh: HashSet::new() };
    bench.judgement.rows.reserve(batch.len());
    bench.judgement.created.reserve(batch.len());
    let mut chain: Option<Chain> = None;
    let count = batch.len();
    for (index, new) in batch.into_iter().enumerate() {
        let (is_linked, id) = (new.linked, new.id);
        if is_linked && chain.is_none() {
            chain = Some(Chain { first: index, created: bench.judgement.created.len(), again: Vec::new(), is_broken: false });
            bench.undo.clear();
            bench.fresh.clear();
        }
        let is_open = is_linked && index + 1 == count;
        let judged = match &chain {
            Some(Chain { is_broken: true, .. }) if !is_open => Err(Outcome::LinkedEventFailed),
            Some(_) if is_open => Err(Outcome::LinkedEventChainOpen),
            _ => bench.one(new),
        };
        let judged = judged.unwrap_or_else(|outcome| Judged { outcome, amount: 0 });
        bench.judgement.rows.push(judged);
        if let Some(open) = &mut chain {
            match judged.outcome {
                Outcome::Created => {
                    bench.fresh.insert(id);
                }
                Outcome::Exists if bench.fresh.contains(&id) => open.again.push(index),
                _ => {}
            }
            if !judged.outcome.stands() && !open.is_broken {
                open.is_broken = true;
                bench.take_back(open);
            }
            if !is_linked || is_open {
                bench.close(open);
                chain = None;
            }
        }
    }
    let Bench { mut judgement, .. } = bench;
    judgement.touched.sort_unstable();
    judgement.touched.dedup();
    judgement
}

/// Transfers that stand or fall together.
struct Chain {
    /// The index of the first one.
    first: usize,
    /// How many were to be recorded before it.
    created: usize,
    /// Rows that exist because the chain itself created them: they fall with it, and do not make it one that stood before.
    again: Vec<usize>,
    is_broken: bool,
}

struct Bench<'a> {
    scene: &'a mut Scene,
    now: Timestamp,
    actor: &'a str,
    judgement: Judgement,
    /// Totals as they were before a chain changed them, the oldest first.
    undo: Vec<(AccountId, Totals)>,
    /// What the chain created so far.
    fresh: HashSet<TransferId>,
}

impl Bench<'_> {
    /// A chain of which a part stood before and a part is new was not asked for as a whole before: the new part falls.
    fn close(&mut self, chain: &mut Chain) {
        if chain.is_broken {
            return;
        }
        let rows = &self.judgement.rows[chain.first..];
        let stood = rows.iter().filter(|row| row.outcome == Outcome::Exists).count() - chain.again.len();
        let is_mixed = stood > 0 && rows.iter().any(|row| row.outcome == Outcome::Created);
        if is_mixed {
            self.take_back(chain);
        }
    }

    fn take_back(&mut self, chain: &Chain) {
        for transfer in self.judgement.created.drain(chain.created..) {
            self.scene.transfers.remove(&transfer.id);
            if let Some(pending) = transfer.pending {
                self.scene.resolved.remove(&pending);
            }
        }
        for (account, totals) in self.undo.drain(..).rev() {
            self.scene.guarded.insert(account, totals);
        }
        for (index, row) in self.judgement.rows.iter_mut().enumerate().skip(chain.first) {
            if row.outcome == Outcome::Created || chain.again.contains(&index) {
                *row = Judged { outcome: Outcome::LinkedEventFailed, amount: 0 };
            }
        }
    }

    fn one(&mut self, new: NewTransfer) -> Result<Judged, Outcome> {
        if let Some(known) = self.scene.transfers.get(&new.id) {
            return same(known, &new).map(|()| Judged { outcome: Outcome::Exists, amount: effect(known) });
        }
        let transfer = match &new.action {
            Action::Post { debit, credit, unit, ask } => self.moved(&new, TransferKind::Transfer, *debit, *credit, unit, *ask, None)?,
            Action::Hold { debit, credit, unit, ask, expires_at } => {
                self.moved(&new, TransferKind::Pending, *debit, *credit, unit, *ask, *expires_at)?
            }
            Action::PostPending { pending, amount } => self.resolved(&new, TransferKind::Post, *pending, *amount)?,
            Action::VoidPending { pending } => self.resolved(&new, TransferKind::Void, *pending, None)?,
            Action::ExpirePending { pending } => self.resolved(&new, TransferKind::Expire, *pending, None)?,
        };
        let (posted, pending) = transfer.adds();
        for side in [Side::Debit, Side::Credit] {
            let account = transfer.account(side);
            if let Some(totals) = self.scene.guarded.get_mut(&account) {
                self.undo.push((account, *totals));
                totals.add(side, posted, pending);
                self.judgement.touched.push(account);
            }
        }
        if let Some(pending) = transfer.pending {
            self.scene.resolved.insert(pending, transfer.kind);
        }
        let amount = effect(&transfer);
        self.scene.transfers.insert(transfer.id, transfer.clone());
        self.judgement.created.push(transfer);
        Ok(Judged { outcome: Outcome::Created, amount })
    }

    /// A transfer that moves or promises an amount.
    fn moved(
        &self,
        new: &NewTransfer,
        kind: TransferKind,
        debit: AccountId,
        credit: AccountId,
        unit: &Unit,
        ask: Ask,
        expires_at: Option<Timestamp>,
    ) -> Result<Transfer, Outcome> {
        check_amount(ask.amount())?;
        if debit == credit {
            return Err(Outcome::AccountsMustDiffer);
        }
        if expires_at.is_some_and(|end| end <= self.now) {
            return Err(Outcome::ExpiryInThePast);
        }
        let from = self.scene.accounts.get(&debit).ok_or(Outcome::DebitAccountNotFound)?;
        let to = self.scene.accounts.get(&credit).ok_or(Outcome::CreditAccountNotFound)?;
        if from.unit != to.unit {
            return Err(Outcome::AccountsHaveDifferentUnits);
        }
        if from.unit != *unit {
            return Err(Outcome::TransferHasDifferentUnit);
        }
        if from.is_closed {
            return Err(Outcome::DebitAccountClosed);
        }
        if to.is_closed {
            return Err(Outcome::CreditAccountClosed);
        }
        let totals = |account| self.scene.guarded.get(&account).copied().unwrap_or_default();
        let amount = match ask {
            Ask::Exactly(amount) => amount,
            Ask::UpToDebitLimit(most) => match from.limits {
                Limits::DebitsWithinCredits => up_to(most, totals(debit).debits_left()).ok_or(Outcome::ExceedsCredits)?,
                _ => return Err(Outcome::AccountHasNoLimit),
            },
            Ask::UpToCreditLimit(most) => match to.limits {
                Limits::CreditsWithinDebits => up_to(most, totals(credit).credits_left()).ok_or(Outcome::ExceedsDebits)?,
                _ => return Err(Outcome::AccountHasNoLimit),
            },
        };
        if from.limits == Limits::DebitsWithinCredits && i128::from(amount) > totals(debit).debits_left() {
            return Err(Outcome::ExceedsCredits);
        }
        if to.limits == Limits::CreditsWithinDebits && i128::from(amount) > totals(credit).credits_left() {
            return Err(Outcome::ExceedsDebits);
        }
        Ok(Transfer {
            id: new.id,
            kind,
            debit,
            credit,
            unit: unit.clone(),
            amount,
            released: 0,
            pending: None,
            expires_at,
            effective_at: new.effective_at.unwrap_or(self.now),
            recorded_at: self.now,
            entry: new.entry,
            source: new.source.clone(),
            memo: new.memo.clone(),
            metadata: new.metadata.clone(),
            actor: self.actor.to_owned(),
        })
    }

    /// A transfer that resolves a pending one.
    fn resolved(&self, new: &NewTransfer, kind: TransferKind, pending: TransferId, amount: Option<i64>) -> Result<Transfer, Outcome> {
        amount.map_or(Ok(()), check_amount)?;
        let held = self.scene.transfers.get(&pending).ok_or(Outcome::PendingNotFound)?;
        if held.kind != TransferKind::Pending {
            return Err(Outcome::PendingNotPending);
        }
        match self.scene.resolved.get(&pending) {
            None => {}
            Some(TransferKind::Post) => return Err(Outcome::PendingAlreadyPosted),
            Some(TransferKind::Expire) => return Err(Outcome::PendingExpired),
            Some(_) => return Err(Outcome::PendingAlreadyVoided),
        }
        if kind != TransferKind::Expire && held.expires_at.is_some_and(|end| end <= self.now) {
            return Err(Outcome::PendingExpired);
        }
        let posted = match kind {
            TransferKind::Post => amount.unwrap_or(held.amount),
            _ => 0,
        };
        if posted > held.amount {
            return Err(Outcome::ExceedsPendingAmount);
        }
        Ok(Transfer {
            id: new.id,
            kind,
            debit: held.debit,
            credit: held.credit,
            unit: held.unit.clone(),
            amount: posted,
            released: held.amount,
            pending: Some(pending),
            expires_at: None,
            effective_at: new.effective_at.unwrap_or(self.now),
            recorded_at: self.now,
            entry: new.entry.or(held.entry),
            source: new.source.clone().or_else(|| held.source.clone()),
            memo: new.memo.clone(),
            metadata: new.metadata.clone(),
            actor: self.actor.to_owned(),
        })
    }
}

/// What a recorded transfer moved or made pending, or released where that was all it did.
const fn effect(transfer: &Transfer) -> i64 {
    if transfer.amount == 0 { transfer.released } else { transfer.amount }
}

fn check_amount(amount: i64) -> Result<(), Outcome> {
    match amount {
        ..=0 => Err(Outcome::AmountMustBePositive),
        1..=AMOUNT_MAX => Ok(()),
        _ => Err(Outcome::AmountTooLarge),
    }
}

/// The lesser of `most` and what is `left`, if that is anything.
fn up_to(most: i64, left: i128) -> Option<i64> {
    let amount = i128::from(most).min(left);
    i64::try_from(amount).ok().filter(|amount| *amount > 0)
}

/// Whether `new` says what stands in the books. A number with many places is not always read back from its text as it was.
fn same_words(known: Option<&Value>, new: Option<&Value>) -> bool {
    known == new || new.is_some_and(|new| serde_json::from_str::<Value>(&new.to_string()).is_ok_and(|read| known == Some(&read)))
}

/// Whether `new` asks for what `known` did.
fn same(known: &Transfer, new: &NewTransfer) -> Result<(), Outcome> {
    let with = |kind| if known.kind == kind { Ok(()) } else { Err(Outcome::ExistsWithDifferentAction) };
    match &new.action {
        Action::Post { debit, credit, unit, ask } | Action::Hold { debit, credit, unit, ask, .. } => {
            with(if matches!(new.action, Action::Post { .. }) { TransferKind::Transfer } else { TransferKind::Pending })?;
            if (known.debit, known.credit) != (*debit, *credit) {
                return Err(Outcome::ExistsWithDifferentAccounts);
            }
            let is_amount = match ask {
                Ask::Exactly(amount) => known.amount == *amount,
                Ask::UpToDebitLimit(most) | Ask::UpToCreditLimit(most) => known.amount <= *most,
            };
            if !is_amount {
                return Err(Outcome::ExistsWithDifferentAmount);
            }
            if known.unit != *unit {
                return Err(Outcome::ExistsWithDifferentUnit);
            }
            if let Action::Hold { expires_at, .. } = &new.action
                && *expires_at != known.expires_at
            {
                return Err(Outcome::ExistsWithDifferentExpiry);
            }
        }
        Action::PostPending { pending, .. } | Action::VoidPending { pending } | Action::ExpirePending { pending } => {
            with(match new.action {
                Action::PostPending { .. } => TransferKind::Post,
                Action::VoidPending { .. } => TransferKind::Void,
                _ => TransferKind::Expire,
            })?;
            if known.pending != Some(*pending) {
                return Err(Outcome::ExistsWithDifferentPending);
            }
            if let Action::PostPending { amount, .. } = &new.action
                && amount.unwrap_or(known.released) != known.amount
            {
                return Err(Outcome::ExistsWithDifferentAmount);
            }
        }
    }
    let is_resolution = known.pending.is_some();
    let inherits = |is_same: bool, is_given: bool| is_same || (is_resolution && !is_given);
    let is_same = inherits(known.entry == new.entry, new.entry.is_some())
        && inherits(known.source == new.source, new.source.is_some())
        && known.memo == new.memo
        && same_words(known.metadata.as_ref(), new.metadata.as_ref())
        && new.effective_at.unwrap_or(known.recorded_at) == known.effective_at;
    if is_same { Ok(()) } else { Err(Outcome::ExistsWithDifferentDetails) }
}
