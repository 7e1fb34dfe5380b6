//! What may go wrong with codes.

use kernel::{Fault, FieldFault, Kind, NotAllowed};
use store::StoreError;

use crate::batch::BATCH_MAX;
use crate::code::StepError;
use crate::symbol::SymbolError;

/// A failure of a verb or a query of codes.
#[derive(Debug, thiserror::Error)]
pub enum CodeError {
    /// The workspace has no such code.
    #[error("there is no such code")]
    NotFound,
    /// The code's state does not allow the step.
    #[error(transparent)]
    Step(#[from] StepError),
    /// Somebody else changed the code in between, or it is not at the version that the caller knows.
    #[error("the code was changed in the meantime: read it again and repeat")]
    Changed,
    /// The code leads elsewhere than the caller thinks.
    #[error("the code does not lead there any more")]
    LeadsElsewhere,
    /// Fields that cannot be right.
    #[error("the request has fields that cannot be right")]
    Invalid {
        /// Which, and what would be right.
        fields: Vec<FieldFault>,
    },
    /// A number of codes that is not from 1 to 10,000.
    #[error("must be from 1 to {BATCH_MAX}")]
    Count,
    /// A symbol that is not drawn.
    #[error("the symbol cannot be drawn like this")]
    Symbol(#[from] SymbolError),
    /// Every number of the installation is used.
    #[error("this installation has used up all its codes")]
    UsedUp,
    /// The caller may not do this.
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    /// The database.
    #[error("the codes could not be read or written")]
    Store(#[from] StoreError),
}

impl CodeError {
    /// One field that cannot be right.
    pub fn field(field: impl Into<String>, message: impl ToString) -> Self {
        Self::Invalid { fields: vec![FieldFault::new(field, message.to_string())] }
    }
}

impl Fault for CodeError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotFound => Kind::NotFound,
            Self::Step(_) | Self::Changed | Self::LeadsElsewhere | Self::UsedUp => Kind::Conflict,
            Self::Invalid { .. } | Self::Count | Self::Symbol(_) => Kind::Invalid,
            Self::NotAllowed(_) => Kind::Forbidden,
            Self::Store(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "code_not_found",
            Self::Step(StepError::NotBound) => "code_not_bound",
            Self::Step(StepError::Retired) => "code_retired",
            Self::Changed => "version_conflict",
            Self::LeadsElsewhere => "code_leads_elsewhere",
            Self::Invalid { .. } | Self::Count => "invalid",
            Self::Symbol(SymbolError::Unreadable) => "symbol_unreadable",
            Self::Symbol(_) => "symbol_style",
            Self::UsedUp => "codes_used_up",
            Self::NotAllowed(_) => "not_allowed",
            Self::Store(error) => error.code(),
        }
    }

    fn fields(&self) -> Vec<FieldFault> {
        match self {
            Self::Invalid { fields } => fields.clone(),
            Self::Count => vec![FieldFault::new("count", self.to_string())],
            Self::Symbol(error) => vec![FieldFault::new(error.field(), error.to_string())],
            _ => Vec::new(),
        }
    }
}
