//! The two mails that people are sent.

use notifications::{Message, Recipient, TemplateKey};
use serde_json::json;
use store::Tx;

use crate::session::LINK_LIFE;
use crate::{Invitation, Member, PeopleError, queries};

/// The link that signs somebody in; ahead of other mail, because they wait for it.
pub(super) async fn sign_in_link(tx: &mut Tx, member: &Member, link: &str) -> Result<(), PeopleError> {
    let workspace = queries::workspace(tx, member.workspace).await?.ok_or(PeopleError::NotFound { what: "workspace" })?;
    let minutes = (LINK_LIFE.as_secs() / 60).to_string();
    let variables = json!({ "link": link, "minutes": minutes, "name": member.name, "workspace_name": workspace.name });
    let message = Message::email(TemplateKey::SignInLink, member.recipient(), variables).urgent();
    notifications::send(tx, member.workspace, message).await?;
    Ok(())
}

/// The link that lets somebody join.
pub(super) async fn invitation(tx: &mut Tx, invitation: &Invitation, link: &str) -> Result<(), PeopleError> {
    let workspace = queries::workspace(tx, invitation.workspace).await?.ok_or(PeopleError::NotFound { what: "workspace" })?;
    let inviter = match invitation.invited_by {
        Some(member) => queries::member(tx, invitation.workspace, member).await?.map(|member| member.name),
        None => None,
    };
    let variables = json!({
        "link": link, "workspace_name": workspace.name, "role": invitation.role.as_str(), "inviter_name": inviter.unwrap_or_default(),
    });
    let recipient = Recipient {
        id: invitation.id.to_string(),
        address: invitation.email.as_str().to_owned(),
        locale: workspace.locale.as_str().to_owned(),
        zone: workspace.zone.as_str().to_owned(),
    };
    notifications::send(tx, invitation.workspace, Message::email(TemplateKey::Invitation, recipient, variables)).await?;
    Ok(())
}
