//! Signing in and out.

use kernel::{Id, RawId, WorkspaceId};
use serde_json::json;
use std::time::Duration;
use store::{Tx, params};

use super::{letters, lock_person};
use crate::session::{LINK_LIFE, LINKS_PER_HOUR_MAX, LinkId, SESSION_LIFE, SESSIONS_MAX};
use crate::sign_in::Links;
use crate::token::{self, Hash};
use crate::{AgentClass, Email, Member, PeopleError, Person, PersonId, Session, SessionId, SignedIn, Via, door, queries, sql};

/// Opens a session of a member in their workspace. The least recently used one beyond fifty makes room.
pub(crate) async fn open_session(tx: &mut Tx, member: &Member, via: Via, agent: &AgentClass) -> Result<SignedIn, PeopleError> {
    let token = token::token(tx.entropy());
    let (id, now) = (tx.new_id::<SessionId>(), tx.now());
    let expires_at = now.plus(SESSION_LIFE);
    tx.execute(&sql::TRIM_SESSIONS_EVERYWHERE, params![member.person, SESSIONS_MAX - 1]).await?;
    tx.execute(
        &sql::INSERT_SESSION,
        params![id, member.workspace, member.person, member.id, token::hash(&token), agent.as_str(), via.as_str(), now, expires_at],
    )
    .await?;
    outbox::audit(tx, member.workspace, "people.signed_in", &id.to_string(), &json!({ "member": member.id, "via": via })).await?;
    Ok(SignedIn { token, session: id, person: member.person, workspace: member.workspace, member: member.id, expires_at })
}

/// Mails a sign-in link to the address if a member has it. Says the same, and writes as much, if nobody has it: an unknown
/// address gets a row that opens nothing. The sixth within an hour is not mailed either.
pub async fn request_sign_in_link(tx: &mut Tx, links: &Links, email: &Email) -> Result<(), PeopleError> {
    // Requests for one address, known or not, are counted one after the other.
    tx.lock("people.links", email.as_str()).await?;
    let addressee = match queries::person_by_email_everywhere(tx, email).await? {
        Some(person) => match queries::default_member_everywhere(tx, person.id).await? {
            Some(member) if recent_links(tx, person.id).await? < LINKS_PER_HOUR_MAX => Some(member),
            _ => None,
        },
        None => None,
    };
    let token = insert_link(tx, addressee.as_ref()).await?;
    if let Some(member) = addressee {
        letters::sign_in_link(tx, &member, &links.sign_in(&token)).await?;
    }
    Ok(())
}

async fn recent_links(tx: &mut Tx, person: PersonId) -> Result<i64, PeopleError> {
    let hour_ago = tx.now().minus(Duration::from_secs(3600));
    Ok(store::Reads::row(tx, &sql::COUNT_LINKS_EVERYWHERE, params![person, hour_ago], sql::count).await?.unwrap_or(0))
}

async fn insert_link(tx: &mut Tx, member: Option<&Member>) -> Result<String, PeopleError> {
    let token = token::token(tx.entropy());
    let (id, now) = (tx.new_id::<LinkId>(), tx.now());
    let workspace = member.map_or(WorkspaceId::from_raw(RawId::from_bits(0)), |m| m.workspace);
    tx.execute(&sql::INSERT_LINK, params![id, workspace, member.map(|m| m.person), token::hash(&token), now, now.plus(LINK_LIFE)]).await?;
    Ok(token)
}

/// Makes a sign-in link's token without mailing it, for the command line and the greeting of the first start: whoever can
/// read the terminal may sign in. No door faces it.
pub async fn issue_sign_in_link_everywhere(tx: &mut Tx, person: PersonId) -> Result<String, PeopleError> {
    let member = queries::default_member_everywhere(tx, person).await?.ok_or(PeopleError::NotFound { what: "member" })?;
    let token = insert_link(tx, Some(&member)).await?;
    outbox::audit(tx, member.workspace, "people.link_issued", &member.id.to_string(), &json!({})).await?;
    Ok(token)
}

