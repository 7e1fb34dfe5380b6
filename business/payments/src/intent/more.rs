//! Money beyond the first payment of an attempt, and money that the payer's bank takes back: what is kept of it, and what follows
//! from what a provider says.

use kernel::{Id as _, Money, RawId};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::observe::surplus_refund;
use super::{AMOUNT_MAX_MINOR, Attempt, AttemptId, AttemptState, Event, Intent, Observation, RefundId, StepState};

/// Disputes of one attempt that are followed.
pub const DISPUTES_MAX: usize = 20;

/// Money that came for an attempt which had brought money before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct More {
    /// How much.
    pub amount: Money,
    /// The provider's name for the charge, where it is another one than the attempt's.
    pub charge_ref: Option<String>,
    /// It is too much and goes back; otherwise it is a part of what is kept apart.
    pub is_surplus: bool,
}

/// How far along a dispute is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisputeState {
    /// The payer disputes the charge; no money has moved.
    Open,
    /// The provider took the money back: charged back.
    Withdrawn,
    /// The dispute was won: the money is here again.
    Returned,
    /// It ended without money having moved.
    Closed,
}

impl DisputeState {
    /// Its word in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Withdrawn => "withdrawn",
            Self::Returned => "returned",
            Self::Closed => "closed",
        }
    }
}

/// A dispute about a charge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dispute {
    /// The provider's name for it.
    pub case: String,
    /// How much is at stake.
    pub amount: Money,
    /// How far along it is.
    pub state: DisputeState,
}

/// A number that follows from an attempt and from what happened to it.
pub(crate) fn derived(attempt: AttemptId, what: &str) -> RawId {
    let digest = Sha256::digest(format!("payments\n{attempt}\n{what}"));
    RawId::from_bits(digest.iter().take(16).fold(0_u128, |bits, byte| (bits << 8) | u128::from(*byte)))
}

/// The refund of the `place`th payment beyond the first: one for ever, unless a person asks for another after it failed.
fn more_refund(attempt: AttemptId, place: usize) -> RefundId {
    RefundId::from_raw(derived(attempt, &format!("more {place}")))
}

impl Attempt {
    /// Money that came beyond what was asked for and is not counted anywhere else, under `charge_ref`, in minor units.
    fn surplus_under(&self, charge_ref: Option<&str>, like: Money) -> i64 {
        let same = self.more.iter().filter(|more| more.is_surplus && more.charge_ref.as_deref() == charge_ref);
        same.filter(|more| more.amount.currency == like.currency).map(|more| more.amount.amount_minor).fold(0, i64::saturating_add)
    }

    /// How much of `currency`'s minor units was charged back and has not come back.
    pub fn withdrawn_minor(&self, currency: kernel::Currency) -> i64 {
        let gone = self.disputes.iter().filter(|dispute| dispute.state == DisputeState::Withdrawn && dispute.amount.currency == currency);
        gone.map(|dispute| dispute.amount.amount_minor).fold(0, i64::saturating_add)
    }

    /// What was paid is less than what was asked for: the rest may follow.
    pub fn is_short_of(&self, asked: Money) -> bool {
        matches!(self.state, AttemptState::Quarantined { paid } if paid.currency == asked.currency && paid.amount_minor < asked.amount_minor)
    }

    /// Whether `charge_ref` names another charge than the one that made the attempt what it is, where the dialect names each
    /// charge by itself.
    pub fn is_another_charge(&self, charge_ref: Option<&str>) -> bool {
        self.dialect.tells_charges_apart() && self.charge_ref.is_some() && charge_ref.is_some() && self.charge_ref.as_deref() != charge_ref
    }
}

impl Intent {
    /// How much of the `place`th payment beyond the first of `attempt` was given back or is on its way back, in minor units.
    pub fn refunding_more_minor(&self, attempt: AttemptId, place: usize) -> i64 {
        let own = self.refunds.iter().filter(|refund| refund.attempt == attempt && refund.more == Some(place) && refund.state.may_count());
        own.map(|refund| refund.amount_minor).fold(0, i64::saturating_add)
    }

    /// What follows from what a provider says of an attempt that has brought money.
    pub(super) fn observe_paid(&self, attempt: &Attempt, observation: &Observation) -> Vec<Event> {
        match &observation.seen {
            super::Seen::Succeeded { amount: Some(total), .. } => self.paid_again(attempt, *total, observation.charge_ref.as_deref()),
            super::Seen::Disputed { case, amount, to } => self.disputed(attempt, case, *amount, *to),
            // It went back to the payer without a word about a dispute.
            super::Seen::Reversed => {
                let case = observation.charge_ref.as_deref().unwrap_or("reversed");
                self.disputed(attempt, case, None, DisputeState::Withdrawn)
            }
            _ => Vec::new(),
        }
    }

