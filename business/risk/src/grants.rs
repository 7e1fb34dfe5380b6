//! The rights that risk asks for; `app` hands them to people.

use kernel::Grant;

/// See the rules and what was decided by them.
pub const READ: Grant = Grant("risk:read");
/// Make, change and delete rules.
pub const MANAGE: Grant = Grant("risk:manage");
/// All of them.
pub const ALL: [Grant; 2] = [READ, MANAGE];
