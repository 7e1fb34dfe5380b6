//! Endpoints of webhooks over HTTP.

use std::time::Duration;

use axum::extract::State;
use gateway::{Answer, Call, Json, List, PageQuery, Path, Problem, Query, effect, effect_done, effect_secret};
use kernel::{Id as _, RawId, Timestamp};
use serde::{Deserialize, Serialize};
use store::Store;

use super::{Deps, allowed, page};
use crate::commands::{self, EndpointChange, NewEndpoint};
use crate::endpoint::{Attempt, AttemptId, Endpoint, EndpointId, EndpointState};
use crate::signature::Secret;
use crate::{grants, queries};

/// What an endpoint is made from.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EndpointBody {
    /// Where deliveries go: a public https or http address.
    #[schema(example = "https://example.org/hooks/tessera")]
    url: String,
    /// What it is for; at most 200 bytes.
    #[serde(default)]
    description: String,
    /// What it is told of, for example `lead.captured` or `lead.*`; everything when empty.
    #[serde(default)]
    event_types: Vec<String>,
}

/// What of an endpoint is to change; what is absent stays.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EndpointPatch {
    /// Where deliveries go.
    #[schema(nullable = false)]
    url: Option<String>,
    /// What it is for.
    #[schema(nullable = false)]
    description: Option<String>,
    /// What it is told of.
    #[schema(nullable = false)]
    event_types: Option<Vec<String>>,
    /// Whether it gets deliveries; enabling it forgets its failures.
    #[schema(nullable = false)]
    is_enabled: Option<bool>,
}

/// A webhook endpoint.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct EndpointView {
    /// Its identifier.
    #[schema(value_type = String)]
    id: EndpointId,
    /// Where deliveries go.
    url: String,
    /// What it is for.
    description: String,
    /// What it is told of; everything when empty.
    event_types: Vec<String>,
    /// Whether it gets deliveries.
    is_enabled: bool,
    /// Why it does not: `gone`, `failing` or `by_hand`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    disabled_reason: Option<String>,
    /// Since when every delivery has failed; it is disabled after five days of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, nullable = false)]
    failing_since: Option<Timestamp>,
    /// Until when the secret before the current one signs too.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, nullable = false)]
    previous_secret_until: Option<Timestamp>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<Endpoint> for EndpointView {
    fn from(endpoint: Endpoint) -> Self {
        let (is_enabled, disabled_reason, failing_since) = match endpoint.state {
            EndpointState::Enabled { failing_since } => (true, None, failing_since),
            EndpointState::Disabled { reason } => (false, Some(reason), None),
        };
        Self {
            id: endpoint.id,
            url: endpoint.url,
            description: endpoint.description,
            event_types: endpoint.event_types.names().to_vec(),
            is_enabled,
            disabled_reason,
            failing_since,
            previous_secret_until: endpoint.previous_secret_until,
            created_at: endpoint.created_at,
        }
    }
}

/// An endpoint with its secret, which is shown this once.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct EndpointSecretView {
    /// The endpoint.
    endpoint: EndpointView,
    /// The key that its signatures are checked with (Standard Webhooks); shown this once.
    #[schema(example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    secret: String,
}

/// A new secret, and the same sealed for the endpoint.
fn new_secret(store: &Store, id: EndpointId) -> (String, Vec<u8>) {
    let secret = Secret::generate(store.entropy());
    let sealed = store.vault().seal(secret.as_bytes(), &id.to_string());
    (secret.reveal(), sealed)
}

/// Lists webhook endpoints, the oldest first.
#[utoipa::path(get, path = "/v1/webhooks", tag = "webhooks", params(PageQuery), security(("session" = []), ("key" = [])),
    responses((status = 200, body = List<EndpointView>), gateway::openapi::ErrorResponses))]
pub(super) async fn list(
    State(deps): State<Deps>,
    call: Call,
    Query(query): Query<PageQuery>,
) -> Result<Answer<List<EndpointView>>, Problem> {
    let workspace = allowed(&call, grants::READ)?;
    let (after, limit) = page(&query)?;
    let found = queries::endpoints(&mut deps.store.read(), workspace, after, limit as i64 + 1).await?;
    Ok(Answer::ok(List::page(found, limit, |e| e.id.to_string()).map(EndpointView::from)))
}

