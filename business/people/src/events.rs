//! Facts about people, for others. Identifiers and words only, never an address or a name; changes are additive.

use kernel::{KeyId, MemberId, WorkspaceId};
use outbox::Fact;
use serde::{Deserialize, Serialize};

use crate::Role;

/// A workspace was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceCreated {
    /// Which.
    pub workspace: WorkspaceId,
}

impl Fact for WorkspaceCreated {
    const NAME: &'static str = "people.workspace_created";
    fn subject(&self) -> String {
        self.workspace.to_string()
    }
}

/// A workspace has another name, language or time zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceChanged {
    /// Which.
    pub workspace: WorkspaceId,
}

impl Fact for WorkspaceChanged {
    const NAME: &'static str = "people.workspace_changed";
    fn subject(&self) -> String {
        self.workspace.to_string()
    }
}

/// Somebody joined a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberJoined {
    /// Who.
    pub member: MemberId,
    /// As what.
    pub role: Role,
}

impl Fact for MemberJoined {
    const NAME: &'static str = "people.member_joined";
    fn subject(&self) -> String {
        self.member.to_string()
    }
}

/// A member has another role, name, language or time zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberChanged {
    /// Who.
    pub member: MemberId,
    /// Their role now.
    pub role: Role,
}

impl Fact for MemberChanged {
    const NAME: &'static str = "people.member_changed";
    fn subject(&self) -> String {
        self.member.to_string()
    }
}

/// A member left or was removed. What was theirs needs a new home.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRemoved {
    /// Who.
    pub member: MemberId,
}

impl Fact for MemberRemoved {
    const NAME: &'static str = "people.member_removed";
    fn subject(&self) -> String {
        self.member.to_string()
    }
}

/// A key was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyCreated {
    /// Which.
    pub key: KeyId,
}

impl Fact for KeyCreated {
    const NAME: &'static str = "people.key_created";
    fn subject(&self) -> String {
        self.key.to_string()
    }
}

/// A key was revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRevoked {
    /// Which.
    pub key: KeyId,
}

impl Fact for KeyRevoked {
    const NAME: &'static str = "people.key_revoked";
    fn subject(&self) -> String {
        self.key.to_string()
    }
}
