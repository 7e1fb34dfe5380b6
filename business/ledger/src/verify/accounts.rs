//! What the log adds up to, account by account, and whether each transfer could be judged as it was. No I/O.

use std::collections::HashMap;

use kernel::{Id, RawId, Timestamp, WorkspaceId};

use super::report::{Finding, Findings, Trouble};
use crate::account::{AccountId, Limits, Side, Totals, Unit};
use crate::sql::check::AccountRow;
use crate::transfer::{AMOUNT_MAX, Transfer, TransferId, TransferKind};

/// An account and what was added up for it.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) unit: Unit,
    pub(crate) limits: Limits,
    pub(crate) is_closed: bool,
    /// Whether its row is there.
    pub(crate) is_known: bool,
    /// As far as it is booked: totals, position and time of the last transfer.
    pub(crate) booked: Totals,
    pub(crate) position: i64,
    pub(crate) booked_at: Timestamp,
    /// Everything in the log.
    pub(crate) all: Totals,
    /// Everything in the log so far, in the order in which it was judged.
    judged: Totals,
    is_over: bool,
    /// Which of its kept totals were seen.
    pub(crate) has_balance: bool,
    pub(crate) has_guard: bool,
}

impl State {
    fn new(unit: Unit, limits: Limits) -> Self {
        Self {
            unit,
            limits,
            is_closed: false,
            is_known: true,
            booked: Totals::default(),
            position: 0,
            booked_at: Timestamp::from_micros(0),
            all: Totals::default(),
            judged: Totals::default(),
            is_over: false,
            has_balance: false,
            has_guard: false,
        }
    }
}

/// A promise that nothing has resolved yet.
#[derive(Debug, Clone)]
struct Held {
    debit: AccountId,
    credit: AccountId,
    amount: i64,
    expires_at: Option<Timestamp>,
}

/// The accounts of one workspace.
#[derive(Debug)]
pub(crate) struct Accounts {
    workspace: WorkspaceId,
    pub(crate) by_id: HashMap<AccountId, State>,
    held: HashMap<TransferId, Held>,
}

impl Accounts {
    pub(crate) fn new(workspace: WorkspaceId) -> Self {
        Self { workspace, by_id: HashMap::new(), held: HashMap::new() }
    }

    /// Takes an account in as its row has it.
    pub(crate) fn know(&mut self, row: AccountRow, findings: &mut Findings) {
        let (Some(id), Some(unit), Some(limits)) = (row.id, row.unit, row.limits) else {
            let words = format!("the account {:?} has an identifier, a unit or limits that no account has", row.code);
            findings.add(self.finding(Trouble::Account, None, row.id, words));
            return;
        };
        self.by_id.insert(id, State { is_closed: row.is_closed, ..State::new(unit, limits) });
    }

    fn finding(&self, trouble: Trouble, at: Option<(TransferId, Option<i64>)>, account: Option<AccountId>, words: String) -> Finding {
        let position = at.and_then(|(_, position)| position);
        Finding { trouble, workspace: Some(self.workspace), position, transfer: at.map(|(id, _)| id), account, words }
    }

    /// Adds a transfer to what its accounts hold, and to what is booked where it has a position. Says whether a limit or a
    /// promise depends on it, which [`Self::judge`] then looks at.
    pub(crate) fn add(&mut self, transfer: &Transfer, place: Option<(i64, Timestamp)>, findings: &mut Findings) -> bool {
        let position = place.map(|(position, _)| position);
        let (posted, pending) = transfer.adds();
        let mut is_judged = transfer.kind != TransferKind::Transfer;
        for side in [Side::Debit, Side::Credit] {
            let id = transfer.account(side);
            let state = match self.by_id.get_mut(&id) {
                Some(state) => state,
                None => {
                    let words = format!("it names {id}, which the workspace does not have");
                    findings.add(self.finding(Trouble::Account, Some((transfer.id, position)), Some(id), words));
                    let unknown = State { is_known: false, ..State::new(transfer.unit.clone(), Limits::None) };
                    self.by_id.entry(id).or_insert(unknown)
                }
            };
            state.all.add(side, posted, pending);
            if let Some((position, booked_at)) = place {
                state.booked.add(side, posted, pending);
                (state.position, state.booked_at) = (position, booked_at);
            }
            is_judged |= state.limits != Limits::None;
            if state.unit != transfer.unit {
                let words = format!("it counts {} and {id} counts {}", transfer.unit, state.unit);
                findings.add(self.finding(Trouble::Account, Some((transfer.id, position)), Some(id), words));
            }
        }
        if let Some(words) = impossible(transfer) {
            findings.add(self.finding(Trouble::Unreadable, Some((transfer.id, position)), None, words.to_owned()));
        }
        is_judged
    }

