//! What the books must say, from the rules alone: a list of transfers that are summed whenever a total is asked for.
//!
//! Nothing here is fast or clever, and nothing is taken from the ledger but its types. The rules are those of `docs/ledger.md`.

use std::collections::BTreeMap;

use kernel::Timestamp;
use ledger::{AMOUNT_MAX, AccountId, Action, Ask, Limits, NewTransfer, Outcome, Side, Totals, Transfer, TransferId, TransferKind, Unit};

/// An account of the model.
#[derive(Debug, Clone)]
pub struct Holder {
    pub unit: Unit,
    pub limits: Limits,
    pub is_closed: bool,
}

/// The books of one workspace.
#[derive(Debug, Clone, Default)]
pub struct Books {
    pub accounts: BTreeMap<AccountId, Holder>,
    pub log: Vec<Transfer>,
}

impl Books {
    /// What the transfers up to `count` in the log make of one account.
    fn totals_of_first(&self, account: AccountId, count: usize) -> Totals {
        let mut totals = Totals::default();
        for transfer in &self.log[..count] {
            let (posted, pending) = match transfer.kind {
                TransferKind::Transfer => (transfer.amount, 0),
                TransferKind::Pending => (0, transfer.amount),
                TransferKind::Post => (transfer.amount, -transfer.released),
                TransferKind::Void | TransferKind::Expire => (0, -transfer.released),
            };
            if transfer.debit == account {
                totals.debits_posted += i128::from(posted);
                totals.debits_pending += i128::from(pending);
            }
            if transfer.credit == account {
                totals.credits_posted += i128::from(posted);
                totals.credits_pending += i128::from(pending);
            }
        }
        totals
    }

    /// What stands on one account now.
    pub fn totals(&self, account: AccountId) -> Totals {
        self.totals_of_first(account, self.log.len())
    }

    /// The totals at the end of the instant `at`, by when transfers were recorded.
    pub fn totals_at(&self, account: AccountId, at: Timestamp) -> Totals {
        self.totals_of_first(account, self.log.iter().filter(|transfer| transfer.recorded_at <= at).count())
    }

    /// The posted totals at the end of the instant `at`, by the days that transfers count from.
    pub fn posted_by_day(&self, account: AccountId, at: Timestamp) -> (i128, i128) {
        let moved = |transfer: &&Transfer| transfer.effective_at <= at && transfer.kind != TransferKind::Pending;
        let sum = |side: Side| {
            self.log.iter().filter(moved).filter(|t| t.account(side) == account).map(|transfer| i128::from(transfer.amount)).sum()
        };
        (sum(Side::Debit), sum(Side::Credit))
    }

    /// Each transfer that touches the account, in order, with the totals after it.
    pub fn statement(&self, account: AccountId) -> Vec<(TransferId, Totals)> {
        let touches = |transfer: &Transfer| transfer.debit == account || transfer.credit == account;
        let lines = self.log.iter().enumerate().filter(|(_, transfer)| touches(transfer));
        lines.map(|(index, transfer)| (transfer.id, self.totals_of_first(account, index + 1))).collect()
    }

    fn find(&self, id: TransferId) -> Option<&Transfer> {
        self.log.iter().find(|transfer| transfer.id == id)
    }

    fn resolution(&self, pending: TransferId) -> Option<&Transfer> {
        self.log.iter().find(|transfer| transfer.pending == Some(pending))
    }

    pub fn is_empty_account(&self, account: AccountId) -> bool {
        let totals = self.totals(account);
        totals.debits_posted == totals.credits_posted && totals.debits_pending == 0 && totals.credits_pending == 0
    }

    /// Posts a batch: chains are found first, then each is judged as a whole.
    pub fn post(&mut self, batch: &[NewTransfer], now: Timestamp) -> Vec<(Outcome, i64)> {
        let mut answers = Vec::new();
        let mut rest = batch;
        while !rest.is_empty() {
            let links = rest.iter().take_while(|new| new.linked).count();
            let is_open = links == rest.len();
            let (chain, after) = rest.split_at(if is_open { links } else { links + 1 });
            answers.extend(self.chain(chain, is_open, now));
            rest = after;
        }
        answers
    }

