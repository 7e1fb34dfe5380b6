//! Invitations into the workspace.

use axum::extract::State;
use axum::response::Response;
use gateway::{Answer, Call, Class, Json, List, PageQuery, Path, Problem, Query};
use kernel::{MemberId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::sessions::{SessionView, agent, signed_in};
use super::{Deps, allowed, cursor};
use crate::{Email, Invitation, InvitationId, PersonName, Role, commands, grants, queries, sign_in};

/// Whom to invite, and as what.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InviteBody {
    /// The address.
    #[schema(example = "grace@example.com")]
    email: String,
    /// The role.
    role: Role,
}

/// The token of an invitation and who accepts it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptBody {
    /// The token at the end of the invitation's link.
    token: String,
    /// The name of a new person; somebody who is known by the invited address keeps theirs.
    #[schema(example = "Grace Hopper")]
    name: String,
    /// A password for a new person; without one they sign in by link.
    password: Option<String>,
}

/// An invitation that is open.
#[derive(Debug, Serialize, ToSchema)]
pub struct InvitationView {
    #[schema(value_type = String)]
    id: InvitationId,
    email: String,
    role: Role,
    #[schema(value_type = Option<String>)]
    invited_by: Option<MemberId>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

impl From<Invitation> for InvitationView {
    fn from(invitation: Invitation) -> Self {
        Self {
            id: invitation.id,
            email: invitation.email.as_str().to_owned(),
            role: invitation.role,
            invited_by: invitation.invited_by,
            created_at: invitation.created_at,
            expires_at: invitation.expires_at,
        }
    }
}

/// The open invitations of the workspace.
#[utoipa::path(get, path = "/v1/invitations", tag = "people", params(PageQuery),
    responses((status = 200, body = List<InvitationView>), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
pub(super) async fn list(State(deps): State<Deps>, call: Call, Query(page): Query<PageQuery>) -> Result<List<InvitationView>, Problem> {
    let workspace = allowed(&call, grants::WRITE)?;
    let (after, limit) = (cursor::<InvitationId>(page.after.as_deref())?, page.limit()?);
    let invitations = queries::invitations(&mut deps.store.read(), workspace, &after, limit + 1).await?;
    Ok(List::page(invitations, limit as usize, |invitation| invitation.id.to_string()).map(InvitationView::from))
}

/// Mails an invitation, which works once within seven days; an open one to the same address is replaced.
#[utoipa::path(post, path = "/v1/invitations", tag = "people", request_body = InviteBody,
    responses((status = 201, body = InvitationView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
pub(super) async fn invite(State(deps): State<Deps>, call: Call, Json(body): Json<InviteBody>) -> Result<Answer<InvitationView>, Problem> {
    let email = Email::parse(&body.email)?;
    gateway::effect_created(&deps.store, &call, (deps.links.clone(), email, body.role), |tx, (links, email, role)| {
        Box::pin(async move { Ok(InvitationView::from(commands::invite(tx, &links, &email, role).await?)) })
    })
    .await
}

/// Withdraws an open invitation.
#[utoipa::path(delete, path = "/v1/invitations/{id}", tag = "people", params(("id" = String, Path, description = "The invitation.")),
    responses((status = 204), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
pub(super) async fn withdraw(State(deps): State<Deps>, call: Call, Path(id): Path<InvitationId>) -> Result<Answer<()>, Problem> {
    gateway::effect_done(&deps.store, &call, id, |tx, id| Box::pin(async move { Ok(commands::withdraw_invitation(tx, id).await?) })).await
}

/// Accepts an invitation, once, and signs in. The answer sets the session's cookie.
#[utoipa::path(post, path = "/v1/invitations/accept", tag = "people", request_body = AcceptBody,
    responses((status = 201, body = SessionView), gateway::openapi::ErrorResponses))]
pub(super) async fn accept(State(deps): State<Deps>, call: Call, Json(body): Json<AcceptBody>) -> Result<Response, Problem> {
    call.limit(Class::SignIn)?;
    let name = PersonName::parse(&body.name)?;
    let password = body.password.as_deref();
    let done = sign_in::accept_invitation(&deps.store, &deps.passwords, &body.token, name, password, agent(&call)).await?;
    signed_in(&deps, &call, done).await
}
