//! Notifications over HTTP: endpoints of webhooks, wordings, the state of messages, and the live stream.

mod endpoints;
mod live;
mod mailbox;
mod templates;

use gateway::{AllowedNetworks, Answer, Call, List, PageQuery, Problem, Query};
use kernel::{Grant, Id, Timestamp, WorkspaceId};
use serde::Serialize;
use store::Store;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use axum::extract::State;

use crate::live::Live;
use crate::message::{MessageId, MessageState, MessageStatus};
use crate::{NotificationError, grants, queries};

pub use mailbox::mailbox_routes;

/// What the routes need.
#[derive(Clone)]
pub struct Deps {
    /// The database.
    pub store: Store,
    /// The networks inside that webhooks may reach.
    pub allowed: AllowedNetworks,
    /// The live stream.
    pub live: Live,
}

/// Every address of this module.
pub fn routes(deps: Deps) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(endpoints::list, endpoints::create))
        .routes(routes!(endpoints::get, endpoints::patch, endpoints::delete))
        .routes(routes!(endpoints::rotate))
        .routes(routes!(endpoints::test))
        .routes(routes!(endpoints::attempts))
        .routes(routes!(endpoints::replay))
        .routes(routes!(templates::list))
        .routes(routes!(templates::get, templates::put, templates::reset))
        .routes(routes!(templates::preview))
        .routes(routes!(messages))
        .routes(routes!(live::stream))
        .with_state(deps)
}

/// The workspace of a caller who may do this; the first line of every read.
fn allowed(call: &Call, grant: Grant) -> Result<WorkspaceId, Problem> {
    Ok(call.caller()?.may(grant).map_err(NotificationError::from)?)
}

/// The page that is wanted: after which id, and how many items (one more is asked for, to see whether another page follows).
fn page<I: Id>(query: &PageQuery) -> Result<(Option<I>, usize), Problem> {
    let after = query.after.as_deref().map(I::parse).transpose();
    let after = after.map_err(|_| Problem::invalid_field("after", "must be the `next` of the page before"))?;
    Ok((after, query.limit()? as usize))
}

/// How far along a message is; never what it says or to whom.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct MessageView {
    /// The message.
    #[schema(value_type = String)]
    id: MessageId,
    /// What it tells.
    #[schema(example = "lead_captured")]
    template: String,
    /// Who was told, by the id that the sender gave; empty once erased.
    recipient: String,
    /// `queued`, `sent` or `failed`.
    #[schema(value_type = String, example = "sent")]
    state: MessageState,
    /// Why it failed or was put off.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<String>,
    /// When it was accepted.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it was sent or given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, nullable = false)]
    finished_at: Option<Timestamp>,
}

impl From<MessageStatus> for MessageView {
    fn from(m: MessageStatus) -> Self {
        let MessageStatus { id, template, recipient, state, reason, created_at, finished_at } = m;
        Self { id, template, recipient, state, reason, created_at, finished_at }
    }
}

/// Lists messages, the latest first: how far along each is, never what it says or to whom.
#[utoipa::path(get, path = "/v1/messages", tag = "notifications", params(PageQuery), security(("session" = []), ("key" = [])),
    responses((status = 200, body = List<MessageView>), gateway::openapi::ErrorResponses))]
async fn messages(State(deps): State<Deps>, call: Call, Query(query): Query<PageQuery>) -> Result<Answer<List<MessageView>>, Problem> {
    let workspace = allowed(&call, grants::READ)?;
    let (after, limit) = page(&query)?;
    let found = queries::messages(&mut deps.store.read(), workspace, after, limit as i64 + 1).await?;
    Ok(Answer::ok(List::page(found, limit, |m| m.id.to_string()).map(MessageView::from)))
}
