//! Codes on a real database.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "all/scan.rs"]
mod scan;

#[path = "all/door.rs"]
mod door;
#[path = "all/verbs.rs"]
mod verbs;
#[path = "all/world.rs"]
mod world;
