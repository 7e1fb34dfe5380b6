//! The rights that cards ask for.

use kernel::Grant;

/// See the workspace's cards.
pub const READ: Grant = Grant("cards:read");
/// Make and change them.
pub const WRITE: Grant = Grant("cards:write");
/// All rights of this module, for the table of roles.
pub const ALL: [Grant; 2] = [READ, WRITE];