/// Makes a webhook endpoint. Deliveries are signed by the Standard Webhooks specification; the secret is shown this once.
#[utoipa::path(post, path = "/v1/webhooks", tag = "webhooks", request_body = EndpointBody, security(("session" = []), ("key" = [])),
    responses((status = 201, body = EndpointSecretView), gateway::openapi::ErrorResponses))]
pub(super) async fn create(
    State(deps): State<Deps>,
    call: Call,
    Json(body): Json<EndpointBody>,
) -> Result<Answer<EndpointSecretView>, Problem> {
    allowed(&call, grants::WRITE)?;
    let id = EndpointId::from_raw(RawId::generate(deps.store.clock().now(), deps.store.entropy()));
    let (secret, sealed_secret) = new_secret(&deps.store, id);
    let new = NewEndpoint { id, url: body.url, description: body.description, event_types: body.event_types, sealed_secret };
    effect_secret(&deps.store, &call, (deps.allowed.clone(), new, secret), |tx, (networks, new, secret)| {
        Box::pin(async move {
            let endpoint = commands::create_endpoint(tx, &networks, new).await?;
            Ok(EndpointSecretView { endpoint: endpoint.into(), secret })
        })
    })
    .await
}

/// Gets a webhook endpoint with its health.
#[utoipa::path(get, path = "/v1/webhooks/{id}", tag = "webhooks", params(("id" = String, Path)), security(("session" = []), ("key" = [])),
    responses((status = 200, body = EndpointView), gateway::openapi::ErrorResponses))]
pub(super) async fn get(State(deps): State<Deps>, call: Call, Path(id): Path<EndpointId>) -> Result<Answer<EndpointView>, Problem> {
    let workspace = allowed(&call, grants::READ)?;
    Ok(Answer::ok(queries::endpoint(&mut deps.store.read(), workspace, id).await?.into()))
}

/// Changes a webhook endpoint.
#[utoipa::path(patch, path = "/v1/webhooks/{id}", tag = "webhooks", params(("id" = String, Path)), request_body = EndpointPatch,
    security(("session" = []), ("key" = [])), responses((status = 200, body = EndpointView), gateway::openapi::ErrorResponses))]
pub(super) async fn patch(
    State(deps): State<Deps>,
    call: Call,
    Path(id): Path<EndpointId>,
    Json(body): Json<EndpointPatch>,
) -> Result<Answer<EndpointView>, Problem> {
    let EndpointPatch { url, description, event_types, is_enabled } = body;
    let change = EndpointChange { url, description, event_types, is_enabled };
    effect(&deps.store, &call, (deps.allowed.clone(), id, change), |tx, (networks, id, change)| {
        Box::pin(async move { Ok(commands::update_endpoint(tx, &networks, id, change).await?.into()) })
    })
    .await
}

/// Removes a webhook endpoint.
#[utoipa::path(delete, path = "/v1/webhooks/{id}", tag = "webhooks", params(("id" = String, Path)), security(("session" = []), ("key" = [])),
    responses((status = 204), gateway::openapi::ErrorResponses))]
pub(super) async fn delete(State(deps): State<Deps>, call: Call, Path(id): Path<EndpointId>) -> Result<Answer<()>, Problem> {
    effect_done(&deps.store, &call, id, |tx, id| Box::pin(async move { Ok(commands::delete_endpoint(tx, id).await?) })).await
}

/// How a secret is rotated.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RotateBody {
    /// For how many seconds the old secret signs beside the new one; a day when absent, at most seven.
    #[schema(nullable = false, maximum = 604_800)]
    old_valid_for_s: Option<u64>,
}

/// Gives a webhook endpoint a new secret, shown this once. The old one signs beside it for the chosen time.
#[utoipa::path(post, path = "/v1/webhooks/{id}/rotate", tag = "webhooks", params(("id" = String, Path)), request_body = RotateBody,
    security(("session" = []), ("key" = [])), responses((status = 201, body = EndpointSecretView), gateway::openapi::ErrorResponses))]
