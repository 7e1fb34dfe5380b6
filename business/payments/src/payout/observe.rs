//! What a provider says of a payout, and what follows from it. Said twice, late or in another order it comes to the same.

use super::{Payout, PayoutEvent, PayoutState};
use crate::intent::{Observation, Seen};

impl Payout {
    /// What follows from what a provider says of it.
    pub fn observe(&self, observation: &Observation) -> Vec<PayoutEvent> {
        let provider_ref = observation.provider_ref.clone().filter(|theirs| Some(theirs) != self.provider_ref.as_ref());
        if let Seen::Succeeded { amount: Some(amount), .. } = &observation.seen
            && *amount != self.amount
        {
            // Neither paid nor failed: the promise stays until a person has looked.
            return self.dispute(format!("paid {} {} in minor units", amount.amount_minor, amount.currency));
        }
        match (&observation.seen, self.state) {
            (Seen::Succeeded { .. }, state) if state.is_at_provider() => vec![PayoutEvent::Paid { provider_ref }],
            // What came back was out before: both are booked, in this order, whichever is heard first.
            (Seen::Reversed, state) if state.is_at_provider() => vec![PayoutEvent::Paid { provider_ref }, PayoutEvent::Reversed],
            (Seen::Reversed | Seen::Declined { .. }, PayoutState::Paid) => vec![PayoutEvent::Reversed],
            (Seen::Declined { code, .. }, state) if state.is_at_provider() => vec![PayoutEvent::Failed { code: code.clone() }],
            (Seen::Expired | Seen::Voided, state) if state.is_at_provider() => vec![PayoutEvent::Failed { code: "expired".to_owned() }],
            (Seen::WaitsForPerson, PayoutState::FundsReserved | PayoutState::Submitted | PayoutState::Pending | PayoutState::Unknown) => {
                vec![PayoutEvent::OtpAsked { provider_ref }]
            }
            (
                Seen::Pending | Seen::Approved,
                PayoutState::FundsReserved | PayoutState::Submitted | PayoutState::OtpRequired | PayoutState::Unknown,
            ) => vec![PayoutEvent::Pending { provider_ref }],
            (Seen::Succeeded { .. }, PayoutState::Failed | PayoutState::Refused | PayoutState::Canceled) => {
                self.dispute(format!("paid after it was {}", self.state.as_str()))
            }
            _ => Vec::new(),
        }
    }

    fn dispute(&self, said: String) -> Vec<PayoutEvent> {
        if self.attention.as_ref() == Some(&said) { Vec::new() } else { vec![PayoutEvent::Disputed { said }] }
    }

    /// Whether what is seen contradicts what it has come to, so that the provider is asked how it stands now before that is
    /// believed: words that come late may be older than what is known.
    pub fn is_contradicted_by(&self, seen: &Seen) -> bool {
        match self.state {
            PayoutState::Paid => matches!(seen, Seen::Declined { .. } | Seen::Expired | Seen::Voided),
            PayoutState::Failed | PayoutState::Refused | PayoutState::Canceled => {
                matches!(seen, Seen::Succeeded { .. } | Seen::Pending | Seen::Reversed)
            }
            _ => false,
        }
    }
}
