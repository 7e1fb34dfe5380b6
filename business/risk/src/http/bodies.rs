//! Bodies and queries in.

use kernel::FieldFault;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::activity::{ID_BYTES_MAX, WordError, is_opaque};
use crate::condition::WrittenCondition;
use crate::error::RiskError;
use crate::queries::DecisionFilter;
use crate::rule::{NewRule, PRIORITY_PLAIN, RuleEdit, parse_name, parse_priority};

fn word<T: std::str::FromStr<Err = WordError>>(field: &str, text: &str, faults: &mut Vec<FieldFault>) -> Option<T> {
    text.parse().map_err(|error: WordError| faults.push(FieldFault::new(field, error.to_string()))).ok()
}

fn done<T>(parsed: Option<T>, faults: Vec<FieldFault>) -> Result<T, RiskError> {
    match parsed {
        Some(parsed) if faults.is_empty() => Ok(parsed),
        _ => Err(RiskError::Invalid { fields: faults }),
    }
}

/// What a rule is made from.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RiskRuleBody)]
pub(super) struct RuleBody {
    /// What people call it: 1 to 120 characters.
    #[schema(example = "Large payouts", max_length = 120)]
    name: String,
    /// Which kinds of activity it looks at and counts: `payment_attempt`, `payout` or `any`.
    #[schema(example = "payout")]
    applies_to: String,
    /// When it fires.
    condition: WrittenCondition,
    /// What it does then: `hold` or `block`. Block wins over hold.
    #[schema(example = "hold")]
    outcome: String,
    /// From 0 to 1,000; of two with the same outcome the lower goes first. 100 when absent.
    #[schema(minimum = 0, maximum = 1000, nullable = false)]
    priority: Option<i64>,
    /// Whether it is in force; it is when absent.
    #[schema(nullable = false)]
    is_enabled: Option<bool>,
}

impl RuleBody {
    pub(super) fn parse(self) -> Result<NewRule, RiskError> {
        let mut faults = Vec::new();
        let name = parse_name(&self.name, &mut faults);
        let applies_to = word("applies_to", &self.applies_to, &mut faults);
        let condition = self.condition.parse(&mut faults);
        let outcome = word("outcome", &self.outcome, &mut faults);
        let priority = parse_priority(self.priority.unwrap_or(PRIORITY_PLAIN), &mut faults);
        let is_enabled = self.is_enabled.unwrap_or(true);
        let terms = (|| {
            Some(NewRule {
                name: name?,
                applies_to: applies_to?,
                condition: condition?,
                outcome: outcome?,
                priority: priority?,
                is_enabled,
            })
        })();
        done(terms, faults)
    }
}

/// What of a rule is to change; what is absent stays.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RiskRulePatch)]
pub(super) struct RulePatch {
    /// The version that you saw.
    version: i64,
    /// What people call it.
    #[schema(max_length = 120, nullable = false)]
    name: Option<String>,
    /// Which kinds of activity it looks at and counts.
    #[schema(nullable = false)]
    applies_to: Option<String>,
    /// When it fires, as a whole.
    #[schema(nullable = false)]
    condition: Option<WrittenCondition>,
    /// What it does then.
    #[schema(nullable = false)]
    outcome: Option<String>,
    /// Which goes first.
    #[schema(minimum = 0, maximum = 1000, nullable = false)]
    priority: Option<i64>,
    /// Whether it is in force.
    #[schema(nullable = false)]
    is_enabled: Option<bool>,
}

impl RulePatch {
    pub(super) fn parse(self) -> Result<(i64, RuleEdit), RiskError> {
        let mut faults = Vec::new();
        let edit = RuleEdit {
            name: self.name.and_then(|name| parse_name(&name, &mut faults)),
            applies_to: self.applies_to.and_then(|text| word("applies_to", &text, &mut faults)),
            condition: self.condition.and_then(|condition| condition.parse(&mut faults)),
            outcome: self.outcome.and_then(|text| word("outcome", &text, &mut faults)),
            priority: self.priority.and_then(|priority| parse_priority(priority, &mut faults)),
            is_enabled: self.is_enabled,
        };
        done(Some((self.version, edit)), faults)
    }
}

/// Which decisions are wanted.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DecisionQuery {
    /// The `next` of the page before; absent for the first page.
    pub(super) after: Option<String>,
    /// How many at most, 1 to 200; 50 when absent.
    #[param(minimum = 1, maximum = 200)]
    pub(super) limit: Option<u32>,
    /// Only what was decided about this subject, by its id.
    activity: Option<String>,
    /// Only those with this verdict: `allow`, `hold` or `block`.
    verdict: Option<String>,
}

impl DecisionQuery {
    pub(super) fn filter(&self) -> Result<DecisionFilter, RiskError> {
        let mut faults = Vec::new();
        let verdict = self.verdict.as_deref().and_then(|text| word("verdict", text, &mut faults));
        if self.activity.as_ref().is_some_and(|id| !is_opaque(id, ID_BYTES_MAX)) {
            faults.push(FieldFault::new("activity", "must have 1 to 500 bytes and no control characters"));
        }
        done(Some(DecisionFilter { activity: self.activity.clone(), verdict }), faults)
    }
}
