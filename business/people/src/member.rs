//! The noun: a member, which is a person in a workspace with a role, and who may change whom. No I/O.

use kernel::{MemberId, Timestamp, WorkspaceId};
use notifications::Recipient;

use crate::{Email, Locale, PeopleError, PersonId, Role, Zone};

/// A person in a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Which membership.
    pub id: MemberId,
    /// Of this workspace.
    pub workspace: WorkspaceId,
    /// The person behind it.
    pub person: PersonId,
    /// Their role.
    pub role: Role,
    /// Their address.
    pub email: Email,
    /// Their name.
    pub name: String,
    /// Their language.
    pub locale: Locale,
    /// Their time zone.
    pub zone: Zone,
    /// When they joined.
    pub joined_at: Timestamp,
}

impl Member {
    /// How they are told something.
    pub fn recipient(&self) -> Recipient {
        Recipient {
            id: self.id.to_string(),
            address: self.email.as_str().to_owned(),
            locale: self.locale.as_str().to_owned(),
            zone: self.zone.as_str().to_owned(),
        }
    }
}

/// One of the workspaces that a person can switch to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// What it is called.
    pub workspace_name: String,
    /// The person's membership there.
    pub member: MemberId,
    /// The person's role there.
    pub role: Role,
}

/// Whether somebody with the role `by` may make a member of the role `from` into one of the role `to`, or remove them when
/// `to` is none. The owners of the workspace are counted apart.
pub(crate) fn check_change(by: Role, from: Role, to: Option<Role>) -> Result<(), PeopleError> {
    let concerns_an_owner = from == Role::Owner || to == Some(Role::Owner);
    if concerns_an_owner && by != Role::Owner { Err(PeopleError::OwnersOnly) } else { Ok(()) }
}

/// Whether the workspace keeps an owner when one of `owners` goes from `from` to `to`.
pub(crate) fn check_owner_stays(owners: i64, from: Role, to: Option<Role>) -> Result<(), PeopleError> {
    if from == Role::Owner && to != Some(Role::Owner) && owners <= 1 { Err(PeopleError::LastOwner) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_owner_touches_owners() {
        assert!(check_change(Role::Admin, Role::Member, Some(Role::Admin)).is_ok());
        assert!(check_change(Role::Admin, Role::Member, Some(Role::Owner)).is_err());
        assert!(check_change(Role::Admin, Role::Owner, Some(Role::Member)).is_err());
        assert!(check_change(Role::Admin, Role::Owner, None).is_err());
        assert!(check_change(Role::Owner, Role::Owner, None).is_ok());
    }

    #[test]
    fn the_last_owner_stays_one() {
        assert!(check_owner_stays(1, Role::Owner, Some(Role::Admin)).is_err());
        assert!(check_owner_stays(1, Role::Owner, None).is_err());
        assert!(check_owner_stays(1, Role::Owner, Some(Role::Owner)).is_ok());
        assert!(check_owner_stays(2, Role::Owner, None).is_ok());
        assert!(check_owner_stays(1, Role::Member, None).is_ok());
    }
}
