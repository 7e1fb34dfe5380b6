//! Members look after the rules. Each change waits for the decisions that run, so that none by the old rules follows its answer.

use kernel::WorkspaceId;
use serde_json::json;
use store::{Reads, StoreError, Tx, params};

use super::RULES_LOCK;
use crate::condition::WrittenCondition;
use crate::error::RiskError;
use crate::rule::{NewRule, RULES_MAX, Rule, RuleEdit, RuleId};
use crate::{grants, queries, sql};

async fn hold(tx: &mut Tx, workspace: WorkspaceId) -> Result<(), StoreError> {
    tx.lock(RULES_LOCK, &workspace.to_string()).await
}

fn written(terms: &NewRule) -> Result<String, StoreError> {
    serde_json::to_string(&WrittenCondition::from(&terms.condition)).map_err(StoreError::decode)
}

/// Makes a rule; it counts what was decided before it was made.
pub async fn add(tx: &mut Tx, terms: NewRule) -> Result<Rule, RiskError> {
    let workspace = tx.caller().may(grants::MANAGE)?;
    hold(tx, workspace).await?;
    if queries::count_rules(tx, workspace).await? >= RULES_MAX {
        return Err(RiskError::TooMany);
    }
    let (id, now, condition) = (tx.new_id::<RuleId>(), Reads::now(tx), written(&terms)?);
    let NewRule { name, priority, is_enabled, .. } = &terms;
    let (applies_to, outcome) = (terms.applies_to.word(), terms.outcome.word());
    tx.execute(&sql::INSERT_RULE, params![workspace, id, name, applies_to, condition, outcome, priority, is_enabled, now]).await?;
    let details = json!({ "version": 1, "condition": WrittenCondition::from(&terms.condition).kind, "outcome": outcome });
    outbox::audit(tx, workspace, "risk_rule.created", &id.to_string(), &details).await?;
    Ok(Rule { id, workspace, version: 1, terms, created_at: now, updated_at: now })
}

/// Changes a rule that the caller saw at `version`. A change that changes nothing is none: no version, no trail.
pub async fn change(tx: &mut Tx, id: RuleId, version: i64, edit: RuleEdit) -> Result<Rule, RiskError> {
    let workspace = tx.caller().may(grants::MANAGE)?;
    hold(tx, workspace).await?;
    let rule = queries::get_rule(tx, workspace, id).await?;
    if rule.version != version {
        return Err(RiskError::Stale { actual: rule.version });
    }
    let (terms, changed) = rule.edited(edit);
    if changed.is_empty() {
        return Ok(rule);
    }
    let (now, condition) = (Reads::now(tx), written(&terms)?);
    let NewRule { name, priority, is_enabled, .. } = &terms;
    let (applies_to, outcome) = (terms.applies_to.word(), terms.outcome.word());
    let params = params![workspace, id, version, name, applies_to, condition, outcome, priority, is_enabled, now];
    if tx.execute(&sql::UPDATE_RULE, params).await? == 0 {
        return Err(RiskError::Stale { actual: version + 1 });
    }
    let details = json!({ "version": version + 1, "changed": changed });
    outbox::audit(tx, workspace, "risk_rule.changed", &id.to_string(), &details).await?;
    Ok(Rule { version: version + 1, terms, updated_at: now, ..rule })
}

/// Deletes a rule. What was decided by it stays decided.
pub async fn delete(tx: &mut Tx, id: RuleId) -> Result<(), RiskError> {
    let workspace = tx.caller().may(grants::MANAGE)?;
    hold(tx, workspace).await?;
    if tx.execute(&sql::DELETE_RULE, params![workspace, id]).await? == 0 {
        return Err(RiskError::NotFound);
    }
    outbox::audit(tx, workspace, "risk_rule.deleted", &id.to_string(), &json!({})).await?;
    Ok(())
}
