//! Every statement of intents, providers, references, webhooks, links and routes, and how their rows are read.
//!
//! Tables: `payments_providers`, `payments_intents`, `payments_events`, `payments_references`, `payments_payers`,
//! `payments_links`, `payments_routes`, `payments_webhooks`.

pub(crate) mod payout;
pub(crate) mod replay;
pub(crate) mod settlement;

use kernel::{Money, Timestamp, WorkspaceId};
use store::{P, Row, StoreError, row_params};

use crate::account::{ProviderRecord, Ties};
use crate::intent::{Event, Intent};
use crate::link::Link;
use crate::names::Name;
use crate::provider::Payer;
use crate::webhook::{Stored, WebhookRow};

store::statements! {
    INSERT_INTENT = "insert into payments_intents (workspace, id, version, state, amount_minor, currency, customer, link, created_at,
        changed_at, body) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    UPDATE_INTENT = "update payments_intents set version = $3, state = $4, changed_at = $5, body = $6
        where workspace = $1 and id = $2 and version = $7";
    FIND_INTENT = "select body from payments_intents where workspace = $1 and id = $2";
    FIND_INTENT_EVERYWHERE = "select workspace, body from payments_intents where id = $1";
    LIST_INTENTS = "select body from payments_intents where workspace = $1 and id < $2
        and ($3 = '' or state = $3) and ($4 = '' or customer = $4) and ($5 = '' or link = $5) order by id desc limit $6";
    INSERT_EVENT = "insert into payments_events (workspace, subject, version, name, actor, recorded_at, body) values ($1, $2, $3, $4, $5, $6, $7)";
    EVENTS_OF = "select version, name, actor, recorded_at, body from payments_events where workspace = $1 and subject = $2 and version > $3
        order by version limit $4";

    // Of two that a provider calls the same the older one keeps the name, whichever was told first: so the rows follow from the
    // events, whatever the order of units.
    INSERT_REFERENCE = "insert into payments_references (workspace, provider, reference, owner, subject) values ($1, $2, $3, $4, $5)
        on conflict (workspace, provider, reference) do update set owner = excluded.owner, subject = excluded.subject
        where excluded.owner < payments_references.owner";
    FIND_REFERENCE = "select owner, subject from payments_references where workspace = $1 and provider = $2 and reference = $3";

    KEEP_PAYER = "insert into payments_payers (workspace, intent, name, email, phone, created_at) values ($1, $2, $3, $4, $5, $6)
        on conflict (workspace, intent) do update set name = coalesce(excluded.name, payments_payers.name),
          email = coalesce(excluded.email, payments_payers.email), phone = coalesce(excluded.phone, payments_payers.phone)";
    FIND_PAYER = "select name, email, phone from payments_payers where workspace = $1 and intent = $2";
    ERASE_PAYERS = "delete from payments_payers where workspace = $1 and email = $2";

    INSERT_PROVIDER = "insert into payments_providers (workspace, id, name, dialect, base_url, settings, sealed, token, is_enabled, version,
        created_at, changed_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1, $10, $10) on conflict do nothing";
    UPDATE_PROVIDER = "update payments_providers set base_url = $4, settings = $5, sealed = $6, is_enabled = $7,
        version = version + 1, changed_at = $8, former_sealed = $9, former_until = $10 where workspace = $1 and id = $2 and version = $3";
    TIES_OF_PROVIDER = "select
        (select count(*) from (select 1 from payments_intents where workspace = $1
          and state in ('requires_action', 'processing', 'requires_capture', 'partially_captured')
          and body like '%' || $2 || '%' escape '\\' limit 1000) part),
        (select count(*) from (select 1 from payments_payouts where workspace = $1 and provider = $2
          and state in ('requested', 'risk_review', 'approved', 'funds_reserved', 'submitted', 'otp_required', 'pending', 'unknown')
          limit 1000) part),
        (select count(*) from (select 1 from payments_expected where workspace = $1 and provider = $2 and settlement is null
          limit 1000) part),
        (select count(*) from (select 1 from payments_references where workspace = $1 and provider = $2 limit 1000) part)";
    FIND_PROVIDER = "select workspace, id, name, dialect, base_url, settings, sealed, token, is_enabled, version, created_at, changed_at,
        former_sealed, former_until from payments_providers where workspace = $1 and id = $2";
    FIND_PROVIDER_EVERYWHERE = "select workspace, id, name, dialect, base_url, settings, sealed, token, is_enabled, version, created_at, changed_at,
        former_sealed, former_until from payments_providers where token = $1";
    LIST_PROVIDERS = "select workspace, id, name, dialect, base_url, settings, sealed, token, is_enabled, version, created_at, changed_at,
        former_sealed, former_until from payments_providers where workspace = $1 order by name limit 200";

    INSERT_LINK = "insert into payments_links (workspace, id, amount_minor, currency, description, credit_account, is_active, version,
        created_at, changed_at) values ($1, $2, $3, $4, $5, $6, true, 1, $7, $7)";
    SWITCH_LINK = "update payments_links set is_active = $3, version = version + 1, changed_at = $4 where workspace = $1 and id = $2";
    FIND_LINK_EVERYWHERE = "select workspace, id, amount_minor, currency, description, credit_account, is_active, version, created_at
        from payments_links where id = $1";
    LIST_LINKS = "select workspace, id, amount_minor, currency, description, credit_account, is_active, version, created_at
        from payments_links where workspace = $1 and id < $2 order by id desc limit $3";

    FIND_ROUTES = "select version, rules from payments_routes where workspace = $1";
    KEEP_ROUTES = "insert into payments_routes (workspace, version, rules, changed_at) values ($1, $2 + 1, $3, $4)
        on conflict (workspace) do update set version = payments_routes.version + 1, rules = excluded.rules, changed_at = excluded.changed_at
        where payments_routes.version = $2";

    INSERT_WEBHOOK = "insert into payments_webhooks (workspace, id, provider, digest, received_at, headers, body, trust, state, times)
        values ($1, $2, $3, $4, $5, $6, $7, $8, 'received', 1) on conflict (workspace, provider, digest) do nothing";
    COUNT_WEBHOOK = "update payments_webhooks set times = times + 1 where workspace = $1 and provider = $2 and digest = $3";
    FIND_WEBHOOK_ID = "select id from payments_webhooks where workspace = $1 and provider = $2 and digest = $3";
    FIND_WEBHOOK = "select id, provider, headers, body, trust, state, note, times, received_at, settled_at from payments_webhooks
        where workspace = $1 and id = $2";
    LIST_WEBHOOKS = "select id, provider, headers, body, trust, state, note, times, received_at, settled_at from payments_webhooks
        where workspace = $1 and id < $2 and ($3 = '' or state = $3) order by id desc limit $4";
    SETTLE_WEBHOOK = "update payments_webhooks set state = $3, note = $4, settled_at = $5 where workspace = $1 and id = $2";
    SWEEP_WEBHOOKS_EVERYWHERE = "delete from payments_webhooks where (workspace, id) in
        (select workspace, id from payments_webhooks where received_at < $1 order by received_at limit 500)";
}