pub(super) async fn rotate(
    State(deps): State<Deps>,
    call: Call,
    Path(id): Path<EndpointId>,
    Json(body): Json<RotateBody>,
) -> Result<Answer<EndpointSecretView>, Problem> {
    let overlap = Duration::from_secs(body.old_valid_for_s.unwrap_or(24 * 3600));
    let (secret, sealed) = new_secret(&deps.store, id);
    effect_secret(&deps.store, &call, (id, sealed, overlap, secret), |tx, (id, sealed, overlap, secret)| {
        Box::pin(async move {
            let endpoint = commands::rotate_secret(tx, id, sealed, overlap).await?;
            Ok(EndpointSecretView { endpoint: endpoint.into(), secret })
        })
    })
    .await
}

/// An event on its way.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct EventView {
    /// The event's id: the `webhook-id` of its deliveries.
    event: String,
}

/// Delivers a `test.ping` event to the endpoint, whatever it listens to.
#[utoipa::path(post, path = "/v1/webhooks/{id}/test", tag = "webhooks", params(("id" = String, Path)), security(("session" = []), ("key" = [])),
    responses((status = 200, body = EventView), gateway::openapi::ErrorResponses))]
pub(super) async fn test(State(deps): State<Deps>, call: Call, Path(id): Path<EndpointId>) -> Result<Answer<EventView>, Problem> {
    effect(&deps.store, &call, id, |tx, id| Box::pin(async move { Ok(EventView { event: commands::send_test_event(tx, id).await? }) }))
        .await
}

/// What is to be delivered once more.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReplayBody {
    /// The event's id, as the attempts name it.
    event: String,
}

/// Delivers an event to the endpoint once more, under its old `webhook-id`. Events are kept for 30 days.
#[utoipa::path(post, path = "/v1/webhooks/{id}/replay", tag = "webhooks", params(("id" = String, Path)), request_body = ReplayBody,
    security(("session" = []), ("key" = [])), responses((status = 200, body = EventView), gateway::openapi::ErrorResponses))]
pub(super) async fn replay(
    State(deps): State<Deps>,
    call: Call,
    Path(id): Path<EndpointId>,
    Json(body): Json<ReplayBody>,
) -> Result<Answer<EventView>, Problem> {
    effect(&deps.store, &call, (id, body.event), |tx, (id, event)| {
        Box::pin(async move {
            commands::replay(tx, id, &event).await?;
            Ok(EventView { event })
        })
    })
    .await
}

/// One attempt at a delivery.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct AttemptView {
    /// Its identifier.
    #[schema(value_type = String)]
    id: AttemptId,
    /// The event's id: the `webhook-id` of all its attempts.
    event: String,
    /// `delivered`, `retried` or `given_up`.
    #[schema(example = "delivered")]
    outcome: &'static str,
    /// The HTTP status, if there was an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    status: Option<i64>,
    /// How long it took, in milliseconds.
    took_ms: i64,
    /// The beginning of the answer (at most 500 bytes), or why there was none.
    answer: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    attempted_at: Timestamp,
}

impl From<Attempt> for AttemptView {
    fn from(a: Attempt) -> Self {
        let Attempt { id, event, outcome, status, took_ms, answer, attempted_at } = a;
        Self { id, event, outcome: outcome.as_str(), status, took_ms, answer, attempted_at }
    }
}

/// Lists the attempts at an endpoint, the latest first. They are kept for 30 days.
#[utoipa::path(get, path = "/v1/webhooks/{id}/attempts", tag = "webhooks", params(("id" = String, Path), PageQuery),
    security(("session" = []), ("key" = [])), responses((status = 200, body = List<AttemptView>), gateway::openapi::ErrorResponses))]
pub(super) async fn attempts(
    State(deps): State<Deps>,
    call: Call,
    Path(id): Path<EndpointId>,
    Query(query): Query<PageQuery>,
) -> Result<Answer<List<AttemptView>>, Problem> {
    let workspace = allowed(&call, grants::READ)?;
    let (after, limit) = page(&query)?;
    let mut read = deps.store.read();
    queries::endpoint(&mut read, workspace, id).await?;
    let found = queries::attempts(&mut read, workspace, id, after, limit as i64 + 1).await?;
    Ok(Answer::ok(List::page(found, limit, |a| a.id.to_string()).map(AttemptView::from)))
}
