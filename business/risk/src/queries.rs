//! Reading rules and decisions, inside a unit of work and outside of one alike.

use std::time::Duration;

use kernel::{Id, RawId, Timestamp, WorkspaceId};
use store::{Reads, StoreError, params};

use crate::activity::{Activity, ActivityKind, Known};
use crate::condition::{Condition, Counted, Counting, Scope, Tally};
use crate::error::RiskError;
use crate::rule::{AppliesTo, RULES_MAX, Rule, RuleId};
use crate::sql;
use crate::verdict::{Decision, DecisionId, VerdictWord};

/// One rule of a workspace.
pub async fn find_rule(reads: &mut impl Reads, workspace: WorkspaceId, id: RuleId) -> Result<Option<Rule>, StoreError> {
    reads.row(&sql::FIND_RULE, params![workspace, id], sql::rule).await
}

/// The same, or that there is none.
pub async fn get_rule(reads: &mut impl Reads, workspace: WorkspaceId, id: RuleId) -> Result<Rule, RiskError> {
    find_rule(reads, workspace, id).await?.ok_or(RiskError::NotFound)
}

/// At most `limit` rules, the oldest first, beginning after `after`.
pub async fn rules(reads: &mut impl Reads, workspace: WorkspaceId, after: Option<RuleId>, limit: i64) -> Result<Vec<Rule>, StoreError> {
    let after = after.unwrap_or_else(|| RuleId::from_raw(RawId::from_bits(0)));
    reads.rows(&sql::LIST_RULES, params![workspace, after, limit], sql::rule).await
}

/// The rules that are asked about activities of this kind, in the order in which they are asked.
pub(crate) async fn rules_for(reads: &mut impl Reads, workspace: WorkspaceId, kind: ActivityKind) -> Result<Vec<Rule>, StoreError> {
    let mut rules = rules(reads, workspace, None, RULES_MAX).await?;
    rules.retain(|rule| rule.applies_to(kind));
    rules.sort_by(Rule::order);
    Ok(rules)
}

/// The longest time for which a rule that is enabled has accounts cool off before activities of this kind; none without such a
/// rule.
pub async fn cool_off(reads: &mut impl Reads, workspace: WorkspaceId, kind: ActivityKind) -> Result<Option<Duration>, StoreError> {
    let rules = rules_for(reads, workspace, kind).await?;
    let hours = rules.iter().filter_map(|rule| match rule.terms.condition {
        Condition::CoolOff { hours } => Some(Duration::from_secs(hours.unsigned_abs() * 3_600)),
        _ => None,
    });
    Ok(hours.max())
}

/// Which decisions are wanted; everything that is named must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DecisionFilter {
    /// About this subject.
    pub activity: Option<String>,
    /// With this verdict.
    pub verdict: Option<VerdictWord>,
}

/// At most `limit` decisions, the latest first, beginning after `after`.
pub async fn decisions(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    filter: &DecisionFilter,
    after: Option<DecisionId>,
    limit: i64,
) -> Result<Vec<Decision>, StoreError> {
    let after = after.unwrap_or_else(|| DecisionId::from_raw(RawId::from_bits(u128::MAX)));
    let verdict = filter.verdict.map(VerdictWord::word);
    match (&filter.activity, verdict) {
        (Some(activity), verdict) => {
            let verdict = verdict.unwrap_or_default();
            let params = params![workspace, after, limit, activity, verdict];
            reads.rows(&sql::LIST_DECISIONS_OF_ACTIVITY, params, sql::decision).await
        }
        (None, Some(verdict)) => {
            reads.rows(&sql::LIST_DECISIONS_OF_VERDICT, params![workspace, after, limit, verdict], sql::decision).await
        }
        (None, None) => reads.rows(&sql::LIST_DECISIONS, params![workspace, after, limit], sql::decision).await,
    }
}

/// What was decided about one subject.
pub async fn find_decision(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    kind: ActivityKind,
    activity: &str,
) -> Result<Option<Decision>, StoreError> {
    reads.row(&sql::FIND_DECISION, params![workspace, activity, kind.word()], sql::decision).await
}

/// The latest of the earlier activities of the same thing that counts for limits over time.
pub(crate) async fn counted(reads: &mut impl Reads, workspace: WorkspaceId, activity: &Activity) -> Result<Option<Counted>, StoreError> {
    for earlier in &activity.earlier {
        let found = reads.row(&sql::FIND_COUNTED, params![workspace, earlier, activity.kind.word()], sql::counted).await?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// What was let through or held within a window that ends now.
pub(crate) async fn tally(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    applies_to: AppliesTo,
    counting: Counting,
    known: &Known<'_>,
    now: Timestamp,
) -> Result<Tally, StoreError> {
    let edges = counting.window.edges(now);
    let currency = counting.currency.map(|currency| currency.to_string()).unwrap_or_default();
    let mut whole = Tally::default();
    for kind in applies_to.kinds() {
        let kind = kind.word();
        let part = match (counting.per, &known.activity.party) {
            (Scope::Workspace, _) => {
                let params = params![workspace, kind, edges.since, edges.minutes, edges.hours, edges.days, currency];
                reads.row(&sql::TALLY_OF_WORKSPACE, params, sql::tally).await?
            }
            (Scope::Party, Some(party)) => {
                reads.row(&sql::TALLY_OF_PARTY, params![workspace, party, kind, edges.since, currency], sql::tally).await?
            }
            (Scope::Party, None) => None,
        };
        let part = part.unwrap_or_default();
        whole.activities = whole.activities.saturating_add(part.activities);
        whole.amount_minor += part.amount_minor;
    }
    Ok(whole)
}

/// How many rules a workspace has.
pub(crate) async fn count_rules(reads: &mut impl Reads, workspace: WorkspaceId) -> Result<i64, StoreError> {
    Ok(reads.row(&sql::COUNT_RULES, params![workspace], sql::number).await?.unwrap_or_default())
}