pub(crate) fn intent(row: &Row<'_>) -> Result<Intent, StoreError> {
    row.json("body")
}

/// The row of an intent, as `INSERT_INTENT` takes it.
pub(crate) fn intent_row(workspace: WorkspaceId, intent: &Intent) -> Result<Vec<P<'static>>, StoreError> {
    let (state, currency) = (intent.state(), intent.amount.currency.to_string());
    let link = intent.link.map(|link| link.to_string());
    let body = serde_json::to_string(intent).map_err(StoreError::decode)?;
    Ok(row_params![
        workspace,
        intent.id,
        intent.version,
        state.as_str(),
        intent.amount.amount_minor,
        currency,
        intent.customer,
        link,
        intent.created_at,
        intent.changed_at,
        body
    ])
}

/// The row of an event, as `INSERT_EVENT` takes it; `subject` is the intent or payout.
pub(crate) fn event_row(
    workspace: WorkspaceId,
    subject: &str,
    version: i64,
    name: &str,
    actor: &str,
    at: Timestamp,
    body: &str,
) -> Vec<P<'static>> {
    row_params![workspace, subject, version, name, actor, at, body]
}

/// The row of a name, as `INSERT_REFERENCE` takes it; `owner` is the intent or payout.
pub(crate) fn reference_row(workspace: WorkspaceId, owner: &str, name: &Name) -> Vec<P<'static>> {
    row_params![workspace, name.provider, name.reference, owner, name.subject]
}

