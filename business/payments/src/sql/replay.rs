//! The statements of the command line: replays go through the history of all workspaces, and read the rows beside it as their
//! columns are written; a report is taken in for a provider that is named.
//!
//! Tables: `payments_events`, `payments_intents`, `payments_payouts`, `payments_references`, `payments_expected`,
//! `payments_providers`.

use store::{P, Param as _, Row, StoreError};

use crate::replay::Kept;

store::statements! {
    EVENTS_EVERYWHERE = "select workspace, subject, version, name, actor, recorded_at, body from payments_events
        where (workspace, subject, version) > ($1, $2, $3) order by workspace, subject, version limit $4";
    HISTORY_OF = "select workspace, subject, version, name, actor, recorded_at, body from payments_events
        where workspace = $1 and subject = $2 and version > $3 order by version limit $4";
    COUNT_INTENTS_EVERYWHERE = "select count(*) from payments_intents";
    COUNT_PAYOUTS_EVERYWHERE = "select count(*) from payments_payouts";
    COUNT_REFERENCES_EVERYWHERE = "select count(*) from payments_references";
    COUNT_EXPECTED_EVERYWHERE = "select count(*) from payments_expected";

    // SQLite goes through the list and looks each one up.
    INTENTS_OF = sqlite "select i.id, i.version, i.state, i.amount_minor, i.currency, i.customer, i.link, i.created_at, i.changed_at, i.body
        from rarray($2) k cross join payments_intents i on i.workspace = $1 and i.id = k.value"
      postgres "select id, version, state, amount_minor, currency, customer, link, created_at, changed_at, body
        from payments_intents where workspace = $1 and id = any($2)";
    PAYOUTS_OF = sqlite "select p.id, p.version, p.state, p.provider, p.beneficiary, p.amount_minor, p.currency, p.created_at, p.changed_at,
        p.body from rarray($2) k cross join payments_payouts p on p.workspace = $1 and p.id = k.value"
      postgres "select id, version, state, provider, beneficiary, amount_minor, currency, created_at, changed_at, body
        from payments_payouts where workspace = $1 and id = any($2)";
    REFERENCES_OF = sqlite "select r.provider, r.reference, r.owner, r.subject from rarray($3) k
        cross join payments_references r on r.workspace = $1 and r.provider = $2 and r.reference = k.value"
      postgres "select provider, reference, owner, subject from payments_references
        where workspace = $1 and provider = $2 and reference = any($3)";
    EXPECTED_OF = sqlite "select e.subject, e.attempt, e.owner, e.provider, e.kind, e.currency, e.amount_minor, e.expected_at
        from rarray($2) k cross join payments_expected e on e.workspace = $1 and e.subject = k.value"
      postgres "select subject, attempt, owner, provider, kind, currency, amount_minor, expected_at
        from payments_expected where workspace = $1 and subject = any($2)";

    PROVIDERS_CALLED_EVERYWHERE = "select workspace, id, name, dialect, base_url, settings, sealed, token, is_enabled,
        version, created_at, changed_at, former_sealed, former_until
        from payments_providers where (id = $1 or name = $1) and ($2 = '' or workspace = $2) order by workspace, id limit $3";

    // Rows one after the other, to find those that no event explains.
    NEXT_INTENTS_EVERYWHERE = "select workspace, id from payments_intents where (workspace, id) > ($1, $2) order by workspace, id limit $3";
    NEXT_PAYOUTS_EVERYWHERE = "select workspace, id from payments_payouts where (workspace, id) > ($1, $2) order by workspace, id limit $3";
    NEXT_REFERENCES_EVERYWHERE = "select workspace, provider, reference, owner from payments_references
        where (workspace, provider, reference) > ($1, $2, $3) order by workspace, provider, reference limit $4";
    NEXT_EXPECTED_EVERYWHERE = "select workspace, subject, owner from payments_expected
        where (workspace, subject) > ($1, $2) order by workspace, subject limit $3";
}

pub(crate) fn kept(row: &Row<'_>) -> Result<Kept, StoreError> {
    Ok(Kept {
        workspace: row.id("workspace")?,
        subject: row.get("subject")?,
        version: row.get("version")?,
        name: row.get("name")?,
        actor: row.get("actor")?,
        at: row.time("recorded_at")?,
        body: row.get("body")?,
    })
}

fn text(row: &Row<'_>, column: &'static str) -> Result<P<'static>, StoreError> {
    Ok(row.get::<Option<String>>(column)?.p().into_owned())
}

fn number(row: &Row<'_>, column: &'static str) -> Result<P<'static>, StoreError> {
    Ok(row.get::<Option<i64>>(column)?.p().into_owned())
}

/// The columns of `payments_intents` behind the workspace.
pub(crate) fn intent_columns(row: &Row<'_>) -> Result<Vec<P<'static>>, StoreError> {
    Ok(vec![
        text(row, "id")?,
        number(row, "version")?,
        text(row, "state")?,
        number(row, "amount_minor")?,
        text(row, "currency")?,
        text(row, "customer")?,
        text(row, "link")?,
        number(row, "created_at")?,
        number(row, "changed_at")?,
        text(row, "body")?,
    ])
}

/// The columns of `payments_payouts` behind the workspace.
pub(crate) fn payout_columns(row: &Row<'_>) -> Result<Vec<P<'static>>, StoreError> {
    Ok(vec![
        text(row, "id")?,
        number(row, "version")?,
        text(row, "state")?,
        text(row, "provider")?,
        text(row, "beneficiary")?,
        number(row, "amount_minor")?,
        text(row, "currency")?,
        number(row, "created_at")?,
        number(row, "changed_at")?,
        text(row, "body")?,
    ])
}

/// The columns of `payments_references` behind the workspace.
pub(crate) fn reference_columns(row: &Row<'_>) -> Result<Vec<P<'static>>, StoreError> {
    ["provider", "reference", "owner", "subject"].into_iter().map(|column| text(row, column)).collect()
}

/// The columns of `payments_expected` behind the workspace that follow from events; what a report matched is not among them.
pub(crate) fn expected_columns(row: &Row<'_>) -> Result<Vec<P<'static>>, StoreError> {
    Ok(vec![
        text(row, "subject")?,
        text(row, "attempt")?,
        text(row, "owner")?,
        text(row, "provider")?,
        text(row, "kind")?,
        text(row, "currency")?,
        number(row, "amount_minor")?,
        number(row, "expected_at")?,
    ])
}

/// The workspace and the identifier of an intent or a payout.
pub(crate) fn keys(row: &Row<'_>) -> Result<[String; 2], StoreError> {
    Ok([row.get(0)?, row.get(1)?])
}

/// The workspace, the subject and the owner of an expectation.
pub(crate) fn expected_keys(row: &Row<'_>) -> Result<[String; 3], StoreError> {
    Ok([row.get(0)?, row.get(1)?, row.get(2)?])
}

/// The workspace, the provider, the name and the owner of a reference.
pub(crate) fn reference_keys(row: &Row<'_>) -> Result<[String; 4], StoreError> {
    Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?])
}
