//! The rights that leads asks for; `app` hands them to people.

use kernel::Grant;

/// See leads and export them.
pub const READ: Grant = Grant("leads:read");
/// Enter and change leads, and put the consent text.
pub const WRITE: Grant = Grant("leads:write");
/// Erase a person for ever.
pub const ERASE: Grant = Grant("leads:erase");
/// All of them.
pub const ALL: [Grant; 3] = [READ, WRITE, ERASE];
