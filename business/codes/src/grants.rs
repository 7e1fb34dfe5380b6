//! The rights that codes asks for.

use kernel::Grant;

/// See codes, their symbols and their counts.
pub const READ: Grant = Grant("codes:read");
/// Mint codes and change where they lead.
pub const WRITE: Grant = Grant("codes:write");
