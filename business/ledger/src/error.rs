//! What may go wrong with the books.

use kernel::{Fault, FieldFault, Kind, NotAllowed};
use store::StoreError;

use crate::transfer::Outcome;

/// A failure of a verb or a query of the ledger.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The workspace has no such account, transfer or entry.
    #[error("there is no such {what}")]
    NotFound {
        /// What was looked for.
        what: &'static str,
    },
    /// Another account has this code.
    #[error("another account has the code {code}: choose another one")]
    CodeTaken {
        /// The code.
        code: String,
    },
    /// An account that holds something cannot be closed.
    #[error("the account holds something or has pending transfers: bring it to zero first")]
    NotEmpty,
    /// A module keeps the account for itself.
    #[error("the account is kept by a module, which posts to it at any time: it cannot be closed")]
    KeptByModule,
    /// A posting that must stand was refused.
    #[error("the transfer was refused: {}", .outcome.as_str())]
    Refused {
        /// Which of the transfers, counted from 0.
        index: usize,
        /// Why.
        outcome: Outcome,
    },
    /// Fields that cannot be right.
    #[error("the request has fields that cannot be right")]
    Invalid {
        /// Which, and what would be right.
        fields: Vec<FieldFault>,
    },
    /// The books have not come as far as the caller asked for.
    #[error("the books have not come as far as the version that was asked for: repeat in a moment")]
    Behind,
    /// So much is not booked yet that no more comes in by batches.
    #[error("the books are behind what was posted: send the batch again in some seconds, with the same Idempotency-Key")]
    TooFarBehind,
    /// The caller may not do this.
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    /// The database.
    #[error("the books could not be read or written")]
    Store(#[from] StoreError),
}

impl LedgerError {
    /// One field that cannot be right.
    pub fn field(field: impl Into<String>, message: impl ToString) -> Self {
        Self::Invalid { fields: vec![FieldFault::new(field, message.to_string())] }
    }
}

impl Fault for LedgerError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotFound { .. } => Kind::NotFound,
            Self::CodeTaken { .. } | Self::NotEmpty | Self::KeptByModule | Self::Refused { .. } => Kind::Conflict,
            Self::Invalid { .. } => Kind::Invalid,
            Self::Behind | Self::TooFarBehind => Kind::Unavailable,
            Self::NotAllowed(_) => Kind::Forbidden,
            Self::Store(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "not_found",
            Self::CodeTaken { .. } => "account_code_taken",
            Self::NotEmpty => "account_not_empty",
            Self::KeptByModule => "account_kept_by_module",
            Self::Refused { outcome, .. } => outcome.as_str(),
            Self::Invalid { .. } => "invalid",
            Self::Behind | Self::TooFarBehind => "books_behind",
            Self::NotAllowed(_) => "not_allowed",
            Self::Store(error) => error.code(),
        }
    }

    fn fields(&self) -> Vec<FieldFault> {
        match self {
            Self::Invalid { fields } => fields.clone(),
            Self::CodeTaken { .. } => vec![FieldFault::new("code", self.to_string())],
            _ => Vec::new(),
        }
    }
}
