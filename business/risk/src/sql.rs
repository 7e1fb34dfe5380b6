//! Every statement of risk, and how its rows are read.
//!
//! Tables: `risk_rules`, `risk_decisions`, `risk_activities`, `risk_counters`.

use kernel::{Currency, FieldFault, Money};
use store::{Row, StoreError};

use crate::condition::{Counted, Tally, WrittenCondition};
use crate::rule::{NewRule, Outcome, Rule};
use crate::verdict::{Decision, Verdict, VerdictWord};

store::statements! {
    INSERT_RULE = "insert into risk_rules (workspace, id, version, name, applies_to, condition, outcome, priority, is_enabled, created_at, updated_at)
        values ($1, $2, 1, $3, $4, $5, $6, $7, $8, $9, $9)";
    UPDATE_RULE = "update risk_rules set version = version + 1, name = $4, applies_to = $5, condition = $6, outcome = $7, priority = $8,
        is_enabled = $9, updated_at = $10 where workspace = $1 and id = $2 and version = $3";
    DELETE_RULE = "delete from risk_rules where workspace = $1 and id = $2";
    FIND_RULE = "select id, workspace, version, name, applies_to, condition, outcome, priority, is_enabled, created_at, updated_at
        from risk_rules where workspace = $1 and id = $2";
    LIST_RULES = "select id, workspace, version, name, applies_to, condition, outcome, priority, is_enabled, created_at, updated_at
        from risk_rules where workspace = $1 and id > $2 order by id limit $3";
    COUNT_RULES = "select count(*) from risk_rules where workspace = $1";

    INSERT_DECISION = "insert into risk_decisions (workspace, id, kind, activity, currency, amount_minor, party, country, method, provider,
        verdict, rule, reason, decided_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
    FIND_DECISION = "select id, kind, activity, currency, amount_minor, party, country, method, provider, verdict, rule, reason, decided_at
        from risk_decisions where workspace = $1 and activity = $2 and kind = $3";
    LIST_DECISIONS = "select id, kind, activity, currency, amount_minor, party, country, method, provider, verdict, rule, reason, decided_at
        from risk_decisions where workspace = $1 and id < $2 order by id desc limit $3";
    LIST_DECISIONS_OF_VERDICT = "select id, kind, activity, currency, amount_minor, party, country, method, provider, verdict, rule, reason,
        decided_at from risk_decisions where workspace = $1 and verdict = $4 and id < $2 order by id desc limit $3";
    LIST_DECISIONS_OF_ACTIVITY = "select id, kind, activity, currency, amount_minor, party, country, method, provider, verdict, rule, reason,
        decided_at from risk_decisions where workspace = $1 and activity = $4 and id < $2 and ($5 = '' or verdict = $5) order by id desc limit $3";

    INSERT_ACTIVITY = "insert into risk_activities (workspace, decision, kind, party, currency, amount_minor, occurred_at)
        values ($1, $2, $3, $4, $5, $6, $7)";
    ADD_TO_COUNTER = "insert into risk_counters (workspace, kind, grain_s, starts_at, currency, lane, activities, amount_high, amount_low)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        on conflict (workspace, kind, grain_s, starts_at, currency, lane) do update set
        activities = risk_counters.activities + excluded.activities,
        amount_high = risk_counters.amount_high + excluded.amount_high, amount_low = risk_counters.amount_low + excluded.amount_low";
    FIND_COUNTED = "select a.decision, a.party, a.currency, a.amount_minor, a.occurred_at from risk_decisions d
        join risk_activities a on a.workspace = d.workspace and a.decision = d.id
        where d.workspace = $1 and d.activity = $2 and d.kind = $3";
    UNCOUNT = "delete from risk_activities where workspace = $1 and decision = $2";
    TALLY_OF_PARTY = "select count(*), coalesce(cast(sum(amount_minor / 4294967296) as bigint), 0),
        coalesce(cast(sum(amount_minor % 4294967296) as bigint), 0)
        from risk_activities where workspace = $1 and party = $2 and kind = $3 and occurred_at > $4 and ($5 = '' or currency = $5)";
    TALLY_OF_WORKSPACE = "select cast(coalesce(sum(activities), 0) as bigint), cast(coalesce(sum(high), 0) as bigint),
        cast(coalesce(sum(low), 0) as bigint) from (
            select cast(count(*) as bigint) as activities, cast(sum(amount_minor / 4294967296) as bigint) as high,
                cast(sum(amount_minor % 4294967296) as bigint) as low from risk_activities
                where workspace = $1 and kind = $2 and occurred_at > $3 and occurred_at < $4 and ($7 = '' or currency = $7)
            union all select cast(sum(activities) as bigint), cast(sum(amount_high) as bigint), cast(sum(amount_low) as bigint) from risk_counters
                where workspace = $1 and kind = $2 and grain_s = 60 and starts_at >= $4 and starts_at < $5 and ($7 = '' or currency = $7)
            union all select cast(sum(activities) as bigint), cast(sum(amount_high) as bigint), cast(sum(amount_low) as bigint) from risk_counters
                where workspace = $1 and kind = $2 and grain_s = 3600 and starts_at >= $5 and starts_at < $6 and ($7 = '' or currency = $7)
            union all select cast(sum(activities) as bigint), cast(sum(amount_high) as bigint), cast(sum(amount_low) as bigint) from risk_counters
                where workspace = $1 and kind = $2 and grain_s = 86400 and starts_at >= $6 and ($7 = '' or currency = $7)
        ) parts";

    SWEEP_ACTIVITIES_EVERYWHERE = "delete from risk_activities where (workspace, decision) in
        (select workspace, decision from risk_activities where occurred_at < $1 order by occurred_at limit $2)";
    SWEEP_COUNTERS_EVERYWHERE = "delete from risk_counters where (workspace, kind, grain_s, starts_at, currency, lane) in
        (select workspace, kind, grain_s, starts_at, currency, lane from risk_counters where starts_at < $1 order by starts_at limit $2)";
}