    /// `total` came in all under one charge: what of it is not in the books yet is more.
    fn paid_again(&self, attempt: &Attempt, total: Money, charge_ref: Option<&str>) -> Vec<Event> {
        // What captures of ours take is told of each of them.
        if attempt.captures.iter().any(|capture| capture.state.may_count()) || !(1..=AMOUNT_MAX_MINOR).contains(&total.amount_minor) {
            return Vec::new();
        }
        let id = attempt.id;
        let is_another = attempt.is_another_charge(charge_ref);
        let (under, first) = match attempt.state {
            _ if is_another => (charge_ref, Money::new(0, total.currency)),
            AttemptState::Quarantined { paid } => (None, paid),
            _ => (None, Money::new(attempt.captured_minor, self.amount.currency)),
        };
        if first.currency != total.currency {
            return Vec::new();
        }
        let booked = first.amount_minor.saturating_add(attempt.surplus_under(under, total));
        let more = Money::new(total.amount_minor.saturating_sub(booked), total.currency);
        if more.amount_minor <= 0 {
            return Vec::new();
        }
        let is_surplus = is_another || attempt.state == AttemptState::Charged;
        let charge_ref = under.map(str::to_owned);
        let mut events = vec![Event::PaidMore { attempt: id, amount: more, charge_ref, is_surplus }];
        if is_surplus {
            let place = attempt.more.len();
            let (refund, reason) = (more_refund(id, place), Some("surplus".to_owned()));
            events.push(Event::MoreRefundRequested { refund, attempt: id, more: place, amount: more, reason });
        } else if total == self.amount && self.refunding_minor(id) == 0 {
            // In parts, and now all of it is here.
            let is_surplus = self.is_surplus(id);
            events.push(Event::Accepted { attempt: id, amount_minor: total.amount_minor, is_surplus });
            if is_surplus {
                let (refund, reason) = (surplus_refund(id), Some("surplus".to_owned()));
                events.push(Event::RefundRequested { refund, attempt: id, amount: total, reason });
            }
        }
        events
    }

    fn disputed(&self, attempt: &Attempt, case: &str, amount: Option<Money>, to: DisputeState) -> Vec<Event> {
        let known = attempt.disputes.iter().find(|dispute| dispute.case == case);
        let to = match (known.map(|dispute| dispute.state), to) {
            (None, DisputeState::Open | DisputeState::Closed) => to,
            (None | Some(DisputeState::Open), DisputeState::Withdrawn) => to,
            (Some(DisputeState::Open), DisputeState::Closed) => to,
            (Some(DisputeState::Withdrawn), DisputeState::Returned) => to,
            // It came back before it was told that it went: late word of that changes nothing any more.
            (None | Some(DisputeState::Open), DisputeState::Returned) => DisputeState::Closed,
            _ => return Vec::new(),
        };
        if known.is_none() && attempt.disputes.len() >= DISPUTES_MAX {
            return Vec::new();
        }
        let whole = match attempt.state {
            AttemptState::Quarantined { paid } => paid,
            _ => {
                let left = attempt.captured_minor.saturating_sub(self.refunded_of_minor(attempt.id));
                Money::new(left.saturating_sub(attempt.withdrawn_minor(self.amount.currency)), self.amount.currency)
            }
        };
        // What went is what comes back.
        let amount = match known {
            Some(dispute) if to == DisputeState::Returned => dispute.amount,
            _ => amount.or(known.map(|dispute| dispute.amount)).unwrap_or(whole),
        };
        if !(1..=AMOUNT_MAX_MINOR).contains(&amount.amount_minor) {
            return Vec::new();
        }
        vec![Event::DisputeMoved { attempt: attempt.id, case: case.to_owned(), amount, to }]
    }

    /// How much of the first payment of `attempt` was given back, in minor units.
    fn refunded_of_minor(&self, attempt: AttemptId) -> i64 {
        let given = self.refunds.iter().filter(|refund| refund.attempt == attempt && refund.more.is_none());
        given.filter(|refund| refund.state == StepState::Succeeded).map(|refund| refund.amount_minor).fold(0, i64::saturating_add)
    }
}
