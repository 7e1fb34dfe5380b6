//! Providers and routes over HTTP.

use axum::extract::State;
use gateway::{Answer, Call, Json, Path, Problem, effect, effect_created};
use kernel::{Id as _, RawId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Deps, allowed};
use crate::account::ProviderRecord;
use crate::commands::{self, NewProvider, ProviderEdit};
use crate::error::PaymentError;
use crate::provider::{ProviderId, UnknownDialect};
use crate::{grants, queries, routing};

pub(super) fn routes() -> OpenApiRouter<Deps> {
    OpenApiRouter::new().routes(routes!(list, add)).routes(routes!(edit)).routes(routes!(get_routes, set_routes))
}

/// A provider that is added.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProviderBody {
    /// Its name among yours: small letters, digits and hyphens; it stays.
    #[schema(example = "stripe-eu")]
    name: String,
    /// stripe, paypal, monnify, zenith, ramp_network or ramp; it stays.
    dialect: String,
    /// Where it is reached.
    #[schema(example = "https://api.stripe.com")]
    base_url: String,
    /// What is not secret, by the names that docs/payments-providers.md lists.
    #[schema(value_type = Object)]
    settings: Option<Value>,
    /// The secrets, by the names that docs/payments-providers.md lists. Stored sealed, never shown again.
    #[schema(value_type = Object)]
    secrets: Value,
}

/// What of a provider changes.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProviderEditBody {
    /// The version that you saw.
    version: i64,
    /// Where it is reached.
    base_url: Option<String>,
    /// What is not secret, all of it.
    #[schema(value_type = Option<Object>)]
    settings: Option<Value>,
    /// The secrets, all of them.
    #[schema(value_type = Option<Object>)]
    secrets: Option<Value>,
    /// Whether new payments may go there; what was begun goes on.
    is_enabled: Option<bool>,
}

/// A provider that you have an account with. Secrets are never shown.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ProviderView {
    /// Its identifier.
    pub id: String,
    /// Its name among yours.
    pub name: String,
    /// What it speaks.
    pub dialect: String,
    /// Where it is reached.
    pub base_url: String,
    /// What is not secret.
    #[schema(value_type = Object)]
    pub settings: Value,
    /// Where its webhooks are to be sent: enter it in the provider's dashboard.
    pub webhook_url: String,
    /// Whether new payments may go there.
    pub is_enabled: bool,
    /// How often it changed.
    pub version: i64,
    /// When it was added.
    #[schema(value_type = String)]
    pub created_at: Timestamp,
}

impl ProviderView {
    fn of(provider: &ProviderRecord, public_url: &str) -> Self {
        Self {
            id: provider.id.to_string(),
            name: provider.name.clone(),
            dialect: provider.dialect.as_str().to_owned(),
            base_url: provider.base_url.clone(),
            settings: provider.settings.clone(),
            webhook_url: provider.webhook_url(public_url),
            is_enabled: provider.is_enabled,
            version: provider.version,
            created_at: provider.created_at,
        }
    }
}

/// All providers.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ProvidersView {
    /// By name.
    pub items: Vec<ProviderView>,
}