/// Opens a session for whoever holds the token of a link. It works once: of two at once one wins.
pub async fn redeem_sign_in_link(tx: &mut Tx, token_hash: &Hash, agent: &AgentClass) -> Result<SignedIn, PeopleError> {
    let now = tx.now();
    let link =
        store::Reads::row(tx, &sql::FIND_LINK_EVERYWHERE, params![token_hash, now], sql::link).await?.ok_or(PeopleError::LinkSpent)?;
    lock_person(tx, link.person).await?;
    if tx.execute(&sql::USE_LINK_EVERYWHERE, params![link.id, now]).await? == 0 {
        return Err(PeopleError::LinkSpent);
    }
    let member = match queries::member_of_person(tx, link.workspace, link.person).await? {
        Some(member) => Some(member),
        None => queries::default_member_everywhere(tx, link.person).await?,
    };
    open_session(tx, &member.ok_or(PeopleError::LinkSpent)?, Via::Link, agent).await
}

/// Ends one session of the caller: signs out here, or somewhere else.
pub async fn end_session(tx: &mut Tx, id: SessionId) -> Result<(), PeopleError> {
    let me = queries::caller_member(tx).await?;
    if tx.execute(&sql::DELETE_SESSION_EVERYWHERE, params![me.person, id]).await? == 0 {
        return Err(PeopleError::NotFound { what: "session" });
    }
    outbox::audit(tx, me.workspace, "people.session_ended", &id.to_string(), &json!({})).await?;
    door::forget(tx);
    Ok(())
}

/// Ends all sessions of the caller but this one; says how many.
pub async fn end_other_sessions(tx: &mut Tx, keep: SessionId) -> Result<u64, PeopleError> {
    let me = queries::caller_member(tx).await?;
    let ended = tx.execute(&sql::DELETE_OTHER_SESSIONS_EVERYWHERE, params![me.person, keep]).await?;
    outbox::audit(tx, me.workspace, "people.sessions_ended", &me.id.to_string(), &json!({ "count": ended })).await?;
    door::forget(tx);
    Ok(ended)
}

/// Lets a session of the caller work in another of their workspaces.
pub async fn switch_workspace(tx: &mut Tx, session: SessionId, workspace: WorkspaceId) -> Result<Member, PeopleError> {
    let me = queries::caller_member(tx).await?;
    let there = queries::member_of_person(tx, workspace, me.person).await?.ok_or(PeopleError::NotFound { what: "workspace" })?;
    if tx.execute(&sql::SWITCH_SESSION_EVERYWHERE, params![me.person, session, workspace, there.id]).await? == 0 {
        return Err(PeopleError::NotFound { what: "session" });
    }
    outbox::audit(tx, workspace, "people.session_switched", &session.to_string(), &json!({ "member": there.id })).await?;
    door::forget(tx);
    Ok(there)
}

/// Sets a password whose proof was checked against `person` as it was: if the password has changed meanwhile, nothing
/// happens. Every other session and every open link ends.
pub(crate) async fn set_password(tx: &mut Tx, person: &Person, session: &Session, hash: &str) -> Result<(), PeopleError> {
    lock_person(tx, person.id).await?;
    let now = tx.now();
    if tx.execute(&sql::UPDATE_PASSWORD_EVERYWHERE, params![person.id, person.version, hash]).await? == 0 {
        return Err(PeopleError::ProofNeeded);
    }
    tx.execute(&sql::DELETE_OTHER_SESSIONS_EVERYWHERE, params![person.id, session.id]).await?;
    tx.execute(&sql::SPEND_LINKS_EVERYWHERE, params![person.id, now]).await?;
    let subject = session.member.to_string();
    outbox::audit(tx, session.workspace, "people.password_changed", &subject, &json!({ "fields": ["password"] })).await?;
    door::forget(tx);
    Ok(())
}

/// Writes down that a session is used, which lets it live on.
pub(crate) async fn touch_session(tx: &mut Tx, id: SessionId) -> Result<(), PeopleError> {
    let now = tx.now();
    tx.execute(&sql::TOUCH_SESSION_EVERYWHERE, params![id, now, now.plus(SESSION_LIFE)]).await?;
    Ok(())
}
