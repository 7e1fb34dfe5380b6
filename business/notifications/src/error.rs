//! What may go wrong here.

use kernel::{Fault, FieldFault, Kind, NotAllowed};
use store::StoreError;

/// Every refusal and failure of this module.
#[derive(Debug, thiserror::Error)]
pub enum NotificationError {
    /// The database.
    #[error("the database could not do it")]
    Store(#[from] StoreError),
    /// The caller lacks a right.
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    /// There is no such thing in this workspace.
    #[error("there is no such {what}")]
    NotFound {
        /// Of what kind.
        what: &'static str,
    },
    /// One field of the input cannot be right.
    #[error("{} {}", .0.field, .0.message)]
    Field(FieldFault),
    /// The workspace has as many endpoints as it may.
    #[error("a workspace has at most {max} webhook endpoints")]
    TooManyEndpoints {
        /// How many it may have.
        max: usize,
    },
    /// The endpoint is switched off.
    #[error("the endpoint is disabled; enable it first")]
    EndpointDisabled,
    /// A mail could not be built from what was accepted.
    #[error("the mail could not be built")]
    Unbuildable,
}

impl NotificationError {
    pub(crate) fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Field(FieldFault::new(field, message))
    }
}

impl Fault for NotificationError {
    fn kind(&self) -> Kind {
        match self {
            Self::Store(error) => error.kind(),
            Self::NotAllowed(_) => Kind::Forbidden,
            Self::NotFound { .. } => Kind::NotFound,
            Self::Field(_) => Kind::Invalid,
            Self::TooManyEndpoints { .. } | Self::EndpointDisabled => Kind::Conflict,
            Self::Unbuildable => Kind::Internal,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Store(error) => error.code(),
            Self::NotAllowed(_) => "not_allowed",
            Self::NotFound { .. } => "not_found",
            Self::Field(_) => "invalid_field",
            Self::TooManyEndpoints { .. } => "too_many_endpoints",
            Self::EndpointDisabled => "endpoint_disabled",
            Self::Unbuildable => "mail_unbuildable",
        }
    }

    fn fields(&self) -> Vec<FieldFault> {
        match self {
            Self::Field(fault) => vec![fault.clone()],
            _ => Vec::new(),
        }
    }
}
