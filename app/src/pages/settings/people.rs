//! Members and invitations.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use gateway::page::see_other;
use gateway::{Form, Path, Problem, Query};
use http::StatusCode;
use kernel::{Id, MemberId};
use people::{Email, InvitationId, Role, commands, grants, queries};
use serde::Deserialize;

use super::super::frame::{Done, Frame, Owner, When, mendable, page_with, sentence};
use super::super::session::NoFields;
use super::{Tab, frame, tabs};
use crate::installation::Parts;

struct Line {
    id: String,
    name: String,
    email: String,
    role: &'static str,
    joined_at: When,
    is_me: bool,
}

struct Open {
    id: String,
    email: String,
    role: &'static str,
    expires_at: When,
}

#[derive(Template)]
#[template(path = "settings_people.html")]
struct PeoplePage {
    frame: Frame,
    tabs: Vec<Tab>,
    here: &'static str,
    workspace: String,
    members: Vec<Line>,
    invitations: Vec<Open>,
    roles: Vec<&'static str>,
    can_write: bool,
    typed_email: String,
    email_error: String,
}

async fn compose(parts: &Parts, owner: &Owner) -> Result<PeoplePage, Problem> {
    let workspace = owner.may(grants::READ)?;
    let can_write = owner.can(grants::WRITE);
    let mut reads = parts.store.read();
    let members = queries::members(&mut reads, workspace, "", 200).await?;
    let invitations = if can_write { queries::invitations(&mut reads, workspace, "", 200).await? } else { Vec::new() };
    let name = queries::workspace(&mut reads, workspace).await?.map(|workspace| workspace.name);
    let line = |member: people::Member| Line {
        id: member.id.to_string(),
        is_me: member.id == owner.me.id,
        name: member.name,
        email: member.email.as_str().to_owned(),
        role: member.role.as_str(),
        joined_at: When(member.joined_at),
    };
    let open = |invitation: people::Invitation| Open {
        id: invitation.id.to_string(),
        email: invitation.email.as_str().to_owned(),
        role: invitation.role.as_str(),
        expires_at: When(invitation.expires_at),
    };
    // Only an owner makes another one; the verb refuses it in any case.
    let roles = [Role::Viewer, Role::Member, Role::Admin, Role::Owner];
    let is_owner = owner.me.role == Role::Owner;
    let mut members: Vec<Line> = members.into_iter().map(line).collect();
    members.sort_by_key(|member| (!member.is_me, member.name.to_lowercase()));
    Ok(PeoplePage {
        frame: frame(owner, "People"),
        tabs: tabs(owner),
        here: "people",
        workspace: name.unwrap_or_default(),
        members,
        invitations: invitations.into_iter().map(open).collect(),
        roles: roles.into_iter().filter(|role| is_owner || *role != Role::Owner).map(Role::as_str).collect(),
        can_write,
        typed_email: String::new(),
        email_error: String::new(),
    })
}

/// `GET /settings/people`
pub(super) async fn show(State(parts): State<Parts>, owner: Owner, Query(done): Query<Done>) -> Result<Response, Problem> {
    let mut page = compose(&parts, &owner).await?;
    page.frame.done = done.sentence();
    page_with(&page, StatusCode::OK)
}

/// On to the list, or the list again with what was refused.
async fn ended<T>(parts: &Parts, owner: &Owner, done: Result<T, Problem>, word: &str) -> Result<Response, Problem> {
    match done {
        Ok(_) => Ok(see_other(&format!("/settings/people?done={word}"))),
        Err(problem) => {
            let refusal = mendable(problem)?;
            let mut page = compose(parts, owner).await?;
            page.frame.alert = refusal.all();
            page_with(&page, refusal.status())
        }
    }
}

#[derive(Deserialize)]
pub(super) struct InviteForm {
    #[serde(default)]
    email: String,
    role: Role,
}

/// `POST /settings/people/invite`
pub(super) async fn invite(State(parts): State<Parts>, owner: Owner, Form(form): Form<InviteForm>) -> Result<Response, Problem> {
    let done = match Email::parse(&form.email) {
        Err(error) => Err(error.into()),
        Ok(email) => {
            let done =
                gateway::effect_done(&parts.store, &owner.call, (parts.links.clone(), email, form.role), |tx, (links, email, role)| {
                    Box::pin(async move {
                        commands::invite(tx, &links, &email, role).await?;
                        Ok(())
                    })
                });
            done.await
        }
    };
    match done {
        Ok(_) => Ok(see_other("/settings/people?done=invited")),
        Err(problem) => {
            let refusal = mendable(problem)?;
            let mut page = compose(&parts, &owner).await?;
            page.frame.alert = refusal.sentence();
            page.email_error = if refusal.is_about_fields() { sentence(&format!("this {}", refusal.of("email"))) } else { String::new() };
            page.typed_email = form.email;
            page_with(&page, refusal.status())
        }
    }
}

#[derive(Deserialize)]
pub(super) struct WithdrawForm {
    id: InvitationId,
}

/// `POST /settings/people/withdraw`
pub(super) async fn withdraw(State(parts): State<Parts>, owner: Owner, Form(form): Form<WithdrawForm>) -> Result<Response, Problem> {
    let done = gateway::effect_done(&parts.store, &owner.call, form.id, |tx, id| {
        Box::pin(async move { Ok(commands::withdraw_invitation(tx, id).await?) })
    });
    ended(&parts, &owner, done.await, "withdrawn").await
}

fn member_id(text: &str) -> Result<MemberId, Problem> {
    MemberId::parse(text).map_err(|_| Problem::not_found())
}

#[derive(Deserialize)]
pub(super) struct RoleForm {
    role: Role,
}

/// `POST /settings/people/{id}/role`
pub(super) async fn change_role(
    State(parts): State<Parts>,
    owner: Owner,
    Path(id): Path<String>,
    Form(form): Form<RoleForm>,
) -> Result<Response, Problem> {
    let done = gateway::effect_done(&parts.store, &owner.call, (member_id(&id)?, form.role), |tx, (id, role)| {
        Box::pin(async move {
            commands::change_role(tx, id, role).await?;
            Ok(())
        })
    });
    ended(&parts, &owner, done.await, "member").await
}

/// `POST /settings/people/{id}/remove`
pub(super) async fn remove(
    State(parts): State<Parts>,
    owner: Owner,
    Path(id): Path<String>,
    Form(_): Form<NoFields>,
) -> Result<Response, Problem> {
    let id = member_id(&id)?;
    let done =
        gateway::effect_done(&parts.store, &owner.call, id, |tx, id| Box::pin(async move { Ok(commands::remove_member(tx, id).await?) }));
    ended(&parts, &owner, done.await, "removed").await
}
