//! The books: which transfers follow from an event. Pure; the same event gives the same transfers with the same identifiers.

use kernel::{Currency, Id, Money, RawId};

use crate::intent::{AttemptState, Event, Intent, StepState};
use crate::provider::ProviderId;

/// An account of the ledger that payments use, by what it is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// Money that a provider has taken for us and not sent yet (asset).
    Clearing(ProviderId),
    /// Money of ours at a provider, for payouts; never below zero (asset).
    Float(ProviderId),
    /// Our account at the bank (asset).
    Bank,
    /// What the intent says the money is for (income, unless it exists as something else).
    Credit(String),
    /// Money that was paid too much and is given back (liability).
    Surplus,
    /// Money of another amount or currency than was asked for, until a person decides (liability).
    Quarantine,
    /// What providers keep (expense).
    Fees,
    /// What payouts are for (expense).
    Payouts,
    /// Differences that were written off (expense).
    Differences,
}

/// A transfer that follows from an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// Its identifier follows from what caused it.
    pub id: RawId,
    /// From here.
    pub debit: Place,
    /// To here.
    pub credit: Place,
    /// How much.
    pub amount: Money,
    /// A line for people.
    pub memo: &'static str,
}

/// What an event of `intent` (as it is after it) moves in the books.
pub fn moves(intent: &Intent, event: &Event) -> Option<Move> {
    let currency: Currency = intent.amount.currency;
    match event {
        Event::Charged { attempt, amount_minor, is_surplus, .. } => {
            let credit = if *is_surplus { Place::Surplus } else { Place::Credit(intent.credit_account.clone()) };
            Some(Move {
                id: attempt.raw(),
                debit: Place::Clearing(intent.attempt(*attempt)?.provider),
                credit,
                amount: Money::new(*amount_minor, currency),
                memo: if *is_surplus { "paid too much" } else { "payment" },
            })
        }
        Event::Quarantined { attempt, paid, .. } => Some(Move {
            id: attempt.raw(),
            debit: Place::Clearing(intent.attempt(*attempt)?.provider),
            credit: Place::Quarantine,
            amount: *paid,
            memo: "not what was asked for",
        }),
        Event::CaptureMoved { attempt, capture, to: StepState::Succeeded, .. } => {
            let attempt = intent.attempt(*attempt)?;
            let taken = attempt.captures.iter().find(|known| known.id == *capture)?;
            Some(Move {
                id: capture.raw(),
                debit: Place::Clearing(attempt.provider),
                credit: if attempt.is_surplus { Place::Surplus } else { Place::Credit(intent.credit_account.clone()) },
                amount: Money::new(taken.amount_minor, currency),
                memo: "payment",
            })
        }
        Event::RefundMoved { refund, to: to @ (StepState::Succeeded | StepState::Failed { .. }), .. } => {
            let refund = intent.refund(*refund)?;
            let is_back = *to != StepState::Succeeded;
            // What was never given back does not come back.
            if is_back && !refund.was_given {
                return None;
            }
            let attempt = intent.attempt(refund.attempt)?;
            let debit = match attempt.state {
                AttemptState::Quarantined { .. } => Place::Quarantine,
                _ if attempt.is_surplus => Place::Surplus,
                _ => Place::Credit(intent.credit_account.clone()),
            };
            // A surplus is refunded under the attempt's own number, which its payment has taken: the last bits tell them apart.
            let (given, clearing) = (debit, Place::Clearing(attempt.provider));
            let (debit, credit) = if is_back { (clearing, given) } else { (given, clearing) };
            Some(Move {
                id: RawId::from_bits(refund.id.raw().bits() ^ if is_back { 2 } else { 1 }),
                debit,
                credit,
                amount: Money::new(refund.amount_minor, refund.currency),
                memo: if is_back { "refund that came back" } else { "refund" },
            })
        }
        _ => None,
    }
}
