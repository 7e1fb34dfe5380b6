//! What concerns a person wherever they are: their profile, their erasure, and the sweep of what is over.

use std::time::Duration;

use serde_json::json;
use store::{Reads, Tx, params};

use super::members::end_member;
use super::{lock_members, lock_person};
use crate::events::MemberChanged;
use crate::{Email, Locale, PeopleError, Person, PersonId, PersonName, Zone, door, queries, sql};

/// What shall be different about a person; what is none stays.
#[derive(Debug, Clone, Default)]
pub struct Profile {
    /// Their name.
    pub name: Option<PersonName>,
    /// Their language.
    pub locale: Option<Locale>,
    /// Their time zone.
    pub zone: Option<Zone>,
}

/// Changes the caller's own name, language or time zone.
pub async fn change_profile(tx: &mut Tx, profile: Profile) -> Result<Person, PeopleError> {
    let me = queries::caller_member(tx).await?;
    lock_person(tx, me.person).await?;
    let before = queries::person_everywhere(tx, me.person).await?.ok_or(PeopleError::NotFound { what: "person" })?;
    let after = Person {
        name: profile.name.map_or(before.name.clone(), |name| name.as_str().to_owned()),
        locale: profile.locale.unwrap_or(before.locale.clone()),
        zone: profile.zone.unwrap_or(before.zone.clone()),
        ..before.clone()
    };
    let changed = [("name", after.name != before.name), ("locale", after.locale != before.locale), ("zone", after.zone != before.zone)];
    let fields: Vec<&str> = changed.iter().filter(|(_, is_changed)| *is_changed).map(|(field, _)| *field).collect();
    if fields.is_empty() {
        return Ok(before);
    }
    tx.execute(&sql::UPDATE_PROFILE_EVERYWHERE, params![me.person, after.name, after.locale.as_str(), after.zone.as_str()]).await?;
    for membership in queries::memberships_everywhere(tx, me.person).await? {
        let (workspace, member) = (membership.workspace, membership.member);
        outbox::audit(tx, workspace, "people.profile_changed", &member.to_string(), &json!({ "fields": fields })).await?;
        outbox::publish(tx, workspace, &MemberChanged { member, role: membership.role }).await?;
    }
    Ok(after)
}

/// Erases a person: they leave every workspace, their sessions, links and invitations go, and what is left of them is a
/// number. Refused while they are the last owner of a workspace. No door faces it; the audit names numbers only.
pub async fn erase(tx: &mut Tx, person: PersonId) -> Result<(), PeopleError> {
    // Before the workspaces, as whoever accepts an invitation does: nobody joins one behind the erasure.
    lock_person(tx, person).await?;
    let known = queries::person_everywhere(tx, person).await?.ok_or(PeopleError::NotFound { what: "person" })?;
    let mut memberships = queries::memberships_everywhere(tx, person).await?;
    memberships.sort_by_key(|membership| membership.workspace);
    for membership in &memberships {
        lock_members(tx, membership.workspace).await?;
        if let Some(member) = queries::member(tx, membership.workspace, membership.member).await? {
            end_member(tx, &member).await?;
        }
        outbox::audit(tx, membership.workspace, "people.person_erased", &person.to_string(), &json!({ "member": membership.member }))
            .await?;
    }
    forget_letters(tx, person, &known.email).await?;
    let now = tx.now();
    tx.execute(&sql::DELETE_SESSIONS_EVERYWHERE, params![person]).await?;
    tx.execute(&sql::DELETE_LINKS_EVERYWHERE, params![person]).await?;
    tx.execute(&sql::DELETE_INVITATIONS_TO_EVERYWHERE, params![known.email.as_str()]).await?;
    tx.execute(&sql::ERASE_PERSON_EVERYWHERE, params![person, Email::erased(person).as_str(), now]).await?;
    door::forget(tx);
    Ok(())
}

/// Blanks the mails to a person and the recorded answers that show them, wherever they were a member or invited.
async fn forget_letters(tx: &mut Tx, person: PersonId, email: &Email) -> Result<(), PeopleError> {
    let traces = tx.rows(&sql::LIST_TRACES_EVERYWHERE, params![person, email.as_str()], sql::trace).await?;
    let mut last = None;
    for (workspace, subject) in traces {
        gateway::erase_answers(tx, workspace, &subject).await?;
        if last != Some(workspace) {
            notifications::erase(tx, workspace, email.as_str()).await?;
            gateway::erase_answers(tx, workspace, &person.to_string()).await?;
            last = Some(workspace);
        }
    }
    Ok(())
}

/// How long a link is remembered after it was made, so that the count of an hour is right.
const LINKS_KEPT: Duration = Duration::from_secs(24 * 3600);
/// How long an invitation is remembered after its end.
const INVITATIONS_KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// Deletes sessions, links and invitations that are over, at most 500 of each; says how many, so that the caller comes back
/// while there are some.
pub async fn sweep_everywhere(tx: &mut Tx) -> Result<u64, PeopleError> {
    let now = tx.now();
    let sessions = tx.execute(&sql::SWEEP_SESSIONS_EVERYWHERE, params![now]).await?;
    let links = tx.execute(&sql::SWEEP_LINKS_EVERYWHERE, params![now.minus(LINKS_KEPT)]).await?;
    let invitations = tx.execute(&sql::SWEEP_INVITATIONS_EVERYWHERE, params![now.minus(INVITATIONS_KEPT)]).await?;
    Ok(sessions + links + invitations)
}
