//! What is to be done at a provider next, and when. Pure: read off an intent, so that a job that runs twice finds nothing left.

use std::time::Duration;

use kernel::{Money, Timestamp};
use serde::{Deserialize, Serialize};

use crate::intent::{AttemptId, AttemptState, CaptureId, Event, Intent, RefundId, StepState};
use crate::provider::{Abilities, Order, Payer, Question};

/// One thing that is done at a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Open a page, and follow what becomes of it.
    Attempt(AttemptId),
    /// Close the page of an attempt that is not wanted any more.
    Close(AttemptId),
    /// Take what was authorized.
    Capture(AttemptId, CaptureId),
    /// Release what was authorized.
    Void(AttemptId),
    /// Give money back.
    Refund(RefundId),
}

/// What a step needs now.
#[derive(Debug, Clone)]
pub enum Need {
    /// Nothing any more.
    Nothing,
    /// To be sent for the first time: first marked as sending.
    Send(Order),
    /// To be sent again under the same key, or something that bears repeating.
    SendAgain(Order),
    /// To be asked for.
    Ask(Question),
}

/// What an order needs besides the intent.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// What the payer told us.
    pub payer: Payer,
    /// Where the payer comes back to.
    pub return_url: String,
    /// Where the provider's webhooks go.
    pub webhook_url: String,
}

impl Step {
    /// The attempt that it is about.
    pub fn attempt(self, intent: &Intent) -> Option<AttemptId> {
        match self {
            Self::Attempt(attempt) | Self::Close(attempt) | Self::Capture(attempt, _) | Self::Void(attempt) => Some(attempt),
            Self::Refund(refund) => intent.refund(refund).map(|refund| refund.attempt),
        }
    }

    /// What it needs now. `not_found` says that the provider has just said that it knows nothing of it.
    pub fn need(self, intent: &Intent, around: &Surroundings, abilities: &Abilities, not_found: bool, now: Timestamp) -> Need {
        let Some(attempt) = self.attempt(intent).and_then(|id| intent.attempt(id)) else { return Need::Nothing };
        let may_repeat = |since: Timestamp| abilities.keeps_keys_for.is_some_and(|kept| now.since(since) < kept);
        let provider_ref = attempt.provider_ref.clone().unwrap_or_default();
        // Once it was sent it is asked for, and sent again only where the provider knows nothing of it and keeps the key.
        let unknown = |since: Timestamp, order: Order, question: Question| {
            if not_found && may_repeat(since) { Need::SendAgain(order) } else { Need::Ask(question) }
        };
        match self {
            Self::Attempt(id) => {
                let open = || Order::OpenPage {
                    reference: id.to_string(),
                    amount: intent.amount,
                    capture_method: intent.capture_method,
                    description: intent.description.clone().unwrap_or_else(|| intent.id.to_string()),
                    payer: around.payer.clone(),
                    return_url: around.return_url.clone(),
                    webhook_url: around.webhook_url.clone(),
                    expires_at: intent.expires_at,
                    extra: intent.metadata.clone().unwrap_or_default(),
                };
                let ask = || Question::Payment { reference: id.to_string(), provider_ref: attempt.provider_ref.clone() };
                match &attempt.state {
                    AttemptState::Created => Need::Send(open()),
                    AttemptState::Sending | AttemptState::Unknown => unknown(attempt.started_at, open(), ask()),
                    AttemptState::RequiresAction { .. } | AttemptState::Pending => Need::Ask(ask()),
                    // On a page that is there somebody may still pay who was declined before.
                    AttemptState::Declined { .. } | AttemptState::Expired if attempt.provider_ref.is_some() => Need::Ask(ask()),
                    // Too little was paid: the rest may follow.
                    AttemptState::Quarantined { .. } if attempt.is_short_of(intent.amount) => Need::Ask(ask()),
                    _ => Need::Nothing,
                }
            }
            Self::Close(_) => match &attempt.state {
                AttemptState::RequiresAction { .. } if abilities.closes_pages => Need::SendAgain(Order::ClosePage { provider_ref }),
                _ => Need::Nothing,
            },
            Self::Capture(_, id) => {
                let Some(capture) = attempt.captures.iter().find(|capture| capture.id == id) else { return Need::Nothing };
                let order = Order::Capture {
                    reference: id.to_string(),
                    provider_ref: provider_ref.clone(),
                    amount: Money::new(capture.amount_minor, intent.amount.currency),
                    is_last: capture.is_last,
                };
                let question = Question::Capture { reference: id.to_string(), provider_ref };
                match capture.state {
                    StepState::Requested => Need::Send(order),
                    StepState::Sending | StepState::Unknown => unknown(capture.sent_at.unwrap_or(attempt.started_at), order, question),
                    StepState::Pending => Need::Ask(question),
                    StepState::Succeeded | StepState::Failed { .. } => Need::Nothing,
                }
            }
            Self::Void(id) => {
                let order = Order::Void { reference: id.to_string(), provider_ref: provider_ref.clone() };
                match attempt.void {
                    Some(StepState::Requested) => Need::Send(order),
                    Some(StepState::Sending | StepState::Unknown | StepState::Pending) => {
                        let question = Question::Payment { reference: id.to_string(), provider_ref: attempt.provider_ref.clone() };
                        // What is not released yet is released once more: that cannot be done twice.
                        if not_found { Need::SendAgain(order) } else { Need::Ask(question) }
                    }
                    _ => Need::Nothing,
                }
            }
            Self::Refund(id) => {
                let Some(refund) = intent.refund(id) else { return Need::Nothing };
                // Money of a charge of its own goes back where it came from.
                let other = refund.more.and_then(|place| attempt.more.get(place)).and_then(|more| more.charge_ref.clone());
                let charge_ref = other.clone().or_else(|| attempt.charge_ref.clone());
                let order = Order::Refund {
                    reference: id.to_string(),
                    attempt: attempt.id.to_string(),
                    provider_ref: other.unwrap_or(provider_ref),
                    charge_ref: charge_ref.clone(),
                    amount: Money::new(refund.amount_minor, refund.currency),
                    reason: refund.reason.clone(),
                };
                let question = Question::Refund {
                    reference: id.to_string(),
                    attempt: attempt.id.to_string(),
                    provider_ref: refund.provider_ref.clone(),
                    charge_ref,
                };
                match refund.state {
                    StepState::Requested => Need::Send(order),
                    StepState::Sending | StepState::Unknown => unknown(refund.requested_at, order, question),
                    // Only looked at again where a webhook contradicts what is known.
                    StepState::Pending | StepState::Succeeded | StepState::Failed { .. } => Need::Ask(question),
                }
            }
        }
    }

