//! Who is in a workspace, and as what.

use kernel::{Caller, MemberId, WorkspaceId};
use serde_json::json;
use store::{Tx, params};

use super::{acting_role, lock_members};
use crate::events::{MemberChanged, MemberJoined, MemberRemoved};
use crate::member::{check_change, check_owner_stays};
use crate::{Email, Member, PeopleError, PersonId, PersonName, Role, door, grants, queries, sql};

/// Enters a person in a workspace, for the command line, the first start and the demonstration: no door faces it. A person
/// who is a member already stays as they are.
pub async fn add_member(tx: &mut Tx, workspace: WorkspaceId, email: &Email, name: &PersonName, role: Role) -> Result<Member, PeopleError> {
    let person = enter_person(tx, workspace, email, name, None).await?;
    join(tx, workspace, person, role).await
}

/// The person of this address, entered now if nobody has it. The name and the password count for a new person only: whoever
/// holds an invitation does not thereby rename or re-key somebody.
pub(super) async fn enter_person(
    tx: &mut Tx,
    workspace: WorkspaceId,
    email: &Email,
    name: &PersonName,
    password_hash: Option<&str>,
) -> Result<PersonId, PeopleError> {
    let home = queries::workspace(tx, workspace).await?.ok_or(PeopleError::NotFound { what: "workspace" })?;
    let (id, now) = (tx.new_id::<PersonId>(), tx.now());
    if tx
        .execute(
            &sql::INSERT_PERSON_EVERYWHERE,
            params![id, workspace, email.as_str(), name.as_str(), home.locale.as_str(), home.zone.as_str(), password_hash, now],
        )
        .await?
        == 1
    {
        return Ok(id);
    }
    let known = queries::person_by_email_everywhere(tx, email).await?.ok_or(PeopleError::NotFound { what: "person" })?;
    Ok(known.id)
}

/// Makes a person a member; one who is stays as they are.
pub(super) async fn join(tx: &mut Tx, workspace: WorkspaceId, person: PersonId, role: Role) -> Result<Member, PeopleError> {
    let (id, now) = (tx.new_id::<MemberId>(), tx.now());
    let is_new = tx.execute(&sql::INSERT_MEMBER, params![id, workspace, person, role.as_str(), now]).await? == 1;
    if is_new {
        outbox::audit(tx, workspace, "people.member_joined", &id.to_string(), &json!({ "role": role })).await?;
        outbox::publish(tx, workspace, &MemberJoined { member: id, role }).await?;
    }
    queries::member_of_person(tx, workspace, person).await?.ok_or(PeopleError::NotFound { what: "member" })
}

/// Gives a member another role. Only an owner makes or unmakes an owner, and the last one stays.
pub async fn change_role(tx: &mut Tx, id: MemberId, role: Role) -> Result<Member, PeopleError> {
    let workspace = tx.caller().may(grants::WRITE)?;
    lock_members(tx, workspace).await?;
    let by = acting_role(tx, workspace).await?;
    let member = queries::member(tx, workspace, id).await?.ok_or(PeopleError::NotFound { what: "member" })?;
    check_change(by, member.role, Some(role))?;
    check_owner_stays(queries::count_owners(tx, workspace).await?, member.role, Some(role))?;
    if member.role == role {
        return Ok(member);
    }
    tx.execute(&sql::UPDATE_ROLE, params![workspace, id, role.as_str()]).await?;
    let change = json!({ "from": member.role, "to": role });
    outbox::audit(tx, workspace, "people.role_changed", &id.to_string(), &change).await?;
    outbox::publish(tx, workspace, &MemberChanged { member: id, role }).await?;
    door::forget(tx);
    Ok(Member { role, ..member })
}

/// Removes a member, or lets the caller leave. Sessions in the workspace end; `people.member_removed` says so to whoever
/// minds what was theirs.
pub async fn remove_member(tx: &mut Tx, id: MemberId) -> Result<(), PeopleError> {
    let workspace = match tx.caller() {
        Caller::Person { workspace, member, .. } if *member == id => *workspace,
        caller => caller.may(grants::WRITE)?,
    };
    lock_members(tx, workspace).await?;
    let by = acting_role(tx, workspace).await?;
    let member = queries::member(tx, workspace, id).await?.ok_or(PeopleError::NotFound { what: "member" })?;
    check_change(by, member.role, None)?;
    end_member(tx, &member).await
}

/// Ends a membership whose workspace is locked and whose caller was checked.
pub(super) async fn end_member(tx: &mut Tx, member: &Member) -> Result<(), PeopleError> {
    let (workspace, id, now) = (member.workspace, member.id, tx.now());
    check_owner_stays(queries::count_owners(tx, workspace).await?, member.role, None)?;
    tx.execute(&sql::END_MEMBER, params![workspace, id, now]).await?;
    tx.execute(&sql::DELETE_SESSIONS_OF_MEMBER, params![workspace, id]).await?;
    outbox::audit(tx, workspace, "people.member_removed", &id.to_string(), &json!({ "role": member.role })).await?;
    outbox::publish(tx, workspace, &MemberRemoved { member: id }).await?;
    door::forget(tx);
    Ok(())
}
