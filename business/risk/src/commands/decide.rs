//! The decision before money moves.

use std::collections::BTreeSet;

use kernel::{Money, Timestamp, WorkspaceId};
use store::{Reads, StoreError, Tx, params};

use super::RULES_LOCK;
use crate::activity::{Activity, Known};
use crate::condition::{Counted, Scope};
use crate::error::RiskError;
use crate::rule::{Outcome, Rule};
use crate::verdict::{Decision, DecisionId, Verdict};
use crate::window::{GRAINS_S, bucket};
use crate::{queries, sql};

/// Those who must not be decided at the same time: the same subject, and what shares a limit over time.
const ONE_AFTER_THE_OTHER: &str = "risk";
/// How many rows one count of a workspace is spread over.
const LANES: u64 = 16;

/// Decides about `activity` in the caller's unit of work, records the decision, and counts what is allowed or held for the
/// limits over time; what is blocked is not counted, so that trying again does not lengthen a limit. What is let through takes
/// the place of the earlier activities of the same thing, which count once with it. A repetition of the same subject, at any
/// time, answers what was decided first; with another amount or party it is refused.
///
/// Locks the subject, and the party or the workspace where a limit is over theirs, until the unit ends. A caller that
/// decides about several activities in one unit takes them in the order of their ids.
pub async fn decide(tx: &mut Tx, workspace: WorkspaceId, activity: &Activity) -> Result<Verdict, RiskError> {
    let known = activity.check().map_err(|fields| RiskError::Invalid { fields })?;
    tx.lock_shared(RULES_LOCK, &workspace.to_string()).await?;
    let rules = queries::rules_for(tx, workspace, activity.kind).await?;
    for key in locks(workspace, &known, &rules) {
        tx.lock(ONE_AFTER_THE_OTHER, &key).await?;
    }
    if let Some(decided) = queries::find_decision(tx, workspace, activity.kind, &activity.id).await? {
        return same_subject(decided, activity);
    }
    let counted = queries::counted(tx, workspace, activity).await?;
    let verdict = ask(tx, workspace, &known, counted.as_ref(), &rules).await?;
    record(tx, workspace, &known, counted.as_ref(), &verdict).await?;
    Ok(verdict)
}

/// What is locked, each once and in the order of the keys.
fn locks(workspace: WorkspaceId, known: &Known<'_>, rules: &[Rule]) -> BTreeSet<String> {
    let Activity { kind, id, party, .. } = known.activity;
    let of_limits = rules.iter().filter_map(|rule| match (rule.terms.condition.counting(known)?.per, party) {
        (Scope::Party, Some(party)) => Some(format!("{workspace}:party:{party}")),
        (Scope::Party, None) => None,
        (Scope::Workspace, _) => Some(format!("{workspace}:whole")),
    });
    of_limits.chain([format!("{workspace}:{}:{id}", kind.word())]).collect()
}

fn same_subject(decided: Decision, activity: &Activity) -> Result<Verdict, RiskError> {
    let what = match () {
        () if decided.amount != activity.amount => "amount",
        () if decided.party != activity.party => "party",
        () => return Ok(decided.verdict),
    };
    Err(RiskError::OtherSubject { what })
}

/// Asks one rule after the other; the first that fires decides.
async fn ask(
    tx: &mut Tx,
    workspace: WorkspaceId,
    known: &Known<'_>,
    counted: Option<&Counted>,
    rules: &[Rule],
) -> Result<Verdict, StoreError> {
    let now = tx.now();
    for rule in rules {
        let terms = &rule.terms;
        let before = match terms.condition.counting(known) {
            Some(counting) => {
                let before = queries::tally(tx, workspace, terms.applies_to, counting, known, now).await?;
                Some(counted.map_or(before, |counted| before.without(counted, counting, known, now)))
            }
            None => None,
        };
        if let Some(why) = terms.condition.fires(known, before, now) {
            let (rule, reason) = (rule.id, format!("{}: {why}", terms.name));
            return Ok(match terms.outcome {
                Outcome::Hold => Verdict::Hold { rule, reason },
                Outcome::Block => Verdict::Block { rule, reason },
            });
        }
    }
    Ok(Verdict::Allow)
}

async fn record(
    tx: &mut Tx,
    workspace: WorkspaceId,
    known: &Known<'_>,
    counted: Option<&Counted>,
    verdict: &Verdict,
) -> Result<(), StoreError> {
    let Activity { kind, id: subject, amount, party, method, provider, .. } = known.activity;
    let (id, now) = (tx.new_id::<DecisionId>(), Reads::now(tx));
    let (kind, currency, amount) = (kind.word(), amount.currency.to_string(), amount.amount_minor);
    let country = known.country.map(|country| country.to_string());
    let (word, rule, reason) = (verdict.word().word(), verdict.rule().map(|(rule, _)| rule), verdict.rule().map(|(_, reason)| reason));
    tx.execute_later(
        &sql::INSERT_DECISION,
        params![workspace, id, kind, subject, currency, amount, party, country, method, provider, word, rule, reason, now],
    )
    .await?;
    if matches!(verdict, Verdict::Block { .. }) {
        return Ok(());
    }
    tx.execute_later(&sql::INSERT_ACTIVITY, params![workspace, id, kind, party, currency, amount, now]).await?;
    if let Some(Counted { decision, amount, at, .. }) = counted {
        tx.execute_later(&sql::UNCOUNT, params![workspace, *decision]).await?;
        count(tx, workspace, kind, *decision, *amount, *at, -1).await?;
    }
    count(tx, workspace, kind, id, known.activity.amount, now, 1).await
}

/// Counts an activity for the workspace as a whole, or takes it back (`times` is 1 or -1).
async fn count(
    tx: &mut Tx,
    workspace: WorkspaceId,
    kind: &str,
    id: DecisionId,
    amount: Money,
    at: Timestamp,
    times: i64,
) -> Result<(), StoreError> {
    // The last bits of an identifier are random.
    let lane = (kernel::Id::raw(id).bits() as u64 % LANES).cast_signed();
    let (high, low) = (times * (amount.amount_minor / sql::HIGH), times * (amount.amount_minor % sql::HIGH));
    let currency = amount.currency.to_string();
    for grain_s in GRAINS_S {
        let bucket = bucket(at, grain_s);
        tx.execute_later(&sql::ADD_TO_COUNTER, params![workspace, kind, grain_s, bucket, currency, lane, times, high, low]).await?;
    }
    Ok(())
}
