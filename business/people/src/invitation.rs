//! The noun: an invitation by mail into a workspace. No I/O.

use std::time::Duration;

use kernel::{MemberId, Timestamp, WorkspaceId};

use crate::{Email, Role};

kernel::id!(
    /// An invitation that was mailed.
    pub struct InvitationId = "inv"
);

/// An invitation can be accepted this long.
pub(crate) const INVITATION_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);
/// How many invitations of a workspace may be open.
pub(crate) const INVITATIONS_MAX: i64 = 200;

/// An invitation that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// Which.
    pub id: InvitationId,
    /// Into this workspace.
    pub workspace: WorkspaceId,
    /// To this address.
    pub email: Email,
    /// With this role.
    pub role: Role,
    /// Who invites; none when it was the installation itself or a program.
    pub invited_by: Option<MemberId>,
    /// Since when.
    pub created_at: Timestamp,
    /// Until when.
    pub expires_at: Timestamp,
}
