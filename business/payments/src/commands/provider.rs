//! Accounts with providers, and which payment goes to which.

use base64::Engine as _;
use gateway::AllowedNetworks;
use serde_json::{Value, json};
use store::{Tx, params};

use crate::account::{FORMER_SECRETS_FOR, ProviderRecord, misplaced, parse_base_url, parse_name};
use crate::error::PaymentError;
use crate::jobs::settlement::{self, SettleDaily};
use crate::provider::{Dialect, ProviderId};
use crate::{grants, queries, sql};

/// Bytes of a provider's settings, and of its secrets.
const SETTINGS_BYTES_MAX: usize = 8_192;

/// Providers of one workspace.
pub const PROVIDERS_MAX: usize = 50;

/// A provider that is added.
#[derive(Debug, Clone, PartialEq)]
pub struct NewProvider {
    /// Its name among the workspace's providers; it stays.
    pub name: String,
    /// What it speaks; it stays.
    pub dialect: Dialect,
    /// Where it is reached.
    pub base_url: String,
    /// What is not secret.
    pub settings: Value,
    /// The secrets: sealed outside of the unit, as [`NewProvider::seal`] does.
    pub sealed: Vec<u8>,
    /// Its identifier, for which the secrets were sealed.
    pub id: ProviderId,
    /// The part of the webhook address that only the provider knows; made up unless it is given, as for the demonstration.
    pub token: Option<String>,
}

/// What of a provider changes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProviderEdit {
    /// Where it is reached.
    pub base_url: Option<String>,
    /// What is not secret, all of it.
    pub settings: Option<Value>,
    /// The secrets, all of them, sealed.
    pub sealed: Option<Vec<u8>>,
    /// Whether new payments may go there.
    pub is_enabled: Option<bool>,
}

/// Seals a provider's secrets for its identifier.
pub fn seal(vault: &store::Vault, id: ProviderId, secrets: &Value) -> Result<Vec<u8>, PaymentError> {
    let text = object("secrets", secrets)?;
    Ok(vault.seal(text.as_bytes(), &id.to_string()))
}

fn object(field: &str, value: &Value) -> Result<String, PaymentError> {
    let text = value.to_string();
    if !value.is_object() || text.len() > SETTINGS_BYTES_MAX {
        return Err(PaymentError::field(field, "must be a JSON object of at most 8,192 bytes"));
    }
    Ok(text)
}

/// Refuses addresses that nobody may connect to, in words for whoever enters them; the way out judges each connection anew.
pub fn check_addresses(allowed: &AllowedNetworks, base_url: Option<&str>, settings: Option<&Value>) -> Result<(), PaymentError> {
    let fields = misplaced(allowed, base_url, settings);
    if fields.is_empty() { Ok(()) } else { Err(PaymentError::Invalid { fields }) }
}

/// Adds a provider. Its addresses were judged at the door, by [`check_addresses`].
pub async fn add_provider(tx: &mut Tx, new: NewProvider) -> Result<ProviderRecord, PaymentError> {
    let workspace = tx.caller().may(grants::MANAGE)?;
    let added = add_provider_in(tx, workspace, new).await?;
    // Its reports are fetched a few hours after each day's end, when the provider has them.
    let until = kernel::Timestamp::from_seconds((tx.now().day() + 1) * 86_400);
    let daily = SettleDaily { provider: added.id, until };
    outbox::enqueue_at(tx, workspace, settlement::due(until), &daily).await?;
    Ok(added)
}

