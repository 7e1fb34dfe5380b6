//! What may go wrong with risk.

use kernel::{Fault, FieldFault, Kind, NotAllowed};
use store::StoreError;

use crate::rule::RULES_MAX;

/// Why something about risk was refused.
#[derive(Debug, thiserror::Error)]
pub enum RiskError {
    /// The database did not do it.
    #[error("the database did not do it")]
    Store(#[from] StoreError),
    /// The caller lacks the right.
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    /// Fields cannot be right.
    #[error("{} fields were refused", fields.len())]
    Invalid {
        /// Which, and what would be right.
        fields: Vec<FieldFault>,
    },
    /// It is not there, or not for this caller.
    #[error("there is no such rule")]
    NotFound,
    /// Somebody else changed the rule since it was read.
    #[error("the rule has changed since: it is at version {actual} now, read it again")]
    Stale {
        /// The version it is at.
        actual: i64,
    },
    /// The workspace has as many rules as it can have.
    #[error("a workspace has at most {RULES_MAX} rules: delete one first")]
    TooMany,
    /// The subject was decided already, with another amount or another party: what was decided then says nothing about it.
    #[error("this subject was decided already with another {what}: a changed subject needs an id of its own")]
    OtherSubject {
        /// What is different: `amount` or `party`.
        what: &'static str,
    },
}

impl Fault for RiskError {
    fn kind(&self) -> Kind {
        match self {
            Self::Store(error) => error.kind(),
            Self::NotAllowed(_) => Kind::Forbidden,
            Self::Invalid { .. } => Kind::Invalid,
            Self::NotFound => Kind::NotFound,
            Self::Stale { .. } | Self::TooMany | Self::OtherSubject { .. } => Kind::Conflict,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Store(error) => error.code(),
            Self::NotAllowed(_) => "not_allowed",
            Self::Invalid { .. } => "invalid",
            Self::NotFound => "risk_rule_not_found",
            Self::Stale { .. } => "version_conflict",
            Self::TooMany => "risk_rules_full",
            Self::OtherSubject { .. } => "risk_subject_changed",
        }
    }

    fn fields(&self) -> Vec<FieldFault> {
        match self {
            Self::Invalid { fields } => fields.clone(),
            _ => Vec::new(),
        }
    }
}