    /// One chain; a transfer by itself is a chain of one.
    fn chain(&mut self, chain: &[NewTransfer], is_open: bool, now: Timestamp) -> Vec<(Outcome, i64)> {
        let count_before = self.log.len();
        let mut answers: Vec<(Outcome, i64)> = Vec::new();
        for (index, new) in chain.iter().enumerate() {
            let is_broken = answers.iter().any(|(outcome, _)| !matches!(outcome, Outcome::Created | Outcome::Exists));
            answers.push(if is_open && index + 1 == chain.len() {
                (Outcome::LinkedEventChainOpen, 0)
            } else if is_broken {
                (Outcome::LinkedEventFailed, 0)
            } else {
                match self.one(new, now) {
                    Ok((outcome, transfer)) => (outcome, if transfer.amount > 0 { transfer.amount } else { transfer.released }),
                    Err(refusal) => (refusal, 0),
                }
            });
        }
        let stands = |(outcome, _): &(Outcome, i64)| matches!(outcome, Outcome::Created | Outcome::Exists);
        let stood: Vec<bool> = chain.iter().map(|new| self.log[..count_before].iter().any(|known| known.id == new.id)).collect();
        let is_whole = answers.iter().all(stands);
        let is_mixed = is_whole && stood.contains(&true) && stood.contains(&false);
        if !is_whole || is_mixed {
            self.log.truncate(count_before);
            for (answer, stood) in answers.iter_mut().zip(stood) {
                if stands(answer) && !stood {
                    *answer = (Outcome::LinkedEventFailed, 0);
                }
            }
        }
        answers
    }

    fn one(&mut self, new: &NewTransfer, now: Timestamp) -> Result<(Outcome, Transfer), Outcome> {
        if let Some(known) = self.find(new.id) {
            return match difference(known, new) {
                None => Ok((Outcome::Exists, known.clone())),
                Some(code) => Err(code),
            };
        }
        let transfer = match &new.action {
            Action::Post { debit, credit, unit, ask } => {
                let amount = self.allowed(*debit, *credit, unit, *ask, None, now)?;
                recorded(new, TransferKind::Transfer, (*debit, *credit), unit, amount, now)
            }
            Action::Hold { debit, credit, unit, ask, expires_at } => {
                let amount = self.allowed(*debit, *credit, unit, *ask, *expires_at, now)?;
                let held = recorded(new, TransferKind::Pending, (*debit, *credit), unit, amount, now);
                Transfer { expires_at: *expires_at, ..held }
            }
            Action::PostPending { pending, amount } => self.resolve(new, TransferKind::Post, *pending, *amount, now)?,
            Action::VoidPending { pending } => self.resolve(new, TransferKind::Void, *pending, None, now)?,
            Action::ExpirePending { pending } => self.resolve(new, TransferKind::Expire, *pending, None, now)?,
        };
        self.log.push(transfer.clone());
        Ok((Outcome::Created, transfer))
    }

