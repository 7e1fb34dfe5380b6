//! API keys of the workspace.

use axum::extract::State;
use gateway::{Answer, Call, Json, List, PageQuery, Path, Problem, Query};
use kernel::{KeyId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Deps, allowed, cursor};
use crate::{Key, KeyDraft, commands, grants, queries};

/// What a key is for and what it may do.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateKeyBody {
    /// What it is for.
    #[schema(example = "the shop's website")]
    name: String,
    /// What it may do, by the names of rights that its maker holds too.
    #[schema(example = json!(["codes:read", "codes:write"]))]
    scopes: Vec<String>,
    /// When it ends by itself.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

/// A key without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyView {
    #[schema(value_type = String)]
    id: KeyId,
    name: String,
    scopes: Vec<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// When it was last used, to the hour.
    #[schema(value_type = Option<String>, format = DateTime)]
    used_at: Option<Timestamp>,
}

impl From<Key> for KeyView {
    fn from(key: Key) -> Self {
        Self {
            id: key.id,
            name: key.name,
            scopes: key.scopes,
            created_at: key.created_at,
            expires_at: key.expires_at,
            used_at: key.used_at,
        }
    }
}

/// A key that was made just now.
#[derive(Debug, Serialize, ToSchema)]
pub struct NewKeyView {
    /// The key itself, to be sent as `Authorization: Bearer tsk_…`. It is shown this once.
    key: String,
    /// What is known of it later.
    #[serde(flatten)]
    view: KeyView,
}

/// The keys of the workspace.
#[utoipa::path(get, path = "/v1/keys", tag = "people", params(PageQuery),
    responses((status = 200, body = List<KeyView>), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
pub(super) async fn list(State(deps): State<Deps>, call: Call, Query(page): Query<PageQuery>) -> Result<List<KeyView>, Problem> {
    let workspace = allowed(&call, grants::KEYS_READ)?;
    let (after, limit) = (cursor::<KeyId>(page.after.as_deref())?, page.limit()?);
    let keys = queries::keys(&mut deps.store.read(), workspace, &after, limit + 1).await?;
    Ok(List::page(keys, limit as usize, |key| key.id.to_string()).map(KeyView::from))
}

/// Makes a key. Its text is in this answer and nowhere else.
#[utoipa::path(post, path = "/v1/keys", tag = "people", request_body = CreateKeyBody,
    responses((status = 201, body = NewKeyView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
pub(super) async fn create(State(deps): State<Deps>, call: Call, Json(body): Json<CreateKeyBody>) -> Result<Answer<NewKeyView>, Problem> {
    allowed(&call, grants::KEYS_WRITE)?;
    let scopes = deps.roles.parse_scopes(&body.scopes)?;
    let draft = KeyDraft::parse(&body.name, scopes, body.expires_at, deps.store.clock().now())?;
    gateway::effect_secret(&deps.store, &call, draft, |tx, draft| {
        Box::pin(async move {
            let new = commands::create_key(tx, draft).await?;
            Ok(NewKeyView { key: new.text, view: new.key.into() })
        })
    })
    .await
}

/// Revokes a key.
#[utoipa::path(delete, path = "/v1/keys/{id}", tag = "people", params(("id" = String, Path, description = "The key.")),
    responses((status = 204), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
pub(super) async fn revoke(State(deps): State<Deps>, call: Call, Path(id): Path<KeyId>) -> Result<Answer<()>, Problem> {
    gateway::effect_done(&deps.store, &call, id, |tx, id| Box::pin(async move { Ok(commands::revoke_key(tx, id).await?) })).await
}
