//! The books: which transfers follow from an event. Pure; the same event gives the same transfers with the same identifiers.

use kernel::{Currency, Id, Money, RawId};

use crate::intent::{AttemptState, DisputeState, Event, Intent, Refund, StepState, derived};
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
    /// What payers' banks took back (expense).
    Chargebacks,
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
        Event::PaidMore { attempt, amount, is_surplus, .. } => {
            let of = intent.attempt(*attempt)?;
            Some(Move {
                id: derived(*attempt, &format!("paid more {}", of.more.len().checked_sub(1)?)),
                debit: Place::Clearing(of.provider),
                credit: if *is_surplus { Place::Surplus } else { Place::Quarantine },
                amount: *amount,
                memo: if *is_surplus { "paid too much" } else { "not what was asked for" },
            })
        }
        Event::Accepted { attempt, amount_minor, is_surplus } => Some(Move {
            id: derived(*attempt, "accepted"),
            debit: Place::Quarantine,
            credit: if *is_surplus { Place::Surplus } else { Place::Credit(intent.credit_account.clone()) },
            amount: Money::new(*amount_minor, currency),
            memo: if *is_surplus { "paid too much" } else { "payment that was kept apart" },
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
        Event::CaptureTook { attempt, capture, took } => {
            let attempt = intent.attempt(*attempt)?;
            let (credit, memo) = match took.currency == currency {
                _ if attempt.is_surplus => (Place::Surplus, "paid too much"),
                true => (Place::Credit(intent.credit_account.clone()), "payment"),
                false => (Place::Quarantine, "not what was asked for"),
            };
            Some(Move { id: capture.raw(), debit: Place::Clearing(attempt.provider), credit, amount: *took, memo })
        }
        Event::RefundMoved { refund, to: StepState::Succeeded, .. } => given_back(intent, intent.refund(*refund)?, true),
        Event::RefundTook { refund, .. } => given_back(intent, intent.refund(*refund)?, true),
        // What was never given back does not come back.
        Event::RefundMoved { refund, to: StepState::Failed { .. }, .. } => {
            given_back(intent, intent.refund(*refund).filter(|refund| refund.was_given)?, false)
        }
        Event::DisputeMoved { attempt, case, amount, to: to @ (DisputeState::Withdrawn | DisputeState::Returned) } => {
            let (gone, clearing) = (Place::Chargebacks, Place::Clearing(intent.attempt(*attempt)?.provider));
            let is_back = *to == DisputeState::Returned;
            Some(Move {
                id: derived(*attempt, &format!("dispute {} {case}", to.as_str())),
                debit: if is_back { clearing.clone() } else { gone.clone() },
                credit: if is_back { gone } else { clearing },
                amount: *amount,
                memo: if is_back { "chargeback that came back" } else { "charged back" },
            })
        }
        _ => None,
    }
}

/// A refund, or one that came back.
fn given_back(intent: &Intent, refund: &Refund, is_given: bool) -> Option<Move> {
    let attempt = intent.attempt(refund.attempt)?;
    let from = match attempt.state {
        _ if refund.more.is_some() => Place::Surplus,
        AttemptState::Quarantined { .. } => Place::Quarantine,
        _ if attempt.is_surplus => Place::Surplus,
        _ => Place::Credit(intent.credit_account.clone()),
    };
    // A surplus is refunded under the attempt's own number, which its payment has taken: the last bits tell them apart.
    let (clearing, bits) = (Place::Clearing(attempt.provider), refund.id.raw().bits());
    Some(Move {
        id: RawId::from_bits(bits ^ if is_given { 1 } else { 2 }),
        debit: if is_given { from.clone() } else { clearing.clone() },
        credit: if is_given { clearing } else { from },
        amount: Money::new(refund.amount_minor, refund.currency),
        memo: if is_given { "refund" } else { "refund that came back" },
    })
}