/// Lists the providers that the workspace has accounts with.
#[utoipa::path(get, path = "/v1/payment-providers", tag = "payments",
    responses((status = 200, body = ProvidersView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn list(State(deps): State<Deps>, call: Call) -> Result<Answer<ProvidersView>, Problem> {
    let workspace = allowed(&call, grants::MANAGE)?;
    let found = queries::providers(&mut deps.store.read(), workspace).await?;
    Ok(Answer::ok(ProvidersView { items: found.iter().map(|provider| ProviderView::of(provider, &deps.public_url)).collect() }))
}

/// Adds a provider.
#[utoipa::path(post, path = "/v1/payment-providers", tag = "payments", request_body = ProviderBody,
    responses((status = 201, body = ProviderView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn add(State(deps): State<Deps>, call: Call, Json(body): Json<ProviderBody>) -> Result<Answer<ProviderView>, Problem> {
    allowed(&call, grants::MANAGE)?;
    commands::check_addresses(&deps.allowed, Some(&body.base_url), body.settings.as_ref())?;
    let dialect = body.dialect.parse().map_err(|error: UnknownDialect| PaymentError::field("dialect", error.to_string()))?;
    let id = ProviderId::from_raw(RawId::generate(deps.store.clock().now(), deps.store.entropy()));
    let sealed = commands::seal(deps.store.vault(), id, &body.secrets)?;
    let settings = body.settings.unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    let new = NewProvider { name: body.name, dialect, base_url: body.base_url, settings, sealed, id, token: None };
    effect_created(&deps.store, &call, (new, deps.public_url.clone()), |tx, (new, url)| {
        Box::pin(async move { Ok(ProviderView::of(&commands::add_provider(tx, new).await?, &url)) })
    })
    .await
}

/// Changes a provider.
#[utoipa::path(patch, path = "/v1/payment-providers/{id}", tag = "payments", params(("id" = String, Path)), request_body = ProviderEditBody,
    responses((status = 200, body = ProviderView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn edit(
    State(deps): State<Deps>,
    call: Call,
    Path(id): Path<ProviderId>,
    Json(body): Json<ProviderEditBody>,
) -> Result<Answer<ProviderView>, Problem> {
    allowed(&call, grants::MANAGE)?;
    commands::check_addresses(&deps.allowed, body.base_url.as_deref(), body.settings.as_ref())?;
    let sealed = body.secrets.as_ref().map(|secrets| commands::seal(deps.store.vault(), id, secrets)).transpose()?;
    let edit = ProviderEdit { base_url: body.base_url, settings: body.settings, sealed, is_enabled: body.is_enabled };
    effect(&deps.store, &call, (id, body.version, edit, deps.public_url.clone()), |tx, (id, version, edit, url)| {
        Box::pin(async move { Ok(ProviderView::of(&commands::edit_provider(tx, id, version, edit).await?, &url)) })
    })
    .await
}

/// Which payment goes to which provider.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RoutesBody {
    /// The version that you saw; 0 where none were set.
    version: i64,
    /// The rules, as docs/payments.md describes them; the first one that fits decides.
    #[schema(value_type = Vec<Object>)]
    rules: Value,
}

/// Gets the routes.
#[utoipa::path(get, path = "/v1/payment-routes", tag = "payments",
    responses((status = 200, body = RoutesBody), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn get_routes(State(deps): State<Deps>, call: Call) -> Result<Answer<RoutesBody>, Problem> {
    let workspace = allowed(&call, grants::MANAGE)?;
    let (version, rules) = queries::routes(&mut deps.store.read(), workspace).await?;
    Ok(Answer::ok(RoutesBody { version, rules }))
}

/// Sets the routes, all of them.
#[utoipa::path(put, path = "/v1/payment-routes", tag = "payments", request_body = RoutesBody,
    responses((status = 200, body = RoutesBody), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn set_routes(State(deps): State<Deps>, call: Call, Json(body): Json<RoutesBody>) -> Result<Answer<RoutesBody>, Problem> {
    effect(&deps.store, &call, body, |tx, body| {
        Box::pin(async move {
            let workspace = tx.caller().may(grants::MANAGE).map_err(PaymentError::from)?;
            let known: Vec<ProviderId> = queries::providers(tx, workspace).await?.iter().map(|provider| provider.id).collect();
            let rules = routing::parse(body.rules, &known).map_err(|fields| PaymentError::Invalid { fields })?;
            let rules = serde_json::to_value(&rules).map_err(store::StoreError::decode)?;
            let version = commands::set_routes(tx, body.version, &rules).await?;
            Ok(RoutesBody { version, rules })
        })
    })
    .await
}