    /// The event that marks it as being sent, before the first byte leaves; none where that happened before.
    pub fn sending(self, intent: &Intent) -> Option<Event> {
        let attempt = self.attempt(intent).and_then(|id| intent.attempt(id))?;
        match self {
            Self::Attempt(id) => intent.begin_sending(id).ok().flatten(),
            Self::Close(_) => None,
            Self::Capture(attempt_id, id) => {
                let capture = attempt.captures.iter().find(|capture| capture.id == id)?;
                (capture.state == StepState::Requested).then_some(Event::CaptureMoved {
                    attempt: attempt_id,
                    capture: id,
                    to: StepState::Sending,
                    charge_ref: None,
                })
            }
            Self::Void(id) => {
                (attempt.void == Some(StepState::Requested)).then_some(Event::VoidMoved { attempt: id, to: StepState::Sending })
            }
            Self::Refund(id) => {
                let refund = intent.refund(id)?;
                (refund.state == StepState::Requested).then_some(Event::RefundMoved {
                    refund: id,
                    to: StepState::Sending,
                    provider_ref: None,
                })
            }
        }
    }

    /// What is asked where somebody hints that something changed about what is through: more may have been paid, under a name of
    /// its own where `charge` says one. Nothing where nothing can have changed.
    pub fn look(self, intent: &Intent, charge: Option<&str>) -> Option<Question> {
        let Self::Attempt(id) = self else { return None };
        let attempt = intent.attempt(id)?;
        if !attempt.has_brought_money() {
            return None;
        }
        let other = charge.filter(|_| attempt.dialect.tells_charges_apart()).filter(|name| attempt.provider_ref.as_deref() != Some(*name));
        Some(match other {
            Some(name) => Question::Charge { provider_ref: name.to_owned() },
            None => Question::Payment { reference: id.to_string(), provider_ref: attempt.provider_ref.clone() },
        })
    }

