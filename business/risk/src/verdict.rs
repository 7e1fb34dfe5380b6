//! What was decided. Pure.

use kernel::{Money, Timestamp};

use crate::activity::{ActivityKind, words};
use crate::rule::RuleId;

kernel::id!(
    /// One decision; later ones sort later.
    pub struct DecisionId = "dec"
);

/// What is to be done with an activity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may go on.
    Allow,
    /// It waits for a person to look at it.
    Hold {
        /// Which rule said so.
        rule: RuleId,
        /// Why, in a sentence for those who look after the workspace; not for the payer.
        reason: String,
    },
    /// It must not happen.
    Block {
        /// Which rule said so.
        rule: RuleId,
        /// Why, in a sentence for those who look after the workspace; not for the payer.
        reason: String,
    },
}

words! {
    /// The verdict in one word.
    pub enum VerdictWord: "must be allow, hold or block" {
        /// It may go on.
        Allow = "allow",
        /// It waits for a person.
        Hold = "hold",
        /// It must not happen.
        Block = "block",
    }
}

impl Verdict {
    /// The verdict in one word.
    pub fn word(&self) -> VerdictWord {
        match self {
            Self::Allow => VerdictWord::Allow,
            Self::Hold { .. } => VerdictWord::Hold,
            Self::Block { .. } => VerdictWord::Block,
        }
    }

    /// The rule and its reason, when there was one.
    pub fn rule(&self) -> Option<(RuleId, &str)> {
        match self {
            Self::Allow => None,
            Self::Hold { rule, reason } | Self::Block { rule, reason } => Some((*rule, reason)),
        }
    }
}

/// A decision as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Its identifier.
    pub id: DecisionId,
    /// Which sort of movement was asked about.
    pub kind: ActivityKind,
    /// The subject's id.
    pub activity: String,
    /// How much it was about.
    pub amount: Money,
    /// Who was to pay or to be paid, as an opaque fingerprint.
    pub party: Option<String>,
    /// Where the party was.
    pub country: Option<String>,
    /// How it was to be paid.
    pub method: Option<String>,
    /// Through whom.
    pub provider: Option<String>,
    /// What was decided.
    pub verdict: Verdict,
    /// When.
    pub decided_at: Timestamp,
}