/// An event of an intent, or of a payout, as it stands in the history.
#[derive(Debug, Clone)]
pub struct Recorded<E = Event> {
    /// Which one, from 1.
    pub version: i64,
    /// What happened.
    pub event: E,
    /// Who asked for it: an identifier or a reason, never a name.
    pub actor: String,
    /// When.
    pub at: Timestamp,
}

pub(crate) fn recorded(row: &Row<'_>) -> Result<Recorded, StoreError> {
    Ok(Recorded { version: row.get("version")?, event: row.json("body")?, actor: row.get("actor")?, at: row.time("recorded_at")? })
}

pub(crate) fn reference(row: &Row<'_>) -> Result<(String, String), StoreError> {
    Ok((row.get("owner")?, row.get("subject")?))
}

pub(crate) fn payer(row: &Row<'_>) -> Result<Payer, StoreError> {
    Ok(Payer { name: row.get("name")?, email: row.get("email")?, phone: row.get("phone")? })
}

pub(crate) fn provider(row: &Row<'_>) -> Result<ProviderRecord, StoreError> {
    Ok(ProviderRecord {
        workspace: row.id("workspace")?,
        id: row.id("id")?,
        name: row.get("name")?,
        dialect: row.parsed("dialect")?,
        base_url: row.get("base_url")?,
        settings: row.json("settings")?,
        sealed: row.get("sealed")?,
        token: row.get("token")?,
        former: row.get::<Option<Vec<u8>>>("former_sealed")?.zip(row.opt_time("former_until")?),
        is_enabled: row.get("is_enabled")?,
        version: row.get("version")?,
        created_at: row.time("created_at")?,
        changed_at: row.time("changed_at")?,
    })
}

pub(crate) fn ties(row: &Row<'_>) -> Result<Ties, StoreError> {
    Ok(Ties { payments: row.get(0)?, payouts: row.get(1)?, unsettled: row.get(2)?, known: row.get(3)? })
}

pub(crate) fn link(row: &Row<'_>) -> Result<Link, StoreError> {
    let currency = kernel::Currency::parse(&row.get::<String>("currency")?).map_err(StoreError::decode)?;
    Ok(Link {
        workspace: row.id("workspace")?,
        id: row.id("id")?,
        amount: row.get::<Option<i64>>("amount_minor")?.map(|amount_minor| Money::new(amount_minor, currency)),
        currency,
        description: row.get("description")?,
        credit_account: row.get("credit_account")?,
        is_active: row.get("is_active")?,
        version: row.get("version")?,
        created_at: row.time("created_at")?,
    })
}

pub(crate) fn webhook(row: &Row<'_>) -> Result<WebhookRow, StoreError> {
    Ok(WebhookRow {
        id: row.id("id")?,
        provider: row.id("provider")?,
        stored: Stored { headers: row.json("headers")?, body: row.get("body")? },
        trust: row.get("trust")?,
        state: row.get("state")?,
        note: row.get("note")?,
        times: row.get("times")?,
        received_at: row.time("received_at")?,
        settled_at: row.opt_time("settled_at")?,
    })
}
