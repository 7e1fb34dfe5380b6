//! The ledger on a real database.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "all/posting.rs"]
mod posting;
#[path = "all/queries.rs"]
mod queries;
#[path = "all/world.rs"]
mod world;
