//! What a provider says of a thing, and what follows from it. Said twice, late or in another order it comes to the same.

use kernel::Money;
use serde::{Deserialize, Serialize};

use super::{AMOUNT_MAX_MINOR, Attempt, AttemptId, AttemptState, CaptureId, DisputeState, Event, Intent, Refund, RefundId, StepState};
use crate::provider::ErrorClass;

/// What a provider says of one thing, in our words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// How it stands.
    pub seen: Seen,
    /// Theirs, for the page, authorization, refund or payout.
    pub provider_ref: Option<String>,
    /// Theirs, for the charge, where that is another one.
    pub charge_ref: Option<String>,
}

impl Observation {
    /// It stands so, and nothing else is known.
    pub const fn of(seen: Seen) -> Self {
        Self { seen, provider_ref: None, charge_ref: None }
    }
}

/// How a thing stands at the provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Seen {
    /// It waits for the payer, or for a one-time password.
    WaitsForPerson,
    /// The payer agreed, and it is for us to complete it.
    Approved,
    /// The provider is at it.
    Pending,
    /// The money is set aside: this much.
    Authorized {
        /// How much.
        amount: Money,
    },
    /// It is done: the money was taken, given back or paid out: this much in all.
    Succeeded {
        /// How much, where the provider says so.
        amount: Option<Money>,
        /// The exact crypto amount in its smallest unit.
        crypto_amount: Option<String>,
    },
    /// The provider surely did not do it.
    Declined {
        /// What sort of refusal.
        class: ErrorClass,
        /// The provider's word for it.
        code: String,
    },
    /// Nobody paid in time, or the page was closed.
    Expired,
    /// What was authorized was released.
    Voided,
    /// What was paid out came back; what was paid went back to the payer.
    Reversed,
    /// The payer disputes a charge.
    Disputed {
        /// The provider's name for the dispute.
        case: String,
        /// How much is at stake, where that is said; all of it otherwise.
        amount: Option<Money>,
        /// How far along it is.
        to: DisputeState,
    },
    /// Only that something happened: ask.
    Changed,
}

impl Intent {
    /// What follows from what a provider says of an attempt.
    pub fn observe_attempt(&self, id: AttemptId, observation: &Observation) -> Vec<Event> {
        let Some(attempt) = self.attempt(id) else { return Vec::new() };
        match attempt.state {
            // What was taken or set apart stays; more may come, and the payer's bank may take it back.
            AttemptState::Charged | AttemptState::Quarantined { .. } => return self.observe_paid(attempt, observation),
            AttemptState::Voided => return Vec::new(),
            _ => {}
        }
        let provider_ref = observation.provider_ref.clone();
        match &observation.seen {
            Seen::Succeeded { amount, crypto_amount } => {
                // What captures of ours take is told of each of them, and would be counted twice.
                if attempt.captures.iter().any(|capture| capture.state.may_count()) {
                    return Vec::new();
                }
                // A payment without an amount proves nothing about how much was paid.
                let Some(paid) = *amount else { return Vec::new() };
                self.paid(attempt, paid, observation, crypto_amount.clone())
            }
            Seen::Authorized { amount } => {
                if attempt.state == AttemptState::Authorized {
                    return Vec::new();
                }
                // Nothing was taken yet: what is not as it was asked for is released, and stands in no book.
                let is_surplus = *amount != self.amount || self.is_surplus(id);
                let mut events = vec![Event::Authorized { attempt: id, amount_minor: amount.amount_minor, provider_ref, is_surplus }];
                if is_surplus {
                    events.push(Event::VoidMoved { attempt: id, to: StepState::Requested });
                }
                events
            }
            Seen::Voided if attempt.state == AttemptState::Authorized => {
                vec![Event::VoidMoved { attempt: id, to: StepState::Succeeded }]
            }
            // An authorization that ran out is released.
            Seen::Expired if attempt.state == AttemptState::Authorized && attempt.captures.is_empty() => {
                vec![Event::VoidMoved { attempt: id, to: StepState::Succeeded }]
            }
            _ if attempt.state == AttemptState::Authorized => Vec::new(),
            Seen::Approved | Seen::Pending if attempt.is_open() && attempt.state != AttemptState::Pending => {
                vec![Event::AttemptPending { attempt: id, provider_ref }]
            }
            Seen::Declined { class, code } if attempt.is_open() => {
                vec![Event::AttemptDeclined { attempt: id, class: *class, code: code.clone() }]
            }
            // It was paid and went back at once.
            Seen::Reversed if attempt.is_open() => {
                vec![Event::AttemptDeclined { attempt: id, class: ErrorClass::DeclinedSoft, code: "reversed".to_owned() }]
            }
            Seen::Expired | Seen::Voided if attempt.is_open() => vec![Event::AttemptExpired { attempt: id }],
            _ => Vec::new(),
        }
    }

