//! The workspace and who is in it.

use axum::extract::State;
use gateway::{Answer, Call, Json, List, PageQuery, Path, Problem, Query};
use kernel::{MemberId, Timestamp, WorkspaceId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Deps, allowed, cursor};
use crate::commands::{self, WorkspaceChange};
use crate::{Locale, Member, PeopleError, Role, Workspace, WorkspaceName, Zone, grants, queries};

/// What shall be different about the workspace; what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeWorkspaceBody {
    /// What it is called.
    name: Option<String>,
    /// The language of new members.
    #[schema(example = "en")]
    locale: Option<String>,
    /// The time zone of its days.
    #[schema(example = "Europe/Lisbon")]
    zone: Option<String>,
}

/// A workspace.
#[derive(Debug, Serialize, ToSchema)]
pub struct WorkspaceView {
    #[schema(value_type = String)]
    id: WorkspaceId,
    name: String,
    locale: String,
    zone: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<Workspace> for WorkspaceView {
    fn from(workspace: Workspace) -> Self {
        Self {
            id: workspace.id,
            name: workspace.name,
            locale: workspace.locale.as_str().to_owned(),
            zone: workspace.zone.as_str().to_owned(),
            created_at: workspace.created_at,
        }
    }
}

/// Another role.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeMemberBody {
    /// The role.
    role: Role,
}

/// A member of the workspace.
#[derive(Debug, Serialize, ToSchema)]
pub struct MemberView {
    #[schema(value_type = String)]
    id: MemberId,
    email: String,
    name: String,
    role: Role,
    locale: String,
    zone: String,
    #[schema(value_type = String, format = DateTime)]
    joined_at: Timestamp,
}

impl From<Member> for MemberView {
    fn from(member: Member) -> Self {
        Self {
            id: member.id,
            email: member.email.as_str().to_owned(),
            name: member.name,
            role: member.role,
            locale: member.locale.as_str().to_owned(),
            zone: member.zone.as_str().to_owned(),
            joined_at: member.joined_at,
        }
    }
}

/// The workspace of the caller.
#[utoipa::path(get, path = "/v1/workspace", tag = "people", responses((status = 200, body = WorkspaceView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
pub(super) async fn show_workspace(State(deps): State<Deps>, call: Call) -> Result<Answer<WorkspaceView>, Problem> {
    let id = allowed(&call, grants::READ)?;
    let workspace = queries::workspace(&mut deps.store.read(), id).await?.ok_or(PeopleError::NotFound { what: "workspace" })?;
    Ok(Answer::ok(workspace.into()))
}

/// Renames the workspace or changes its language or time zone.
#[utoipa::path(patch, path = "/v1/workspace", tag = "people", request_body = ChangeWorkspaceBody,
    responses((status = 200, body = WorkspaceView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
pub(super) async fn change_workspace(
    State(deps): State<Deps>,
    call: Call,
    Json(body): Json<ChangeWorkspaceBody>,
) -> Result<Answer<WorkspaceView>, Problem> {
    let change = WorkspaceChange {
        name: body.name.as_deref().map(WorkspaceName::parse).transpose()?,
        locale: body.locale.as_deref().map(Locale::parse).transpose()?,
        zone: body.zone.as_deref().map(Zone::parse).transpose()?,
    };
    gateway::effect(&deps.store, &call, change, |tx, change| {
        Box::pin(async move { Ok(WorkspaceView::from(commands::change_workspace(tx, change).await?)) })
    })
    .await
}

/// The members of the workspace.
#[utoipa::path(get, path = "/v1/members", tag = "people", params(PageQuery),
    responses((status = 200, body = List<MemberView>), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
pub(super) async fn list(State(deps): State<Deps>, call: Call, Query(page): Query<PageQuery>) -> Result<List<MemberView>, Problem> {
    let workspace = allowed(&call, grants::READ)?;
    let (after, limit) = (cursor::<MemberId>(page.after.as_deref())?, page.limit()?);
    let members = queries::members(&mut deps.store.read(), workspace, &after, limit + 1).await?;
    Ok(List::page(members, limit as usize, |member| member.id.to_string()).map(MemberView::from))
}

/// One member.
#[utoipa::path(get, path = "/v1/members/{id}", tag = "people", params(("id" = String, Path, description = "The member.")),
    responses((status = 200, body = MemberView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
pub(super) async fn show(State(deps): State<Deps>, call: Call, Path(id): Path<MemberId>) -> Result<Answer<MemberView>, Problem> {
    let workspace = allowed(&call, grants::READ)?;
    let member = queries::member(&mut deps.store.read(), workspace, id).await?.ok_or(PeopleError::NotFound { what: "member" })?;
    Ok(Answer::ok(member.into()))
}

/// Gives a member another role.
#[utoipa::path(patch, path = "/v1/members/{id}", tag = "people", params(("id" = String, Path, description = "The member.")),
    request_body = ChangeMemberBody, responses((status = 200, body = MemberView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
pub(super) async fn change(
    State(deps): State<Deps>,
    call: Call,
    Path(id): Path<MemberId>,
    Json(body): Json<ChangeMemberBody>,
) -> Result<Answer<MemberView>, Problem> {
    gateway::effect(&deps.store, &call, (id, body.role), |tx, (id, role)| {
        Box::pin(async move { Ok(MemberView::from(commands::change_role(tx, id, role).await?)) })
    })
    .await
}

/// Removes a member, or leaves the workspace.
#[utoipa::path(delete, path = "/v1/members/{id}", tag = "people", params(("id" = String, Path, description = "The member.")),
    responses((status = 204), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
pub(super) async fn remove(State(deps): State<Deps>, call: Call, Path(id): Path<MemberId>) -> Result<Answer<()>, Problem> {
    gateway::effect_done(&deps.store, &call, id, |tx, id| Box::pin(async move { Ok(commands::remove_member(tx, id).await?) })).await
}