/// The same for the demonstration, whose reports nobody fetches: what is at rest has no timers.
pub async fn add_provider_in(tx: &mut Tx, workspace: kernel::WorkspaceId, new: NewProvider) -> Result<ProviderRecord, PaymentError> {
    let name = parse_name(&new.name).map_err(|message| PaymentError::field("name", message))?;
    let base_url = parse_base_url(&new.base_url).map_err(|message| PaymentError::field("base_url", message))?;
    let settings = object("settings", &new.settings)?;
    if queries::providers(tx, workspace).await?.len() >= PROVIDERS_MAX {
        return Err(PaymentError::field("name", format!("must wait: a workspace has at most {PROVIDERS_MAX} providers")));
    }
    let token = new.token.unwrap_or_else(|| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(tx.entropy().bytes::<24>()));
    let now = tx.now();
    let dialect = new.dialect.as_str();
    let added = tx
        .execute(
            &sql::INSERT_PROVIDER,
            params![&workspace, &new.id, &name, dialect, &base_url, &settings, new.sealed.as_slice(), &token, true, now],
        )
        .await?;
    if added == 0 {
        return Err(PaymentError::NameTaken);
    }
    outbox::audit(tx, workspace, "payments.provider_added", &new.id.to_string(), &json!({ "name": name, "dialect": dialect })).await?;
    queries::provider(tx, workspace, new.id).await
}

/// Changes a provider that was seen at `version`. Once something was begun there it stays with its account: a refund or a
/// question would go to another one. Its secrets may change at any time; webhooks may be signed with the former ones for a day.
/// One that is not enabled takes no new payment, and what was begun goes on.
pub async fn edit_provider(tx: &mut Tx, id: ProviderId, version: i64, edit: ProviderEdit) -> Result<ProviderRecord, PaymentError> {
    let workspace = tx.caller().may(grants::MANAGE)?;
    let known = queries::provider(tx, workspace, id).await?;
    let base_url = edit.base_url.as_deref().map(parse_base_url).transpose();
    let base_url = base_url.map_err(|message| PaymentError::field("base_url", message))?.unwrap_or_else(|| known.base_url.clone());
    // Secrets go where the address says: who may change it must know them, or they would be sent to wherever they like.
    if base_url != known.base_url && edit.sealed.is_none() {
        return Err(PaymentError::field("secrets", "must be given again where base_url changes: they are sent to that address"));
    }
    let settings = edit.settings.as_ref().unwrap_or(&known.settings);
    let (moved, settings) = (known.moved_by(&base_url, settings), object("settings", settings)?);
    let (is_enabled, now) = (edit.is_enabled.unwrap_or(known.is_enabled), tx.now());
    let has_new_secrets = edit.sealed.is_some();
    let (sealed, former) = match edit.sealed {
        Some(sealed) => (sealed, Some((known.sealed, now.plus(FORMER_SECRETS_FOR)))),
        None => (known.sealed, known.former),
    };
    let (former_sealed, former_until) = former.unzip();
    let (sealed, former_sealed) = (sealed.as_slice(), former_sealed.as_deref());
    let changed = tx
        .execute(
            &sql::UPDATE_PROVIDER,
            params![&workspace, &id, version, &base_url, &settings, sealed, is_enabled, now, former_sealed, former_until],
        )
        .await?;
    if changed == 0 {
        return Err(PaymentError::Stale);
    }
    if !moved.is_empty() {
        let ties = queries::ties(tx, workspace, id).await?;
        if ties.are_there() {
            return Err(PaymentError::ProviderTied { moved, ties });
        }
    }
    let what = json!({ "base_url": base_url, "is_enabled": is_enabled, "new_secrets": has_new_secrets });
    outbox::audit(tx, workspace, "payments.provider_changed", &id.to_string(), &what).await?;
    queries::provider(tx, workspace, id).await
}

/// Sets which payment goes to which provider, seen at `version` (0 where none were set). The rules were read at the door.
pub async fn set_routes(tx: &mut Tx, version: i64, rules: &Value) -> Result<i64, PaymentError> {
    let workspace = tx.caller().may(grants::MANAGE)?;
    let (now, rules) = (tx.now(), rules.to_string());
    if tx.execute(&sql::KEEP_ROUTES, params![&workspace, version, &rules, now]).await? == 0 {
        return Err(PaymentError::Stale);
    }
    outbox::audit(tx, workspace, "payments.routes_set", &workspace.to_string(), &json!({ "version": version + 1 })).await?;
    Ok(version + 1)
}
