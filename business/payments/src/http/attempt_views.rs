//! What goes out of attempts, captures, disputes and refunds.

use kernel::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::intent::{Attempt, AttemptState, Dispute, More, Refund, StepState};

/// One try at one provider.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PaymentAttemptView {
    /// Its identifier, and the reference that the provider was given.
    pub id: String,
    /// At this provider.
    pub provider: String,
    /// created, held, sending, unknown, requires_action, pending, authorized, charged, declined, expired, voided or quarantined.
    pub state: String,
    /// The provider's name for it.
    pub provider_ref: Option<String>,
    /// What sort of refusal, where it was declined.
    pub error_class: Option<String>,
    /// The provider's word for the refusal.
    pub error_code: Option<String>,
    /// What was paid where that is not what was asked for, in minor units.
    pub quarantined_minor: Option<i64>,
    /// In which currency.
    pub quarantined_currency: Option<String>,
    /// How much was authorized, in minor units.
    pub authorized_minor: i64,
    /// How much was taken, in minor units.
    pub captured_minor: i64,
    /// It brought money that another attempt brought too: it is given back.
    pub is_surplus: bool,
    /// The exact crypto amount in its smallest unit.
    pub crypto_amount: Option<String>,
    /// Captures, the oldest first.
    pub captures: Vec<CaptureView>,
    /// Money that came beyond the first payment, the oldest first.
    pub more: Vec<PaidMoreView>,
    /// Disputes of the payer, the oldest first.
    pub disputes: Vec<DisputeView>,
    /// When it began.
    #[schema(value_type = String)]
    pub started_at: Timestamp,
}

/// Money that came beyond the first payment of an attempt.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PaidMoreView {
    /// How much, in minor units.
    pub amount_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// It is too much and given back; otherwise it is a part of what is kept apart.
    pub is_surplus: bool,
}

/// A dispute about a charge.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DisputeView {
    /// The provider's name for it.
    pub case: String,
    /// open, withdrawn (charged back), returned (won) or closed.
    pub state: String,
    /// How much is at stake, in minor units.
    pub amount_minor: i64,
    /// ISO 4217.
    pub currency: String,
}

/// A capture of what was authorized.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CaptureView {
    /// Its identifier.
    pub id: String,
    /// How much, in minor units.
    pub amount_minor: i64,
    /// requested, sending, pending, unknown, succeeded or failed.
    pub state: String,
    /// The provider's word, where it failed.
    pub error_code: Option<String>,
    /// What the provider says that it took, where that is not what was asked for, in minor units: say whether that is so.
    pub said_minor: Option<i64>,
    /// In which currency.
    pub said_currency: Option<String>,
    /// One person says that it was done; a second one has to say the same.
    pub needs_a_second: bool,
}

/// Money that is given back.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RefundView {
    /// Its identifier.
    pub id: String,
    /// Whose money.
    pub attempt: String,
    /// How much, in minor units.
    pub amount_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// requested, sending, pending, unknown, succeeded or failed.
    pub state: String,
    /// The provider's word, where it failed.
    pub error_code: Option<String>,
    /// What the provider says that it gave back, where that is not what was asked for, in minor units: say whether that is so.
    pub said_minor: Option<i64>,
    /// In which currency.
    pub said_currency: Option<String>,
    /// One person says that it was done; a second one has to say the same.
    pub needs_a_second: bool,
    /// It gives back money that came beyond the first payment.
    pub is_of_surplus: bool,
    /// Why.
    pub reason: Option<String>,
    /// When it was asked for.
    #[schema(value_type = String)]
    pub requested_at: Timestamp,
}

fn error_code(state: &StepState) -> Option<String> {
    match state {
        StepState::Failed { code } => Some(code.clone()),
        _ => None,
    }
}

impl From<&More> for PaidMoreView {
    fn from(more: &More) -> Self {
        let (amount_minor, currency) = (more.amount.amount_minor, more.amount.currency.to_string());
        Self { amount_minor, currency, is_surplus: more.is_surplus }
    }
}

impl From<&Dispute> for DisputeView {
    fn from(dispute: &Dispute) -> Self {
        let (amount_minor, currency) = (dispute.amount.amount_minor, dispute.amount.currency.to_string());
        Self { case: dispute.case.clone(), state: dispute.state.as_str().to_owned(), amount_minor, currency }
    }
}

impl From<&Attempt> for PaymentAttemptView {
    fn from(attempt: &Attempt) -> Self {
        let (error_class, error_code_word) = match &attempt.state {
            AttemptState::Declined { class, code } => (Some(class.as_str().to_owned()), Some(code.clone())),
            _ => (None, None),
        };
        let quarantined = match attempt.state {
            AttemptState::Quarantined { paid } => Some(paid),
            _ => None,
        };
        Self {
            id: attempt.id.to_string(),
            provider: attempt.provider.to_string(),
            state: attempt.state.as_str().to_owned(),
            provider_ref: attempt.provider_ref.clone(),
            error_class,
            error_code: error_code_word,
            quarantined_minor: quarantined.map(|paid| paid.amount_minor),
            quarantined_currency: quarantined.map(|paid| paid.currency.to_string()),
            authorized_minor: attempt.authorized_minor,
            captured_minor: attempt.captured_minor,
            is_surplus: attempt.is_surplus,
            crypto_amount: attempt.crypto_amount.clone(),
            captures: attempt
                .captures
                .iter()
                .map(|capture| CaptureView {
                    id: capture.id.to_string(),
                    amount_minor: capture.amount_minor,
                    state: capture.state.as_str().to_owned(),
                    error_code: error_code(&capture.state),
                    said_minor: capture.said.map(|said| said.amount_minor),
                    said_currency: capture.said.map(|said| said.currency.to_string()),
                    needs_a_second: capture.state == StepState::Unknown && capture.done_said_by.is_some(),
                })
                .collect(),
            more: attempt.more.iter().map(PaidMoreView::from).collect(),
            disputes: attempt.disputes.iter().map(DisputeView::from).collect(),
            started_at: attempt.started_at,
        }
    }
}

impl From<&Refund> for RefundView {
    fn from(refund: &Refund) -> Self {
        Self {
            id: refund.id.to_string(),
            attempt: refund.attempt.to_string(),
            amount_minor: refund.amount_minor,
            currency: refund.currency.to_string(),
            state: refund.state.as_str().to_owned(),
            error_code: error_code(&refund.state),
            said_minor: refund.said.map(|said| said.amount_minor),
            said_currency: refund.said.map(|said| said.currency.to_string()),
            needs_a_second: refund.state == StepState::Unknown && refund.done_said_by.is_some(),
            is_of_surplus: refund.more.is_some(),
            reason: refund.reason.clone(),
            requested_at: refund.requested_at,
        }
    }
}
