//! The rights that the ledger asks for.

use kernel::Grant;

/// See accounts, balances, statements and the trial balance.
pub const READ: Grant = Grant("ledger:read");
/// Open and close accounts, and post.
pub const POST: Grant = Grant("ledger:post");