    fn paid(&self, attempt: &Attempt, paid: Money, observation: &Observation, crypto_amount: Option<String>) -> Vec<Event> {
        // Neither does one of nothing, or of more than the books can hold.
        if !(1..=AMOUNT_MAX_MINOR).contains(&paid.amount_minor) {
            return Vec::new();
        }
        let (id, charge_ref) = (attempt.id, observation.charge_ref.clone().or_else(|| observation.provider_ref.clone()));
        if paid != self.amount {
            return vec![Event::Quarantined { attempt: id, paid, charge_ref }];
        }
        let is_surplus = self.is_surplus(id);
        let mut events = vec![Event::Charged { attempt: id, amount_minor: paid.amount_minor, charge_ref, is_surplus, crypto_amount }];
        if is_surplus {
            // One surplus, one refund: its identifier follows from the attempt's.
            events.push(Event::RefundRequested {
                refund: surplus_refund(id),
                attempt: id,
                amount: paid,
                reason: Some("surplus".to_owned()),
            });
        }
        events
    }

    fn still_fits(&self, refund: &Refund) -> bool {
        if let Some(place) = refund.more {
            let more = self.attempt(refund.attempt).and_then(|attempt| attempt.more.get(place)).map_or(0, |more| more.amount.amount_minor);
            return refund.amount_minor <= more.saturating_sub(self.refunding_more_minor(refund.attempt, place));
        }
        let paid = self.attempt(refund.attempt).map_or(0, |attempt| match &attempt.state {
            AttemptState::Quarantined { paid } => paid.amount_minor,
            _ => attempt.captured_minor,
        });
        refund.amount_minor <= paid.saturating_sub(self.refunding_minor(refund.attempt))
    }

    /// Whether money that `attempt` brings now is too much: another one brought it, or nobody was to pay any more.
    pub(super) fn is_surplus(&self, attempt: AttemptId) -> bool {
        self.kept.map_or(self.canceled_at.is_some() || self.expired_at.is_some(), |kept| kept != attempt)
    }

    /// What follows from what a provider says of a capture.
    pub fn observe_capture(&self, attempt: AttemptId, id: CaptureId, observation: &Observation) -> Vec<Event> {
        let capture = self.attempt(attempt).and_then(|attempt| attempt.captures.iter().find(|capture| capture.id == id));
        let Some(capture) = capture.filter(|capture| !capture.state.is_final()) else { return Vec::new() };
        let charge_ref = observation.charge_ref.clone();
        let asked = Money::new(capture.amount_minor, self.amount.currency);
        if let Some(said) = otherwise(&observation.seen, asked) {
            // What one of several took is told only once the others are through.
            let others = self.attempt(attempt).into_iter().flat_map(|attempt| &attempt.captures).filter(|other| other.id != id);
            let is_alone = others.into_iter().all(|other| other.state.is_final());
            let is_new = is_alone && capture.said != Some(said);
            return is_new.then_some(Event::CaptureDiffers { attempt, capture: id, said }).into_iter().collect();
        }
        match step(&capture.state, &observation.seen, asked) {
            Some(to) => vec![Event::CaptureMoved { attempt, capture: id, to, charge_ref }],
            None => Vec::new(),
        }
    }

