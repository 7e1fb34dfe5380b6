//! The noun: a workspace, the tenant that everything belongs to. No I/O.

use kernel::{Timestamp, WorkspaceId};

use crate::person::one_line;
use crate::{Locale, PeopleError, Zone};

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    /// Which.
    pub id: WorkspaceId,
    /// What it is called.
    pub name: String,
    /// The language of its new members.
    pub locale: Locale,
    /// The time zone of its new members, and of its days.
    pub zone: Zone,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What a workspace is called: one line of 1 to 80 characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkspaceName(String);

impl WorkspaceName {
    /// Reads a name; spaces around are dropped.
    pub fn parse(text: &str) -> Result<Self, PeopleError> {
        one_line("name", text, 80).map(Self)
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
