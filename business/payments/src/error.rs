//! What may go wrong with payments.

use kernel::{Fault, FieldFault, Kind, NotAllowed};
use store::StoreError;

use crate::intent::{IntentState, Refusal};
use crate::payout::PayoutRefusal;

/// Why something about payments was refused.
#[derive(Debug, thiserror::Error)]
pub enum PaymentError {
    /// The database did not do it.
    #[error("the database did not do it")]
    Store(#[from] StoreError),
    /// The books did not take it.
    #[error("the books did not take it")]
    Ledger(#[from] ledger::LedgerError),
    /// Telling somebody was refused.
    #[error("the message could not be prepared")]
    Notification(#[from] notifications::NotificationError),
    /// The caller lacks the right.
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    /// The payment is not in a state for it, or its amounts are not.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The payout is not in a state for it, or it is not this caller's to decide.
    #[error(transparent)]
    Payout(#[from] PayoutRefusal),
    /// Fields cannot be right.
    #[error("{} fields were refused", fields.len())]
    Invalid {
        /// Which, and what would be right.
        fields: Vec<FieldFault>,
    },
    /// It is not there, or not for this caller.
    #[error("there is no such {what}")]
    NotFound {
        /// What was looked for.
        what: &'static str,
    },
    /// No provider of the workspace takes this payment.
    #[error("no provider takes this payment: {0}")]
    NoProvider(crate::routing::Nobody),
    /// Somebody else changed it since it was read.
    #[error("it has changed since: read it again")]
    Stale,
    /// A report of the provider is being booked: what settles waits until it is done.
    #[error("a report of this provider is being booked: repeat when it is done")]
    SettlementRunning,
    /// The name is taken.
    #[error("another provider has this name")]
    NameTaken,
    /// Something was begun at the provider, so that it stays with its account.
    #[error("{} cannot change any more: {ties}. Add another provider and set is_enabled of this one to false", moved.join(", "))]
    ProviderTied {
        /// The fields that would name another account.
        moved: Vec<String>,
        /// What is there.
        ties: crate::account::Ties,
    },
    /// Monitoring could not decide, so that nothing goes on.
    #[error("monitoring could not decide")]
    Risk(#[from] risk::RiskError),
}

impl PaymentError {
    /// A refusal of one field with its fix.
    pub fn field(field: &str, message: impl Into<String>) -> Self {
        Self::Invalid { fields: vec![FieldFault::new(field, message)] }
    }
}

impl Fault for PaymentError {
    fn kind(&self) -> Kind {
        match self {
            Self::Store(error) => error.kind(),
            Self::Ledger(error) => error.kind(),
            Self::Notification(error) => error.kind(),
            Self::Risk(error) => error.kind(),
            Self::NotAllowed(_) | Self::Payout(PayoutRefusal::NotAPerson) => Kind::Forbidden,
            Self::SettlementRunning => Kind::Unavailable,
            Self::Invalid { .. } | Self::Refused(Refusal::Field(_)) | Self::Payout(PayoutRefusal::Field(_)) => Kind::Invalid,
            Self::NotFound { .. } | Self::Refused(Refusal::NotFound { .. }) => Kind::NotFound,
            Self::Payout(_) => Kind::Conflict,
            Self::Refused(_) | Self::Stale | Self::NameTaken | Self::ProviderTied { .. } | Self::NoProvider(_) => Kind::Conflict,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Store(error) => error.code(),
            Self::Ledger(error) => error.code(),
            Self::Notification(error) => error.code(),
            Self::Risk(error) => error.code(),
            Self::NotAllowed(_) => "not_allowed",
            Self::Invalid { .. } | Self::Refused(Refusal::Field(_)) | Self::Payout(PayoutRefusal::Field(_)) => "invalid",
            Self::Payout(PayoutRefusal::State { .. }) => "payout_state",
            Self::Payout(PayoutRefusal::OwnRequest) => "own_request",
            Self::Payout(PayoutRefusal::ApprovedAlready) => "approved_already",
            Self::Payout(PayoutRefusal::NotAPerson) => "not_a_person",
            Self::Payout(PayoutRefusal::OwnAccount) => "own_account",
            Self::NotFound { .. } | Self::Refused(Refusal::NotFound { .. }) => "not_found",
            Self::Refused(Refusal::State { is, .. }) => match is {
                IntentState::RequiresPaymentMethod => "payment_requires_payment_method",
                IntentState::RequiresAction => "payment_requires_action",
                IntentState::Processing => "payment_processing",
                IntentState::RequiresCapture => "payment_requires_capture",
                IntentState::PartiallyCaptured => "payment_partially_captured",
                IntentState::Succeeded => "payment_succeeded",
                IntentState::Canceled => "payment_canceled",
                IntentState::Failed => "payment_failed",
                IntentState::Expired => "payment_expired",
            },
            Self::Refused(Refusal::TooMuch { .. }) => "amount_too_large",
            Self::Refused(Refusal::TooMany { .. }) => "too_many",
            Self::NoProvider(_) => "no_provider",
            Self::Stale => "version_conflict",
            Self::SettlementRunning => "settlement_running",
            Self::NameTaken => "name_taken",
            Self::ProviderTied { .. } => "provider_tied",
        }
    }

    fn fields(&self) -> Vec<FieldFault> {
        match self {
            Self::Invalid { fields } => fields.clone(),
            Self::Refused(Refusal::Field(field)) | Self::Payout(PayoutRefusal::Field(field)) => vec![field.clone()],
            Self::Refused(refusal @ Refusal::TooMuch { field, .. }) => vec![FieldFault::new(*field, refusal.to_string())],
            _ => Vec::new(),
        }
    }
}
