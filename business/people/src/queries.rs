//! What can be asked about people, inside a unit of work and outside of one. Queries that a door faces check the caller's
//! right before; those here name the workspace, and those that look across end in `_everywhere`.

use kernel::{Caller, KeyId, MemberId, WorkspaceId};
use notifications::Recipient;
use serde_json::{Value, json};
use store::{Reads, StoreError, Tx, params};

use crate::session::SessionId;
use crate::token::Hash;
use crate::{Email, Invitation, InvitationId, Key, Member, Membership, PeopleError, Person, PersonId, Role, Session, Workspace, sql};

/// The workspace.
pub async fn workspace(reads: &mut impl Reads, workspace: WorkspaceId) -> Result<Option<Workspace>, StoreError> {
    reads.row(&sql::FIND_WORKSPACE, params![workspace], sql::workspace).await
}

/// The oldest workspace of the installation, or none: a first start is one without any.
pub async fn first_workspace_everywhere(reads: &mut impl Reads) -> Result<Option<Workspace>, StoreError> {
    reads.row(&sql::ANY_WORKSPACE_EVERYWHERE, params![], sql::workspace).await
}

/// A member of the workspace.
pub async fn member(reads: &mut impl Reads, workspace: WorkspaceId, id: MemberId) -> Result<Option<Member>, StoreError> {
    reads.row(&sql::FIND_MEMBER, params![workspace, id], sql::member).await
}

/// A person's membership of the workspace.
pub async fn member_of_person(reads: &mut impl Reads, workspace: WorkspaceId, person: PersonId) -> Result<Option<Member>, StoreError> {
    reads.row(&sql::FIND_MEMBER_OF_PERSON, params![workspace, person], sql::member).await
}

/// The member of the workspace who has this address.
pub async fn member_by_email(reads: &mut impl Reads, workspace: WorkspaceId, email: &Email) -> Result<Option<Member>, StoreError> {
    reads.row(&sql::FIND_MEMBER_BY_EMAIL, params![workspace, email.as_str()], sql::member).await
}

/// At most `limit` members after `after` (empty for the first page), in the order of their ids.
pub async fn members(reads: &mut impl Reads, workspace: WorkspaceId, after: &str, limit: u32) -> Result<Vec<Member>, StoreError> {
    reads.rows(&sql::LIST_MEMBERS, params![workspace, after, limit], sql::member).await
}

/// The owners of the workspace, at most fifty.
pub async fn owners(reads: &mut impl Reads, workspace: WorkspaceId) -> Result<Vec<Member>, StoreError> {
    reads.rows(&sql::LIST_OWNERS, params![workspace], sql::member).await
}

pub(crate) async fn count_owners(reads: &mut impl Reads, workspace: WorkspaceId) -> Result<i64, StoreError> {
    Ok(reads.row(&sql::COUNT_OWNERS, params![workspace], sql::count).await?.unwrap_or(0))
}

/// How a member is told something; none when they are no member any more.
pub async fn recipient(reads: &mut impl Reads, workspace: WorkspaceId, id: MemberId) -> Result<Option<Recipient>, StoreError> {
    Ok(member(reads, workspace, id).await?.map(|member| member.recipient()))
}

/// The workspaces of a person, the one they joined first at the front.
pub async fn memberships_everywhere(reads: &mut impl Reads, person: PersonId) -> Result<Vec<Membership>, StoreError> {
    reads.rows(&sql::LIST_MEMBERSHIPS_EVERYWHERE, params![person], sql::membership).await
}

/// The membership that opens when a person signs in: the one they joined first.
pub(crate) async fn default_member_everywhere(reads: &mut impl Reads, person: PersonId) -> Result<Option<Member>, StoreError> {
    match memberships_everywhere(reads, person).await?.first() {
        Some(first) => member(reads, first.workspace, first.member).await,
        None => Ok(None),
    }
}

/// A person, unless they were erased.
pub async fn person_everywhere(reads: &mut impl Reads, id: PersonId) -> Result<Option<Person>, StoreError> {
    reads.row(&sql::FIND_PERSON_EVERYWHERE, params![id], sql::person).await
}

/// The person of this address.
pub async fn person_by_email_everywhere(reads: &mut impl Reads, email: &Email) -> Result<Option<Person>, StoreError> {
    reads.row(&sql::FIND_PERSON_BY_EMAIL_EVERYWHERE, params![email.as_str()], sql::person).await
}

/// The session that this token opens, if it has not expired and its member is still there.
pub async fn session_by_token_everywhere(reads: &mut impl Reads, token: &str) -> Result<Option<Session>, StoreError> {
    let Some(hash) = crate::token::hash_of_token(token) else { return Ok(None) };
    session_by_hash_everywhere(reads, &hash).await
}

pub(crate) async fn session_by_hash_everywhere(reads: &mut impl Reads, hash: &Hash) -> Result<Option<Session>, StoreError> {
    let now = reads.now();
    reads.row(&sql::FIND_SESSION_BY_TOKEN_EVERYWHERE, params![hash, now], sql::session).await
}

/// One session of a person.
pub async fn session_everywhere(reads: &mut impl Reads, person: PersonId, id: SessionId) -> Result<Option<Session>, StoreError> {
    let now = reads.now();
    reads.row(&sql::FIND_SESSION_EVERYWHERE, params![person, id, now], sql::session).await
}

/// The sessions of a person, the one used last at the front.
pub async fn sessions_everywhere(reads: &mut impl Reads, person: PersonId) -> Result<Vec<Session>, StoreError> {
    let now = reads.now();
    reads.rows(&sql::LIST_SESSIONS_EVERYWHERE, params![person, now], sql::session).await
}

