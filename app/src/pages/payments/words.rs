//! States and refusals of payments in plain words.

use payments::{AttemptState, DisputeState, ErrorClass, Intent, IntentState, StepState};

/// A state as people read it, with the class of its pill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State {
    /// In words.
    pub label: &'static str,
    /// Of the style.
    pub pill: &'static str,
}

const fn told(label: &'static str, pill: &'static str) -> State {
    State { label, pill }
}

/// How far along a payment is.
pub(super) fn state(intent: &Intent) -> State {
    let captured = intent.captured_minor();
    match intent.state() {
        IntentState::Succeeded if captured > 0 && intent.refunded_minor() >= captured => told("Refunded", "retired"),
        IntentState::Succeeded if intent.refunded_minor() > 0 => told("Refunded in part", "qualified"),
        IntentState::Succeeded => told("Paid", "on"),
        IntentState::RequiresPaymentMethod if intent.attempts.is_empty() => told("Not paid", ""),
        IntentState::RequiresPaymentMethod => told("Not paid: declined", "off"),
        IntentState::RequiresAction => told("Waiting for the payer", "new"),
        IntentState::Processing => match intent.open_attempt().map(|attempt| &attempt.state) {
            Some(AttemptState::Held { .. }) => told("Held for review", "paused"),
            Some(AttemptState::Unknown) => told("Outcome not known yet", "paused"),
            _ => told("In progress", "new"),
        },
        IntentState::RequiresCapture => told("To capture", "paused"),
        IntentState::PartiallyCaptured => told("Captured in part", "paused"),
        IntentState::Canceled => told("Canceled", "retired"),
        IntentState::Failed => told("Failed", "off"),
        IntentState::Expired => told("Expired", "retired"),
    }
}

/// How far along an attempt is.
pub(super) const fn attempt(state: &AttemptState) -> State {
    match state {
        AttemptState::Created => told("About to be sent", "new"),
        AttemptState::Held { .. } => told("Held for review", "paused"),
        AttemptState::Sending => told("Being sent", "new"),
        AttemptState::Unknown => told("Outcome not known yet", "paused"),
        AttemptState::RequiresAction { .. } => told("Page is open", "new"),
        AttemptState::Pending => told("Provider is at it", "new"),
        AttemptState::Authorized => told("Authorized", "on"),
        AttemptState::Charged => told("Charged", "on"),
        AttemptState::Declined { .. } => told("Declined", "off"),
        AttemptState::Expired => told("Page expired", "retired"),
        AttemptState::Voided => told("Released", "retired"),
        AttemptState::Quarantined { .. } => told("Kept apart", "paused"),
    }
}

/// How far along a capture, a release or a refund is.
pub(super) const fn step(state: &StepState) -> State {
    match state {
        StepState::Requested => told("About to be sent", "new"),
        StepState::Sending => told("Being sent", "new"),
        StepState::Pending => told("Provider is at it", "new"),
        StepState::Unknown => told("Outcome not known yet", "paused"),
        StepState::Succeeded => told("Done", "on"),
        StepState::Failed { .. } => told("Failed", "off"),
    }
}

/// How far along a dispute is.
pub(super) const fn dispute(state: DisputeState) -> &'static str {
    match state {
        DisputeState::Open => "Disputed by the payer",
        DisputeState::Withdrawn => "Charged back",
        DisputeState::Returned => "Charged back and won again",
        DisputeState::Closed => "Was disputed",
    }
}

/// What sort of refusal, for the merchant.
pub(super) const fn refusal(class: ErrorClass) -> &'static str {
    match class {
        ErrorClass::DeclinedHard => "the payer's bank said no",
        ErrorClass::DeclinedSoft => "the payer's bank said no for now",
        ErrorClass::PayerAction => "the payer did not finish",
        ErrorClass::Fraud => "taken for fraud",
        ErrorClass::NotSupported => "the provider does not take this amount, currency or country",
        ErrorClass::InvalidRequest => "the provider did not understand the request",
        ErrorClass::SetUp => "the set-up with the provider is not complete",
        ErrorClass::RateLimited => "too many requests to the provider",
        ErrorClass::ProviderDown => "the provider could not be reached",
    }
}
