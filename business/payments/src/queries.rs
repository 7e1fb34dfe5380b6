//! Looking payments up.

pub(crate) mod replay;
pub mod settlement;

mod payout;

use kernel::WorkspaceId;
use store::{Reads, StoreError, params};

use crate::account::{ProviderRecord, Ties};
use crate::error::PaymentError;
use crate::intent::{Intent, IntentId, LinkId};
use crate::link::Link;
use crate::provider::{Payer, ProviderId};
use crate::sql::{self, Recorded};
use crate::webhook::{WebhookId, WebhookRow};

pub use payout::{
    beneficiaries, beneficiary, find_beneficiary, find_payout, float, floats, last_float_check, payout, payout_history, payout_settings,
    payouts, waiting_payouts,
};
pub use replay::providers_called_everywhere;

/// Sorts behind every identifier of its kind.
const LAST: &str = "~";

/// Which intents are looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// In this state.
    pub state: Option<crate::IntentState>,
    /// Of this customer.
    pub customer: Option<String>,
    /// From this link.
    pub link: Option<LinkId>,
}

/// An intent, if it is there.
pub async fn find(reads: &mut impl Reads, workspace: WorkspaceId, id: IntentId) -> Result<Option<Intent>, StoreError> {
    reads.row(&sql::FIND_INTENT, params![&workspace, &id], sql::intent).await
}

/// An intent.
pub async fn get(reads: &mut impl Reads, workspace: WorkspaceId, id: IntentId) -> Result<Intent, PaymentError> {
    find(reads, workspace, id).await?.ok_or(PaymentError::NotFound { what: "payment" })
}

/// The intent of this identifier and whose it is: a payer who comes back from a provider's page knows no workspace.
pub async fn intent_everywhere(reads: &mut impl Reads, id: IntentId) -> Result<Option<(WorkspaceId, Intent)>, StoreError> {
    reads.row(&sql::FIND_INTENT_EVERYWHERE, params![&id], |row| Ok((row.id("workspace")?, sql::intent(row)?))).await
}

/// Intents, the newest first, older than `before`.
pub async fn list(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    filter: &Filter,
    before: Option<IntentId>,
    limit: i64,
) -> Result<Vec<Intent>, StoreError> {
    let before = before.map_or_else(|| LAST.to_owned(), |id| id.to_string());
    let state = filter.state.map_or("", crate::IntentState::as_str);
    let customer = filter.customer.as_deref().unwrap_or_default();
    let link = filter.link.map(|link| link.to_string()).unwrap_or_default();
    reads.rows(&sql::LIST_INTENTS, params![&workspace, &before, state, customer, &link, limit], sql::intent).await
}

/// The history of an intent behind version `after`, the oldest first.
pub async fn history(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    id: IntentId,
    after: i64,
    limit: i64,
) -> Result<Vec<Recorded>, StoreError> {
    reads.rows(&sql::EVENTS_OF, params![&workspace, &id, after, limit], sql::recorded).await
}

/// What the payer of an intent told us.
pub async fn payer(reads: &mut impl Reads, workspace: WorkspaceId, id: IntentId) -> Result<Payer, StoreError> {
    Ok(reads.row(&sql::FIND_PAYER, params![&workspace, &id], sql::payer).await?.unwrap_or_default())
}

/// The thing that a provider (or, without one, we) call by this name: its owner, an intent or a payout, and itself.
pub async fn by_reference(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    provider: Option<ProviderId>,
    reference: &str,
) -> Result<Option<(String, String)>, StoreError> {
    let provider = provider.map(|id| id.to_string()).unwrap_or_default();
    reads.row(&sql::FIND_REFERENCE, params![&workspace, &provider, reference], sql::reference).await
}

/// A provider, if it is there.
pub async fn find_provider(reads: &mut impl Reads, workspace: WorkspaceId, id: ProviderId) -> Result<Option<ProviderRecord>, StoreError> {
    reads.row(&sql::FIND_PROVIDER, params![&workspace, &id], sql::provider).await
}

/// A provider.
pub async fn provider(reads: &mut impl Reads, workspace: WorkspaceId, id: ProviderId) -> Result<ProviderRecord, PaymentError> {
    find_provider(reads, workspace, id).await?.ok_or(PaymentError::NotFound { what: "provider" })
}

/// What ties a provider to the account that it is with.
pub(crate) async fn ties(reads: &mut impl Reads, workspace: WorkspaceId, id: ProviderId) -> Result<Ties, StoreError> {
    let id = id.to_string();
    Ok(reads.row(&sql::TIES_OF_PROVIDER, params![&workspace, &id], sql::ties).await?.unwrap_or_default())
}

/// All providers of a workspace, by name.
pub async fn providers(reads: &mut impl Reads, workspace: WorkspaceId) -> Result<Vec<ProviderRecord>, StoreError> {
    reads.rows(&sql::LIST_PROVIDERS, params![&workspace], sql::provider).await
}

/// Whose webhook address ends in `token`: nobody knows the workspace before that.
pub async fn provider_of_token_everywhere(reads: &mut impl Reads, token: &str) -> Result<Option<ProviderRecord>, StoreError> {
    reads.row(&sql::FIND_PROVIDER_EVERYWHERE, params![token], sql::provider).await
}

/// The link of this identifier: who opens it knows no workspace.
pub async fn link_everywhere(reads: &mut impl Reads, id: LinkId) -> Result<Option<Link>, StoreError> {
    reads.row(&sql::FIND_LINK_EVERYWHERE, params![&id], sql::link).await
}

/// Links, the newest first, older than `before`.
pub async fn links(reads: &mut impl Reads, workspace: WorkspaceId, before: Option<LinkId>, limit: i64) -> Result<Vec<Link>, StoreError> {
    let before = before.map_or_else(|| LAST.to_owned(), |id| id.to_string());
    reads.rows(&sql::LIST_LINKS, params![&workspace, &before, limit], sql::link).await
}

/// The routes of a workspace as JSON, with their version; none were set at version 0.
pub async fn routes(reads: &mut impl Reads, workspace: WorkspaceId) -> Result<(i64, serde_json::Value), StoreError> {
    let found = reads.row(&sql::FIND_ROUTES, params![&workspace], |row| Ok((row.get("version")?, row.json("rules")?))).await?;
    Ok(found.unwrap_or((0, serde_json::Value::Array(Vec::new()))))
}

/// A webhook, if it is kept.
pub async fn webhook(reads: &mut impl Reads, workspace: WorkspaceId, id: WebhookId) -> Result<Option<WebhookRow>, StoreError> {
    reads.row(&sql::FIND_WEBHOOK, params![&workspace, &id], sql::webhook).await
}

/// Webhooks, the newest first, older than `before`; `state` is one of [`WebhookRow::state`] or empty.
pub async fn webhooks(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    state: &str,
    before: Option<WebhookId>,
    limit: i64,
) -> Result<Vec<WebhookRow>, StoreError> {
    let before = before.map_or_else(|| LAST.to_owned(), |id| id.to_string());
    reads.rows(&sql::LIST_WEBHOOKS, params![&workspace, &before, state, limit], sql::webhook).await
}
