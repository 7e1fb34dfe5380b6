//! People on a real database: the verbs, the door and the addresses.
#![allow(clippy::unwrap_used, reason = "a test says by a panic what it did not get")]

#[path = "all/addresses.rs"]
mod addresses;
#[path = "all/keys.rs"]
mod keys;
#[path = "all/members.rs"]
mod members;
#[path = "all/privacy.rs"]
mod privacy;
#[path = "all/sign_in.rs"]
mod sign_in;
#[path = "all/world.rs"]
mod world;
