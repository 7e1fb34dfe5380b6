//! The noun: a role, and the table of what each role and each key may do. No I/O.

use std::str::FromStr;

use kernel::{Grant, Grants};
use serde::{Deserialize, Serialize};

use crate::PeopleError;

/// What somebody is in a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// May do everything, and alone decides who else owns.
    Owner,
    /// May do everything but what concerns owners.
    Admin,
    /// Works with the workspace's things.
    Member,
    /// Looks on.
    Viewer,
}

impl Role {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Member => "member",
            Self::Viewer => "viewer",
        }
    }
}

impl FromStr for Role {
    type Err = PeopleError;
    fn from_str(text: &str) -> Result<Self, PeopleError> {
        match text {
            "owner" => Ok(Self::Owner),
            "admin" => Ok(Self::Admin),
            "member" => Ok(Self::Member),
            "viewer" => Ok(Self::Viewer),
            _ => Err(PeopleError::field("role", "must be owner, admin, member or viewer")),
        }
    }
}

/// What each role may do, and which rights an API key may be given as its scopes. The application puts it together from the
/// constants of all modules.
#[derive(Debug, Clone)]
pub struct Roles {
    /// Rights of an owner.
    pub owner: Grants,
    /// Rights of an admin.
    pub admin: Grants,
    /// Rights of a member.
    pub member: Grants,
    /// Rights of a viewer.
    pub viewer: Grants,
    /// Rights that a key can have; a scope's name is its right's name.
    pub scopes: Vec<Grant>,
}

impl Roles {
    /// What `role` may do.
    pub fn of(&self, role: Role) -> &Grants {
        match role {
            Role::Owner => &self.owner,
            Role::Admin => &self.admin,
            Role::Member => &self.member,
            Role::Viewer => &self.viewer,
        }
    }

    /// Reads the scopes that somebody wants for a key: at least one, each known, each once.
    pub fn parse_scopes(&self, names: &[String]) -> Result<Vec<Grant>, PeopleError> {
        let known = || self.scopes.iter().map(|g| g.0).collect::<Vec<_>>().join(", ");
        if names.is_empty() {
            return Err(PeopleError::field("scopes", format!("must name at least one of {}", known())));
        }
        let mut scopes: Vec<Grant> = Vec::with_capacity(names.len().min(self.scopes.len()));
        for (at, name) in names.iter().enumerate() {
            let Some(scope) = self.scopes.iter().find(|g| g.0 == name) else {
                return Err(PeopleError::field(&format!("scopes[{at}]"), format!("must be one of {}", known())));
            };
            if scopes.contains(scope) {
                return Err(PeopleError::field(&format!("scopes[{at}]"), "is there twice"));
            }
            scopes.push(*scope);
        }
        Ok(scopes)
    }

    /// The rights of a key with these stored scopes; one that no longer exists gives nothing.
    pub(crate) fn of_scopes(&self, names: &[String]) -> Grants {
        Grants::of(self.scopes.iter().copied().filter(|g| names.iter().any(|n| n == g.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: Grant = Grant("things:read");
    const WRITE: Grant = Grant("things:write");

    fn roles() -> Roles {
        Roles {
            owner: Grants::of([READ, WRITE]),
            admin: Grants::of([READ, WRITE]),
            member: Grants::of([READ]),
            viewer: Grants::default(),
            scopes: vec![READ, WRITE],
        }
    }

    #[test]
    fn scopes_are_known_and_named_once() {
        let parse = |names: &[&str]| roles().parse_scopes(&names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>());
        assert_eq!(parse(&["things:write"]).unwrap(), vec![WRITE]);
        for bad in [&[][..], &["things:burn"], &["things:read", "things:read"], &["THINGS:READ"]] {
            assert!(matches!(parse(bad), Err(PeopleError::Field(_))), "{bad:?}");
        }
    }

    #[test]
    fn a_scope_that_no_longer_exists_gives_nothing() {
        let grants = roles().of_scopes(&["things:read".to_owned(), "things:gone".to_owned()]);
        assert!(grants.has(READ) && !grants.has(WRITE));
    }

    #[test]
    fn a_role_is_read_back_from_its_word() {
        for role in [Role::Owner, Role::Admin, Role::Member, Role::Viewer] {
            assert_eq!(role.as_str().parse::<Role>().unwrap(), role);
            assert_eq!(serde_json::to_value(role).unwrap(), role.as_str());
        }
        assert!("root".parse::<Role>().is_err());
    }
}