    /// Judges a transfer again, in the order in which they were judged: whether its accounts stay within their limits, and
    /// whether it resolves a promise that was there, once and by the right amounts.
    pub(crate) fn judge(&mut self, transfer: &Transfer, position: Option<i64>, findings: &mut Findings) {
        let at = Some((transfer.id, position));
        let (posted, pending) = transfer.adds();
        for side in [Side::Debit, Side::Credit] {
            let id = transfer.account(side);
            let Some(state) = self.by_id.get_mut(&id).filter(|state| state.limits != Limits::None) else { continue };
            state.judged.add(side, posted, pending);
            // The first one is to blame; whatever follows it is beyond the limit as well.
            if !state.is_over && !state.judged.are_within(state.limits) {
                state.is_over = true;
                let left =
                    if state.limits == Limits::DebitsWithinCredits { state.judged.debits_left() } else { state.judged.credits_left() };
                let words = format!("with it {id} is {} minor units beyond its limit ({})", left.unsigned_abs(), state.limits.as_str());
                findings.add(self.finding(Trouble::Limit, at, Some(id), words));
            }
        }
        match transfer.kind {
            TransferKind::Transfer => {}
            TransferKind::Pending => {
                let Transfer { debit, credit, amount, expires_at, .. } = *transfer;
                self.held.insert(transfer.id, Held { debit, credit, amount, expires_at });
            }
            TransferKind::Post | TransferKind::Void | TransferKind::Expire => {
                if let Some(words) = self.resolve(transfer) {
                    findings.add(self.finding(Trouble::Pending, at, None, words));
                }
            }
        }
    }

    fn resolve(&mut self, transfer: &Transfer) -> Option<String> {
        let Some(pending) = transfer.pending else { return Some("it resolves nothing".into()) };
        let Some(held) = self.held.remove(&pending) else {
            return Some(format!("it resolves {pending}, which is not pending: it never was, or it was resolved before"));
        };
        if (held.debit, held.credit) != (transfer.debit, transfer.credit) {
            return Some(format!("it resolves {pending}, which is between {} and {}", held.debit, held.credit));
        }
        if held.amount != transfer.released || transfer.amount > held.amount {
            return Some(format!(
                "it posts {} and releases {} of {pending}, which holds {}",
                transfer.amount, transfer.released, held.amount
            ));
        }
        let is_late = transfer.kind != TransferKind::Expire && held.expires_at.is_some_and(|end| end <= transfer.recorded_at);
        is_late.then(|| format!("it resolves {pending} after its time was over"))
    }
}

/// What no transfer is, whatever its accounts; the database refuses it unless its rules were taken away.
fn impossible(transfer: &Transfer) -> Option<&'static str> {
    let Transfer { kind, amount, released, .. } = *transfer;
    let amounts = 0..=AMOUNT_MAX;
    if !amounts.contains(&amount) || !amounts.contains(&released) {
        return Some("its amount is none that a transfer can have");
    }
    if transfer.debit == transfer.credit {
        return Some("both its accounts are the same");
    }
    let is_possible = match kind {
        TransferKind::Transfer | TransferKind::Pending => amount > 0 && released == 0 && transfer.pending.is_none(),
        TransferKind::Post => amount > 0 && released > 0,
        TransferKind::Void | TransferKind::Expire => amount == 0 && released > 0,
    };
    (!is_possible).then_some("its amounts are none that a transfer of its kind can have")
}

/// Totals in words.
pub(crate) fn in_words(totals: &Totals) -> String {
    let pending = |pending: i128| if pending == 0 { String::new() } else { format!(" (pending {pending})") };
    let Totals { debits_posted, credits_posted, debits_pending, credits_pending } = *totals;
    format!("debits {debits_posted}{}, credits {credits_posted}{}", pending(debits_pending), pending(credits_pending))
}

pub(crate) fn id<I: Id>(bits: u128) -> I {
    I::from_raw(RawId::from_bits(bits))
}
