//! The noun: an API key of a program. No I/O.

use std::time::Duration;

use kernel::{Grant, KeyId, MemberId, Timestamp, WorkspaceId};

use crate::PeopleError;
use crate::person::one_line;

/// When a key was last used is written down at most this often.
pub(crate) const USED_EVERY: Duration = Duration::from_secs(3600);
/// How many keys a workspace may have.
pub(crate) const KEYS_MAX: i64 = 100;

/// A key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Which.
    pub id: KeyId,
    /// Of this workspace.
    pub workspace: WorkspaceId,
    /// What it is for.
    pub name: String,
    /// What it may do, by the names of rights.
    pub scopes: Vec<String>,
    /// The member who made it, or who made the key that it was made with; none where the command line did.
    pub maker: Option<MemberId>,
    /// Since when.
    pub created_at: Timestamp,
    /// Until when, if it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the hour.
    pub used_at: Option<Timestamp>,
}

/// What somebody wants a key to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyDraft {
    pub(crate) name: String,
    pub(crate) scopes: Vec<Grant>,
    pub(crate) expires_at: Option<Timestamp>,
}

impl KeyDraft {
    /// A key of this name for these rights, which [`Roles::parse_scopes`](crate::Roles::parse_scopes) reads from their
    /// names; it ends by itself when `expires_at` is given, which must lie ahead.
    pub fn parse(name: &str, scopes: Vec<Grant>, expires_at: Option<Timestamp>, now: Timestamp) -> Result<Self, PeopleError> {
        if expires_at.is_some_and(|at| at <= now) {
            return Err(PeopleError::field("expires_at", "must lie ahead"));
        }
        Ok(Self { name: one_line("name", name, 80)?, scopes, expires_at })
    }
}

/// A key that was made just now; its text is shown once.
#[derive(Clone)]
pub struct NewKey {
    /// The key.
    pub key: Key,
    /// `tsk_<id>.<secret>`, which exists nowhere else.
    pub text: String,
}

impl std::fmt::Debug for NewKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewKey").field("key", &self.key).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_over_already_is_not_made() {
        let now = Timestamp::from_seconds(10);
        assert!(KeyDraft::parse("till", vec![], Some(now), now).is_err());
        assert!(KeyDraft::parse("till", vec![], Some(Timestamp::from_seconds(11)), now).is_ok());
        assert!(KeyDraft::parse("", vec![], None, now).is_err());
    }
}
