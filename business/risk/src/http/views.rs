//! Views out.

use kernel::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::condition::WrittenCondition;
use crate::rule::{Rule, RuleId};
use crate::verdict::{Decision, DecisionId};

/// A rule.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RiskRule)]
pub(super) struct RuleView {
    /// Its identifier.
    #[schema(value_type = String)]
    id: RuleId,
    /// Counts its changes, from 1.
    version: i64,
    /// What people call it.
    name: String,
    /// Which kinds of activity it looks at and counts: `payment_attempt`, `payout` or `any`.
    applies_to: &'static str,
    /// When it fires.
    condition: WrittenCondition,
    /// What it does then: `hold` or `block`.
    outcome: &'static str,
    /// Of two with the same outcome the lower goes first.
    priority: i64,
    /// Whether it is in force.
    is_enabled: bool,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<&Rule> for RuleView {
    fn from(rule: &Rule) -> Self {
        let terms = &rule.terms;
        Self {
            id: rule.id,
            version: rule.version,
            name: terms.name.clone(),
            applies_to: terms.applies_to.word(),
            condition: WrittenCondition::from(&terms.condition),
            outcome: terms.outcome.word(),
            priority: terms.priority,
            is_enabled: terms.is_enabled,
            created_at: rule.created_at,
            updated_at: rule.updated_at,
        }
    }
}

/// What was decided about one subject.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RiskDecision)]
pub(super) struct DecisionView {
    /// Its identifier.
    #[schema(value_type = String)]
    id: DecisionId,
    /// Which sort of movement was asked about: `payment_attempt` or `payout`.
    kind: &'static str,
    /// The subject's id.
    activity: String,
    /// How much it was about, in minor units.
    amount_minor: i64,
    /// Of this currency, by ISO 4217.
    #[schema(example = "EUR")]
    currency: String,
    /// Who was to pay or to be paid, as an opaque fingerprint.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    party: Option<String>,
    /// Where the party was, two letters of ISO 3166-1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    country: Option<String>,
    /// How it was to be paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    method: Option<String>,
    /// Through whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    provider: Option<String>,
    /// `allow`, `hold` or `block`.
    verdict: &'static str,
    /// The rule that said so; it may be deleted by now.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, nullable = false)]
    rule: Option<RuleId>,
    /// Why, with the rule's name as it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<String>,
    /// When it was decided.
    #[schema(value_type = String, format = DateTime)]
    decided_at: Timestamp,
}

impl From<&Decision> for DecisionView {
    fn from(decision: &Decision) -> Self {
        let fired = decision.verdict.rule();
        Self {
            id: decision.id,
            kind: decision.kind.word(),
            activity: decision.activity.clone(),
            amount_minor: decision.amount.amount_minor,
            currency: decision.amount.currency.to_string(),
            party: decision.party.clone(),
            country: decision.country.clone(),
            method: decision.method.clone(),
            provider: decision.provider.clone(),
            verdict: decision.verdict.word().word(),
            rule: fired.map(|(rule, _)| rule),
            reason: fired.map(|(_, reason)| reason.to_owned()),
            decided_at: decision.decided_at,
        }
    }
}
