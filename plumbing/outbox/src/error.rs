//! What may go wrong when the outbox is started or asked.

use kernel::{Fault, Kind, NotAllowed};
use store::StoreError;

/// A failure of the outbox's verbs.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// There is no dead job of that id in the workspace.
    #[error("there is no such job among the dead ones")]
    NotFound,
    /// A job names a lane that was not declared, or two jobs share a name.
    #[error("{advice}")]
    Setup {
        /// What is wrong and how to mend it.
        advice: String,
    },
    /// The caller may not do this.
    #[error("this is not allowed")]
    NotAllowed(#[from] NotAllowed),
    /// The database.
    #[error("the outbox could not be read or written")]
    Store(#[from] StoreError),
}

impl Fault for OutboxError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotFound => Kind::NotFound,
            Self::Setup { .. } => Kind::Internal,
            Self::NotAllowed(_) => Kind::Forbidden,
            Self::Store(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "dead_job_not_found",
            Self::Setup { .. } => "outbox_setup",
            Self::NotAllowed(_) => "not_allowed",
            Self::Store(error) => error.code(),
        }
    }
}
