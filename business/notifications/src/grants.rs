//! The rights that this module asks for.

use kernel::Grant;

/// See endpoints, attempts, messages (without their content) and templates.
pub const READ: Grant = Grant("notifications:read");
/// Change endpoints and templates, replay and test.
pub const WRITE: Grant = Grant("notifications:write");
/// All of them.
pub const ALL: [Grant; 2] = [READ, WRITE];