    /// What follows from what a provider says of a release.
    pub fn observe_void(&self, attempt: AttemptId, observation: &Observation) -> Vec<Event> {
        let state = self.attempt(attempt).and_then(|attempt| attempt.void.as_ref());
        let Some(state) = state.filter(|state| !state.is_final()) else { return Vec::new() };
        let to = match &observation.seen {
            Seen::Voided | Seen::Expired => Some(StepState::Succeeded),
            // It was taken before it could be released: then it is here.
            Seen::Succeeded { .. } => {
                let taken = self.observe_attempt(attempt, observation);
                let to = StepState::Failed { code: "taken_before".to_owned() };
                return if taken.is_empty() { taken } else { [vec![Event::VoidMoved { attempt, to }], taken].concat() };
            }
            Seen::Declined { code, .. } => Some(StepState::Failed { code: code.clone() }),
            Seen::Pending if *state != StepState::Pending => Some(StepState::Pending),
            _ => None,
        };
        to.into_iter().map(|to| Event::VoidMoved { attempt, to }).collect()
    }

    /// What follows from what a provider says of a refund.
    pub fn observe_refund(&self, id: RefundId, observation: &Observation) -> Vec<Event> {
        let Some(refund) = self.refund(id) else { return Vec::new() };
        let asked = Money::new(refund.amount_minor, refund.currency);
        if let Some(said) = otherwise(&observation.seen, asked).filter(|_| !refund.state.is_final()) {
            let is_new = refund.said != Some(said);
            return is_new.then_some(Event::RefundDiffers { refund: id, said }).into_iter().collect();
        }
        let to = match (&refund.state, &observation.seen) {
            // It was given back, and the payer's bank has sent it back: it is with the provider again.
            (StepState::Succeeded, Seen::Declined { code, .. }) => Some(StepState::Failed { code: code.clone() }),
            (StepState::Succeeded, Seen::Reversed) => Some(StepState::Failed { code: "reversed".to_owned() }),
            // What somebody took for failed was given back nevertheless, and nothing was given in its place.
            (StepState::Failed { .. }, Seen::Succeeded { amount, .. })
                if !refund.was_given && amount.is_none_or(|amount| amount == asked) && self.still_fits(refund) =>
            {
                Some(StepState::Succeeded)
            }
            (state, _) if state.is_final() => None,
            (state, seen) => step(state, seen, asked),
        };
        match to {
            Some(to) => vec![Event::RefundMoved { refund: id, to, provider_ref: observation.provider_ref.clone() }],
            None => Vec::new(),
        }
    }
}

/// What was really moved, where that is not what was asked for: a person looks at it.
fn otherwise(seen: &Seen, asked: Money) -> Option<Money> {
    match seen {
        Seen::Succeeded { amount: Some(said), .. } => {
            Some(*said).filter(|said| *said != asked && (1..=AMOUNT_MAX_MINOR).contains(&said.amount_minor))
        }
        _ => None,
    }
}

/// Where a step goes by what is seen of it.
fn step(state: &StepState, seen: &Seen, asked: Money) -> Option<StepState> {
    match seen {
        Seen::Succeeded { amount, .. } if amount.is_none_or(|amount| amount == asked) => Some(StepState::Succeeded),
        Seen::Declined { code, .. } => Some(StepState::Failed { code: code.clone() }),
        Seen::Expired => Some(StepState::Failed { code: "expired".to_owned() }),
        Seen::Voided | Seen::Reversed => Some(StepState::Failed { code: "reversed".to_owned() }),
        Seen::Pending | Seen::WaitsForPerson | Seen::Approved if *state != StepState::Pending => Some(StepState::Pending),
        _ => None,
    }
}

/// The refund of what an attempt brought too much: one for ever.
pub(crate) fn surplus_refund(attempt: AttemptId) -> RefundId {
    use kernel::Id as _;
    RefundId::from_raw(attempt.raw())
}
