//! Who did what in the workspace.

use axum::extract::State;
use gateway::{Call, List, PageQuery, Problem, Query};
use kernel::{Id, Timestamp};
use outbox::{AuditId, Audited};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Deps, allowed};
use crate::grants;

/// Which page of the trail, and of what.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// The `next` of the page before; absent for the first page.
    after: Option<String>,
    /// How many lines at most, 1 to 200; 50 when absent.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// The id of the thing whose trail is wanted; absent for all.
    subject: Option<String>,
}

/// One line of the trail.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditView {
    #[schema(value_type = String)]
    id: AuditId,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// A member's or key's id, `visitor`, or `system:` and a reason.
    actor: String,
    /// What was done.
    #[schema(example = "people.role_changed")]
    action: String,
    /// The id of the thing.
    subject: String,
    /// Ids and names of fields.
    #[schema(value_type = Object)]
    details: serde_json::Value,
}

impl From<Audited> for AuditView {
    fn from(line: Audited) -> Self {
        Self { id: line.id, at: line.at, actor: line.actor, action: line.action, subject: line.subject, details: line.details }
    }
}

/// The audit trail of the workspace, newest first.
#[utoipa::path(get, path = "/v1/audit", tag = "people", params(AuditQuery),
    responses((status = 200, body = List<AuditView>), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
pub(super) async fn list(State(deps): State<Deps>, call: Call, Query(query): Query<AuditQuery>) -> Result<List<AuditView>, Problem> {
    let workspace = allowed(&call, grants::AUDIT_READ)?;
    let limit = PageQuery { after: None, limit: query.limit }.limit()?;
    let before = match query.after.as_deref() {
        Some(text) => Some(AuditId::parse(text).map_err(|_| Problem::invalid_field("after", "must be the `next` of the page before"))?),
        None => None,
    };
    let mut read = deps.store.read();
    let lines = match query.subject.as_deref() {
        Some(subject) => outbox::audit_of_subject(&mut read, workspace, subject, before, limit + 1).await?,
        None => outbox::audit_list(&mut read, workspace, before, limit + 1).await?,
    };
    Ok(List::page(lines, limit as usize, |line| line.id.to_string()).map(AuditView::from))
}