/// Two to the 32nd: what the high part of an amount counts.
pub(crate) const HIGH: i64 = 1 << 32;

/// A rule whose condition this release cannot read.
#[derive(Debug, thiserror::Error)]
#[error("the condition of a rule cannot be read: {0:?}")]
struct Unreadable(Vec<FieldFault>);

pub(crate) fn rule(row: &Row<'_>) -> Result<Rule, StoreError> {
    let mut faults = Vec::new();
    let condition = row.json::<WrittenCondition>("condition")?.parse(&mut faults).ok_or_else(|| StoreError::decode(Unreadable(faults)))?;
    Ok(Rule {
        id: row.id("id")?,
        workspace: row.id("workspace")?,
        version: row.get("version")?,
        terms: NewRule {
            name: row.get("name")?,
            applies_to: row.parsed("applies_to")?,
            condition,
            outcome: row.parsed::<Outcome>("outcome")?,
            priority: row.get("priority")?,
            is_enabled: row.get("is_enabled")?,
        },
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}

pub(crate) fn decision(row: &Row<'_>) -> Result<Decision, StoreError> {
    let currency = Currency::parse(&row.get::<String>("currency")?).map_err(StoreError::decode)?;
    let reason = || Ok::<_, StoreError>(row.get::<Option<String>>("reason")?.unwrap_or_default());
    let verdict = match row.parsed::<VerdictWord>("verdict")? {
        VerdictWord::Allow => Verdict::Allow,
        VerdictWord::Hold => Verdict::Hold { rule: row.id("rule")?, reason: reason()? },
        VerdictWord::Block => Verdict::Block { rule: row.id("rule")?, reason: reason()? },
    };
    Ok(Decision {
        id: row.id("id")?,
        kind: row.parsed("kind")?,
        activity: row.get("activity")?,
        amount: Money::new(row.get("amount_minor")?, currency),
        party: row.get("party")?,
        country: row.get("country")?,
        method: row.get("method")?,
        provider: row.get("provider")?,
        verdict,
        decided_at: row.time("decided_at")?,
    })
}

pub(crate) fn counted(row: &Row<'_>) -> Result<Counted, StoreError> {
    let currency = Currency::parse(&row.get::<String>("currency")?).map_err(StoreError::decode)?;
    Ok(Counted {
        decision: row.id("decision")?,
        party: row.get("party")?,
        amount: Money::new(row.get("amount_minor")?, currency),
        at: row.time("occurred_at")?,
    })
}

pub(crate) fn tally(row: &Row<'_>) -> Result<Tally, StoreError> {
    let (high, low): (i64, i64) = (row.get(1)?, row.get(2)?);
    Ok(Tally { activities: row.get(0)?, amount_minor: i128::from(high) * i128::from(HIGH) + i128::from(low) })
}

pub(crate) fn number(row: &Row<'_>) -> Result<i64, StoreError> {
    row.get(0)
}
