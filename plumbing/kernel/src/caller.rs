//! Callers: who asks, for which workspace, and what they may do.

use std::sync::Arc;

crate::id!(
    /// A workspace: the tenant that every row belongs to.
    pub struct WorkspaceId = "ws"
);
crate::id!(
    /// A person's membership of one workspace.
    pub struct MemberId = "mem"
);
crate::id!(
    /// An API key of one workspace.
    pub struct KeyId = "key"
);

/// One right, named by the module that asks for it, for example `codes:write`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Grant(pub &'static str);

/// The rights of a caller.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants(Arc<[Grant]>);

impl Grants {
    /// Exactly these rights.
    pub fn of(grants: impl IntoIterator<Item = Grant>) -> Self {
        Self(grants.into_iter().collect())
    }

    /// Whether `grant` is among them.
    pub fn has(&self, grant: Grant) -> bool {
        self.0.contains(&grant)
    }
}

/// Who asks. Authorization is the first line of every verb that a door faces: `tx.caller().may(GRANT)?`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// A member who is signed in.
    Person {
        /// The workspace they are working in.
        workspace: WorkspaceId,
        /// Their membership there.
        member: MemberId,
        /// What their role allows.
        grants: Grants,
    },
    /// A program with an API key.
    Key {
        /// The key's workspace.
        workspace: WorkspaceId,
        /// The key.
        key: KeyId,
        /// What the key's scopes allow.
        grants: Grants,
    },
    /// Somebody unknown who opened a public page of a workspace.
    Visitor {
        /// The page's workspace.
        workspace: WorkspaceId,
    },
    /// Tessera itself: a job, a timer, the command line.
    System {
        /// Why, for the audit trail.
        reason: &'static str,
    },
}

/// The caller may not do this. Shown as 403 to a member; what a stranger may not see is 404 by the verb's own choice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this needs the right {}", .grant.0)]
pub struct NotAllowed {
    /// The right that was missing.
    pub grant: Grant,
}

impl crate::Fault for NotAllowed {
    fn kind(&self) -> crate::Kind {
        crate::Kind::Forbidden
    }

    fn code(&self) -> &'static str {
        "forbidden"
    }
}

impl Caller {
    /// Tessera itself, with the reason that the audit trail shows.
    pub const fn system(reason: &'static str) -> Self {
        Self::System { reason }
    }

    /// The workspace of this caller, if it holds `grant`. Visitors and the system hold no rights: verbs for them name
    /// the workspace themselves.
    pub fn may(&self, grant: Grant) -> Result<WorkspaceId, NotAllowed> {
        match self {
            Self::Person { workspace, grants, .. } | Self::Key { workspace, grants, .. } if grants.has(grant) => Ok(*workspace),
            _ => Err(NotAllowed { grant }),
        }
    }

    /// The workspace this caller acts in, if it is bound to one.
    pub fn workspace(&self) -> Option<WorkspaceId> {
        match self {
            Self::Person { workspace, .. } | Self::Key { workspace, .. } | Self::Visitor { workspace } => Some(*workspace),
            Self::System { .. } => None,
        }
    }

    /// The member, when a person asks.
    pub fn member(&self) -> Option<MemberId> {
        match self {
            Self::Person { member, .. } => Some(*member),
            _ => None,
        }
    }

    /// Who it was, for the audit trail: an identifier or a reason, never a name or an address.
    pub fn actor(&self) -> String {
        match self {
            Self::Person { member, .. } => member.to_string(),
            Self::Key { key, .. } => key.to_string(),
            Self::Visitor { .. } => "visitor".to_owned(),
            Self::System { reason } => format!("system:{reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Id, RawId};

    #[test]
    fn only_a_caller_that_holds_the_right_gets_its_workspace() {
        const READ: Grant = Grant("things:read");
        const WRITE: Grant = Grant("things:write");
        let workspace = WorkspaceId::from_raw(RawId::from_bits(1));
        let member = MemberId::from_raw(RawId::from_bits(2));
        let person = Caller::Person { workspace, member, grants: Grants::of([READ]) };
        assert_eq!(person.may(READ), Ok(workspace));
        assert_eq!(person.may(WRITE), Err(NotAllowed { grant: WRITE }));
        assert!(Caller::Visitor { workspace }.may(READ).is_err());
        assert!(Caller::system("test").may(READ).is_err());
    }
}
