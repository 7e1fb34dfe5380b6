//! Names: under which references the provider and we may speak of what an event brought. Pure; the same event gives the same
//! names, when it is recorded and when the history is replayed.

use crate::AttemptId;
use crate::intent::{Event, Intent};
use crate::payout::{Payout, PayoutEvent};

/// A name of something, at a provider or with us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    /// The provider's identifier; empty where the name is ours.
    pub provider: String,
    /// The name.
    pub reference: String,
    /// What it names: an attempt, a capture, a refund or a payout.
    pub subject: String,
}

impl Name {
    fn ours(name: String) -> Self {
        Self { provider: String::new(), subject: name.clone(), reference: name }
    }
}

/// The names that an event of `intent` (as it is after it) brings.
pub(crate) fn names(intent: &Intent, event: &Event) -> Vec<Name> {
    let theirs = |attempt: AttemptId, reference: &Option<String>, subject: String| {
        let (attempt, reference) = (intent.attempt(attempt)?, reference.clone()?);
        Some(Name { provider: attempt.provider.to_string(), reference, subject })
    };
    let name = match event {
        Event::AttemptStarted { attempt, .. } => Some(Name::ours(attempt.to_string())),
        Event::CaptureRequested { capture, .. } => Some(Name::ours(capture.to_string())),
        Event::RefundRequested { refund, .. } | Event::MoreRefundRequested { refund, .. } => Some(Name::ours(refund.to_string())),
        Event::PageOpened { attempt, provider_ref, .. }
        | Event::AttemptPending { attempt, provider_ref }
        | Event::Authorized { attempt, provider_ref, .. } => theirs(*attempt, provider_ref, attempt.to_string()),
        Event::Charged { attempt, charge_ref, .. }
        | Event::Quarantined { attempt, charge_ref, .. }
        | Event::PaidMore { attempt, charge_ref, .. } => theirs(*attempt, charge_ref, attempt.to_string()),
        Event::CaptureMoved { attempt, capture, charge_ref, .. } => theirs(*attempt, charge_ref, capture.to_string()),
        Event::RefundMoved { refund, provider_ref, .. } => {
            intent.refund(*refund).and_then(|known| theirs(known.attempt, provider_ref, refund.to_string()))
        }
        _ => None,
    };
    name.into_iter().collect()
}

/// The names that an event of `payout` (as it is after it) brings.
pub(crate) fn payout_names(payout: &Payout, event: &PayoutEvent) -> Vec<Name> {
    let own = payout.id.to_string();
    let name = match event {
        PayoutEvent::Requested(_) => Some(Name::ours(own)),
        _ => event.provider_ref().map(|theirs| Name { provider: payout.provider.to_string(), reference: theirs.clone(), subject: own }),
    };
    name.into_iter().collect()
}
