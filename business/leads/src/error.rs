//! What may go wrong with leads.

use kernel::{Fault, FieldFault, Kind, NotAllowed};
use store::StoreError;

use crate::form::FormError;
use crate::lead::{LeadId, Status};

/// Why something about leads was refused.
#[derive(Debug, thiserror::Error)]
pub enum LeadError {
    /// The database did not do it.
    #[error("the database did not do it")]
    Store(#[from] StoreError),
    /// The caller lacks the right.
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    /// The form is not taken.
    #[error(transparent)]
    Form(#[from] FormError),
    /// Fields cannot be right.
    #[error("{} fields were refused", fields.len())]
    Invalid {
        /// Which, and what would be right.
        fields: Vec<FieldFault>,
    },
    /// It is not there, or not for this caller.
    #[error("there is no such lead")]
    NotFound {
        /// Which was looked for.
        id: LeadId,
    },
    /// Somebody else changed it since it was read.
    #[error("the lead has changed since: it is at version {actual} now, read it again")]
    Stale {
        /// The version it is at.
        actual: i64,
    },
    /// The status cannot become that.
    #[error("a lead that is {from} cannot become {to}")]
    Transition {
        /// What it is.
        from: Status,
        /// What it was to become.
        to: Status,
    },
    /// The person was erased; nothing can be written about them any more.
    #[error("the person was erased, the lead cannot be changed any more")]
    Erased,
    /// Telling somebody was refused.
    #[error("the message could not be prepared")]
    Notification(#[from] notifications::NotificationError),
    /// Looking up a member was refused.
    #[error("the member could not be looked up")]
    People(#[from] people::PeopleError),
}

impl LeadError {
    /// A refusal of one field with its fix.
    pub fn field(field: &str, message: impl Into<String>) -> Self {
        Self::Invalid { fields: vec![FieldFault::new(field, message)] }
    }
}

impl Fault for LeadError {
    fn kind(&self) -> Kind {
        match self {
            Self::Store(error) => error.kind(),
            Self::People(error) => error.kind(),
            Self::Notification(error) => error.kind(),
            Self::NotAllowed(_) => Kind::Forbidden,
            Self::NotFound { .. } => Kind::NotFound,
            Self::Invalid { .. } | Self::Form(FormError::Forged | FormError::Expired | FormError::TooFast) => Kind::Invalid,
            Self::Stale { .. } | Self::Transition { .. } | Self::Erased | Self::Form(FormError::SentAlready) => Kind::Conflict,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Store(error) => error.code(),
            Self::People(error) => error.code(),
            Self::Notification(error) => error.code(),
            Self::NotAllowed(_) => "not_allowed",
            Self::NotFound { .. } => "lead_not_found",
            Self::Invalid { .. } => "invalid",
            Self::Stale { .. } => "version_conflict",
            Self::Transition { .. } => "status_not_reachable",
            Self::Erased => "lead_erased",
            Self::Form(FormError::Forged) => "form_token_invalid",
            Self::Form(FormError::Expired) => "form_expired",
            Self::Form(FormError::TooFast) => "form_too_fast",
            Self::Form(FormError::SentAlready) => "form_already_sent",
        }
    }

    fn fields(&self) -> Vec<FieldFault> {
        match self {
            Self::Invalid { fields } => fields.clone(),
            Self::People(error) => error.fields(),
            _ => Vec::new(),
        }
    }
}