    /// The amount that may be moved or promised, or why none may.
    fn allowed(
        &self,
        debit: AccountId,
        credit: AccountId,
        unit: &Unit,
        ask: Ask,
        expires_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<i64, Outcome> {
        let wanted = ask.amount();
        if wanted < 1 {
            return Err(Outcome::AmountMustBePositive);
        }
        if wanted > AMOUNT_MAX {
            return Err(Outcome::AmountTooLarge);
        }
        if debit == credit {
            return Err(Outcome::AccountsMustDiffer);
        }
        if expires_at.is_some() && expires_at <= Some(now) {
            return Err(Outcome::ExpiryInThePast);
        }
        let Some(from) = self.accounts.get(&debit) else { return Err(Outcome::DebitAccountNotFound) };
        let Some(to) = self.accounts.get(&credit) else { return Err(Outcome::CreditAccountNotFound) };
        if from.unit != to.unit {
            return Err(Outcome::AccountsHaveDifferentUnits);
        }
        if *unit != from.unit {
            return Err(Outcome::TransferHasDifferentUnit);
        }
        if from.is_closed {
            return Err(Outcome::DebitAccountClosed);
        }
        if to.is_closed {
            return Err(Outcome::CreditAccountClosed);
        }
        let left_to_debit = || {
            let totals = self.totals(debit);
            totals.credits_posted - totals.debits_posted - totals.debits_pending
        };
        let left_to_credit = || {
            let totals = self.totals(credit);
            totals.debits_posted - totals.credits_posted - totals.credits_pending
        };
        let mut amount = i128::from(wanted);
        match ask {
            Ask::Exactly(_) => {}
            Ask::UpToDebitLimit(_) if from.limits != Limits::DebitsWithinCredits => return Err(Outcome::AccountHasNoLimit),
            Ask::UpToDebitLimit(_) => {
                amount = amount.min(left_to_debit());
                if amount < 1 {
                    return Err(Outcome::ExceedsCredits);
                }
            }
            Ask::UpToCreditLimit(_) if to.limits != Limits::CreditsWithinDebits => return Err(Outcome::AccountHasNoLimit),
            Ask::UpToCreditLimit(_) => {
                amount = amount.min(left_to_credit());
                if amount < 1 {
                    return Err(Outcome::ExceedsDebits);
                }
            }
        }
        if from.limits == Limits::DebitsWithinCredits && amount > left_to_debit() {
            return Err(Outcome::ExceedsCredits);
        }
        if to.limits == Limits::CreditsWithinDebits && amount > left_to_credit() {
            return Err(Outcome::ExceedsDebits);
        }
        Ok(i64::try_from(amount).unwrap())
    }

    fn resolve(
        &self,
        new: &NewTransfer,
        kind: TransferKind,
        pending: TransferId,
        amount: Option<i64>,
        now: Timestamp,
    ) -> Result<Transfer, Outcome> {
        if amount.is_some_and(|amount| amount < 1) {
            return Err(Outcome::AmountMustBePositive);
        }
        if amount.is_some_and(|amount| amount > AMOUNT_MAX) {
            return Err(Outcome::AmountTooLarge);
        }
        let Some(held) = self.find(pending) else { return Err(Outcome::PendingNotFound) };
        if held.kind != TransferKind::Pending {
            return Err(Outcome::PendingNotPending);
        }
        if let Some(earlier) = self.resolution(pending) {
            return Err(match earlier.kind {
                TransferKind::Post => Outcome::PendingAlreadyPosted,
                TransferKind::Void => Outcome::PendingAlreadyVoided,
                _ => Outcome::PendingExpired,
            });
        }
        let is_over = held.expires_at.is_some() && held.expires_at <= Some(now);
        if is_over && kind != TransferKind::Expire {
            return Err(Outcome::PendingExpired);
        }
        if amount.is_some_and(|amount| amount > held.amount) {
            return Err(Outcome::ExceedsPendingAmount);
        }
        let posted = if kind == TransferKind::Post { amount.unwrap_or(held.amount) } else { 0 };
        let transfer = recorded(new, kind, (held.debit, held.credit), &held.unit, posted, now);
        Ok(Transfer {
            released: held.amount,
            pending: Some(pending),
            entry: new.entry.or(held.entry),
            source: new.source.clone().or(held.source.clone()),
            ..transfer
        })
    }
}

fn recorded(
    new: &NewTransfer,
    kind: TransferKind,
    (debit, credit): (AccountId, AccountId),
    unit: &Unit,
    amount: i64,
    now: Timestamp,
) -> Transfer {
    Transfer {
        id: new.id,
        kind,
        debit,
        credit,
        unit: unit.clone(),
        amount,
        released: 0,
        pending: None,
        expires_at: None,
        effective_at: new.effective_at.unwrap_or(now),
        recorded_at: now,
        entry: new.entry,
        source: new.source.clone(),
        memo: new.memo.clone(),
        metadata: new.metadata.clone(),
        actor: "system:tests".to_owned(),
    }
}

/// In what a transfer that is asked for differs from the one that has its identifier; the first difference counts.
fn difference(known: &Transfer, new: &NewTransfer) -> Option<Outcome> {
    let (kind, accounts, unit, expires_at, pending) = match &new.action {
        Action::Post { debit, credit, unit, .. } => (TransferKind::Transfer, Some((*debit, *credit)), Some(unit), None, None),
        Action::Hold { debit, credit, unit, expires_at, .. } => {
            (TransferKind::Pending, Some((*debit, *credit)), Some(unit), *expires_at, None)
        }
        Action::PostPending { pending, .. } => (TransferKind::Post, None, None, None, Some(*pending)),
        Action::VoidPending { pending } => (TransferKind::Void, None, None, None, Some(*pending)),
        Action::ExpirePending { pending } => (TransferKind::Expire, None, None, None, Some(*pending)),
    };
    // What a balancing transfer moved may be less than what was asked for; "all that was promised" is what was released.
    let is_amount = match &new.action {
        Action::Post { ask: Ask::Exactly(amount), .. } | Action::Hold { ask: Ask::Exactly(amount), .. } => known.amount == *amount,
        Action::Post { ask, .. } | Action::Hold { ask, .. } => known.amount <= ask.amount(),
        Action::PostPending { amount: Some(amount), .. } => known.amount == *amount,
        Action::PostPending { amount: None, .. } => known.amount == known.released,
        Action::VoidPending { .. } | Action::ExpirePending { .. } => true,
    };
    // A resolution that names no entry or source takes those of the pending transfer, whatever they are.
    let inherits = pending.is_some();
    let is_entry = known.entry == new.entry || (inherits && new.entry.is_none());
    let is_source = known.source == new.source || (inherits && new.source.is_none());
    let is_day = known.effective_at == new.effective_at.unwrap_or(known.recorded_at);
    [
        (kind == known.kind, Outcome::ExistsWithDifferentAction),
        (accounts.is_none_or(|accounts| accounts == (known.debit, known.credit)), Outcome::ExistsWithDifferentAccounts),
        (pending == known.pending, Outcome::ExistsWithDifferentPending),
        (is_amount, Outcome::ExistsWithDifferentAmount),
        (unit.is_none_or(|unit| *unit == known.unit), Outcome::ExistsWithDifferentUnit),
        (expires_at == known.expires_at, Outcome::ExistsWithDifferentExpiry),
        (is_entry && is_source && is_day && known.memo == new.memo && known.metadata == new.metadata, Outcome::ExistsWithDifferentDetails),
    ]
    .into_iter()
    .find_map(|(is_same, code)| (!is_same).then_some(code))
}
