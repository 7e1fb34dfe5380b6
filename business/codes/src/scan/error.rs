//! What may go wrong around scans.

use kernel::{Fault, FieldFault, Kind, NotAllowed};
use store::StoreError;

use super::journal::JournalError;

/// A failure around scans.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The caller lacks the right.
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    /// There is no such code in the workspace.
    #[error("there is no such code")]
    NotFound,
    /// A field was refused.
    #[error("the request has a field that cannot be right")]
    Invalid(FieldFault),
    /// Only a person can be told.
    #[error("only a person who is signed in can ask to be told of scans")]
    NotAPerson,
    /// The journal failed.
    #[error("the journal of scans cannot be used")]
    Journal(#[from] JournalError),
    /// Somebody else counted this journal, or the outcome of a unit was not what it seemed.
    #[error("the journal was counted by somebody else")]
    Moved,
}

impl Fault for ScanError {
    fn kind(&self) -> Kind {
        match self {
            Self::Store(error) => error.kind(),
            Self::NotAllowed(_) | Self::NotAPerson => Kind::Forbidden,
            Self::NotFound => Kind::NotFound,
            Self::Invalid(_) => Kind::Invalid,
            Self::Journal(_) | Self::Moved => Kind::Internal,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Store(error) => error.code(),
            Self::NotAllowed(_) => "not_allowed",
            Self::NotAPerson => "not_a_person",
            Self::NotFound => "code_not_found",
            Self::Invalid(_) => "invalid",
            Self::Journal(_) => "journal_failed",
            Self::Moved => "journal_moved",
        }
    }

    fn fields(&self) -> Vec<FieldFault> {
        match self {
            Self::Invalid(field) => vec![field.clone()],
            _ => Vec::new(),
        }
    }
}
