//! Inviting somebody, withdrawing that, and accepting it.

use serde_json::json;
use store::{Tx, params};

use super::members::{enter_person, join};
use super::{acting_role, letters, lock_members, lock_person, open_session};
use crate::invitation::{INVITATION_LIFE, INVITATIONS_MAX};
use crate::member::check_change;
use crate::sign_in::Links;
use crate::token::{self, Hash};
use crate::{AgentClass, Email, Invitation, InvitationId, PeopleError, PersonName, Role, SignedIn, Via, grants, queries, sql};

/// Mails an invitation into the caller's workspace; an open one to the same address is replaced by it.
pub async fn invite(tx: &mut Tx, links: &Links, email: &Email, role: Role) -> Result<Invitation, PeopleError> {
    let workspace = tx.caller().may(grants::WRITE)?;
    // Two at once to one address would meet in the unique index.
    lock_members(tx, workspace).await?;
    check_change(acting_role(tx, workspace).await?, role, Some(role))?;
    if queries::member_by_email(tx, workspace, email).await?.is_some() {
        return Err(PeopleError::AlreadyMember);
    }
    tx.execute(&sql::DELETE_INVITATION_TO, params![workspace, email.as_str()]).await?;
    if queries::count_invitations(tx, workspace).await? >= INVITATIONS_MAX {
        return Err(PeopleError::TooMany { what: "open invitations", max: INVITATIONS_MAX });
    }
    let token = token::token(tx.entropy());
    let invitation = Invitation {
        id: tx.new_id(),
        workspace,
        email: email.clone(),
        role,
        invited_by: tx.caller().member(),
        created_at: tx.now(),
        expires_at: tx.now().plus(INVITATION_LIFE),
    };
    tx.execute(
        &sql::INSERT_INVITATION,
        params![
            invitation.id,
            workspace,
            email.as_str(),
            role.as_str(),
            token::hash(&token),
            invitation.invited_by,
            invitation.created_at,
            invitation.expires_at
        ],
    )
    .await?;
    letters::invitation(tx, &invitation, &links.invitation(&token)).await?;
    let subject = invitation.id.to_string();
    outbox::audit(tx, workspace, "people.invited", &subject, &json!({ "role": role })).await?;
    Ok(invitation)
}

/// Withdraws an invitation that is open.
pub async fn withdraw_invitation(tx: &mut Tx, id: InvitationId) -> Result<(), PeopleError> {
    let workspace = tx.caller().may(grants::WRITE)?;
    let by = acting_role(tx, workspace).await?;
    let invitation = queries::invitation(tx, workspace, id).await?.ok_or(PeopleError::NotFound { what: "invitation" })?;
    check_change(by, invitation.role, None)?;
    if tx.execute(&sql::DELETE_INVITATION, params![workspace, id]).await? == 0 {
        return Err(PeopleError::NotFound { what: "invitation" });
    }
    outbox::audit(tx, workspace, "people.invitation_withdrawn", &id.to_string(), &json!({})).await?;
    Ok(())
}

/// Accepts an invitation: the person and the membership are there afterwards, and a session in the workspace. The token
/// proves that the address is theirs; of two who accept at once one wins.
pub async fn accept_invitation(
    tx: &mut Tx,
    token_hash: &Hash,
    name: &PersonName,
    password_hash: Option<&str>,
    agent: &AgentClass,
) -> Result<SignedIn, PeopleError> {
    let invitation = queries::invitation_by_hash_everywhere(tx, token_hash).await?.ok_or(PeopleError::InvitationSpent)?;
    let (workspace, now) = (invitation.workspace, tx.now());
    // Somebody who is being erased joins nothing: whoever comes second here is a new person.
    if let Some(known) = queries::person_by_email_everywhere(tx, &invitation.email).await? {
        lock_person(tx, known.id).await?;
    }
    lock_members(tx, workspace).await?;
    if tx.execute(&sql::ACCEPT_INVITATION, params![workspace, invitation.id, now]).await? == 0 {
        return Err(PeopleError::InvitationSpent);
    }
    let person = enter_person(tx, workspace, &invitation.email, name, password_hash).await?;
    let member = join(tx, workspace, person, invitation.role).await?;
    let details = json!({ "member": member.id });
    outbox::audit(tx, workspace, "people.invitation_accepted", &invitation.id.to_string(), &details).await?;
    open_session(tx, &member, Via::Invitation, agent).await
}