    /// Whether less was paid than was asked for, so that the rest may follow: it is looked at for as long as pages stay open.
    pub fn is_short(self, intent: &Intent) -> bool {
        let Self::Attempt(id) = self else { return false };
        intent.attempt(id).is_some_and(|attempt| attempt.is_short_of(intent.amount))
    }

    /// Whether it is the payer's turn.
    pub fn waits_for_payer(self, intent: &Intent) -> bool {
        let Self::Attempt(id) = self else { return false };
        intent.attempt(id).is_some_and(|attempt| matches!(attempt.state, AttemptState::RequiresAction { .. }))
    }

    /// Whether the payer was declined on a page that is still there: it is looked at for as long as pages stay open.
    pub fn is_declined_page(self, intent: &Intent) -> bool {
        let Self::Attempt(id) = self else { return false };
        let declined = |attempt: &&crate::intent::Attempt| matches!(attempt.state, AttemptState::Declined { .. });
        intent.attempt(id).filter(declined).is_some_and(|attempt| attempt.provider_ref.is_some())
    }

    /// Whether something is still to be learned about it: it is looked at again later.
    pub fn is_open(self, intent: &Intent) -> bool {
        let Some(attempt) = self.attempt(intent).and_then(|id| intent.attempt(id)) else { return false };
        match self {
            Self::Attempt(_) => attempt.is_open() && attempt.state != AttemptState::Authorized,
            Self::Close(_) => false,
            Self::Capture(_, id) => attempt.captures.iter().any(|capture| capture.id == id && !capture.state.is_final()),
            Self::Void(_) => attempt.void.as_ref().is_some_and(|state| !state.is_final()),
            Self::Refund(id) => intent.refund(id).is_some_and(|refund| !refund.state.is_final()),
        }
    }
}

/// Which steps an event starts.
pub fn follow(intent: &Intent, event: &Event) -> Vec<Step> {
    match event {
        Event::AttemptStarted { attempt, .. } => {
            let older = intent.attempts.iter().filter(|known| known.id != *attempt);
            let open = older.filter(|known| matches!(known.state, AttemptState::RequiresAction { .. }));
            open.map(|known| Step::Close(known.id)).chain([Step::Attempt(*attempt)]).collect()
        }
        Event::AttemptReleased { attempt } => vec![Step::Attempt(*attempt)],
        // Nobody is to pay any more.
        Event::Canceled | Event::Expired | Event::Authorized { .. } | Event::Charged { .. } | Event::Accepted { .. }
            if !intent.is_wanted() =>
        {
            let open = intent.attempts.iter().filter(|known| matches!(known.state, AttemptState::RequiresAction { .. }));
            open.map(|known| Step::Close(known.id)).collect()
        }
        Event::PageOpened { attempt, .. } if !intent.is_wanted() => vec![Step::Close(*attempt)],
        Event::CaptureRequested { attempt, capture, .. } => vec![Step::Capture(*attempt, *capture)],
        Event::VoidMoved { attempt, to: StepState::Requested } => vec![Step::Void(*attempt)],
        Event::RefundRequested { refund, .. } | Event::MoreRefundRequested { refund, .. } => vec![Step::Refund(*refund)],
        _ => Vec::new(),
    }
}

/// Looks at a thing that come before those of once a day.
pub const DAILY_FROM: u32 = 24;

/// How long until a thing is looked at again that was looked at `times` before: soon, then seldom; together some thirty days.
/// What waits for the payer changes by a webhook, and is looked at for the case that none comes.
pub fn pause(times: u32, waits_for_payer: bool) -> Option<Duration> {
    const PAUSES_S: [u64; 12] = [5, 10, 20, 40, 60, 120, 300, 600, 1_200, 1_800, 3_600, 7_200];
    const PAYER_S: u64 = 60;
    const TIMES_MAX: u32 = 54;
    let least = if waits_for_payer { PAYER_S } else { 0 };
    match times {
        0..DAILY_FROM => Some(Duration::from_secs(PAUSES_S.get(times as usize).copied().unwrap_or(7_200).max(least))),
        DAILY_FROM..TIMES_MAX => Some(Duration::from_secs(86_400)),
        _ => None,
    }
}