pub(crate) async fn invitation(reads: &mut impl Reads, workspace: WorkspaceId, id: InvitationId) -> Result<Option<Invitation>, StoreError> {
    let now = reads.now();
    reads.row(&sql::FIND_INVITATION, params![workspace, id, now], sql::invitation).await
}

pub(crate) async fn invitation_by_hash_everywhere(reads: &mut impl Reads, hash: &Hash) -> Result<Option<Invitation>, StoreError> {
    let now = reads.now();
    reads.row(&sql::FIND_INVITATION_EVERYWHERE, params![hash, now], sql::invitation).await
}

/// The open invitation that this token accepts, and the workspace that it leads to: for the page that asks for a name.
pub async fn invitation_by_token_everywhere(reads: &mut impl Reads, token: &str) -> Result<Option<(Invitation, Workspace)>, StoreError> {
    let Some(hash) = crate::token::hash_of_token(token) else { return Ok(None) };
    let Some(invitation) = invitation_by_hash_everywhere(reads, &hash).await? else { return Ok(None) };
    Ok(workspace(reads, invitation.workspace).await?.map(|workspace| (invitation, workspace)))
}

/// At most `limit` open invitations after `after`, in the order of their ids.
pub async fn invitations(reads: &mut impl Reads, workspace: WorkspaceId, after: &str, limit: u32) -> Result<Vec<Invitation>, StoreError> {
    let now = reads.now();
    reads.rows(&sql::LIST_INVITATIONS, params![workspace, after, now, limit], sql::invitation).await
}

pub(crate) async fn count_invitations(reads: &mut impl Reads, workspace: WorkspaceId) -> Result<i64, StoreError> {
    let now = reads.now();
    Ok(reads.row(&sql::COUNT_INVITATIONS, params![workspace, now], sql::count).await?.unwrap_or(0))
}

/// A key of the workspace.
pub async fn key(reads: &mut impl Reads, workspace: WorkspaceId, id: KeyId) -> Result<Option<Key>, StoreError> {
    reads.row(&sql::FIND_KEY, params![workspace, id], sql::key).await
}

/// The member behind a caller: the person who asks, or who made the key that asks. None where nobody is known: behind a key
/// that the command line made or that was revoked meanwhile, a visitor, or Tessera itself.
pub async fn member_behind(reads: &mut impl Reads, caller: &Caller) -> Result<Option<MemberId>, StoreError> {
    match caller {
        Caller::Person { member, .. } => Ok(Some(*member)),
        Caller::Key { workspace, key: id, .. } => Ok(key(reads, *workspace, *id).await?.and_then(|key| key.maker)),
        Caller::Visitor { .. } | Caller::System { .. } => Ok(None),
    }
}

pub(crate) async fn key_and_hash_everywhere(reads: &mut impl Reads, id: KeyId) -> Result<Option<(Key, Vec<u8>)>, StoreError> {
    reads.row(&sql::FIND_KEY_EVERYWHERE, params![id], sql::key_and_hash).await
}

/// At most `limit` keys after `after`, in the order of their ids.
pub async fn keys(reads: &mut impl Reads, workspace: WorkspaceId, after: &str, limit: u32) -> Result<Vec<Key>, StoreError> {
    reads.rows(&sql::LIST_KEYS, params![workspace, after, limit], sql::key).await
}

pub(crate) async fn count_keys(reads: &mut impl Reads, workspace: WorkspaceId) -> Result<i64, StoreError> {
    Ok(reads.row(&sql::COUNT_KEYS, params![workspace], sql::count).await?.unwrap_or(0))
}

/// The member who asks; refuses programs.
pub async fn caller_member(tx: &mut Tx) -> Result<Member, PeopleError> {
    let caller = tx.caller().clone();
    member_of_caller(tx, &caller).await
}

/// The member that a caller is, as it is now; refuses programs.
pub async fn member_of_caller(reads: &mut impl Reads, caller: &Caller) -> Result<Member, PeopleError> {
    let Caller::Person { workspace, member: id, .. } = caller else { return Err(PeopleError::PersonNeeded) };
    member(reads, *workspace, *id).await?.ok_or(PeopleError::PersonNeeded)
}

/// All that is kept about a person, for their own reading: profile, memberships, sessions. Secrets are not part of it.
pub async fn export(reads: &mut impl Reads, person: PersonId) -> Result<Value, PeopleError> {
    let known = person_everywhere(reads, person).await?.ok_or(PeopleError::NotFound { what: "person" })?;
    let memberships = memberships_everywhere(reads, person).await?;
    let sessions = sessions_everywhere(reads, person).await?;
    let word = |role: Role| role.as_str();
    Ok(json!({
        "person": {
            "id": known.id, "email": known.email, "name": known.name, "locale": known.locale, "zone": known.zone,
            "has_password": known.has_password(), "created_at": known.created_at,
        },
        "memberships": memberships.iter().map(|m| json!({
            "workspace": m.workspace, "workspace_name": m.workspace_name, "member": m.member, "role": word(m.role),
        })).collect::<Vec<_>>(),
        "sessions": sessions.iter().map(|s| json!({
            "id": s.id, "workspace": s.workspace, "agent": s.agent, "via": s.via,
            "created_at": s.created_at, "seen_at": s.seen_at, "expires_at": s.expires_at,
        })).collect::<Vec<_>>(),
    }))
}
