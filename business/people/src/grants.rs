//! The rights that this module asks for.

use kernel::Grant;

/// See the workspace and its members.
pub const READ: Grant = Grant("people:read");
/// Invite, change and remove members; rename the workspace.
pub const WRITE: Grant = Grant("people:write");
/// See API keys, without their secrets.
pub const KEYS_READ: Grant = Grant("keys:read");
/// Make and revoke API keys.
pub const KEYS_WRITE: Grant = Grant("keys:write");
/// Read the audit trail.
pub const AUDIT_READ: Grant = Grant("audit:read");
