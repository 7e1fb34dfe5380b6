//! Codes on a real database.

#[path = "all/scan.rs"]
mod scan;

#[path = "all/door.rs"]
mod door;
#[path = "all/verbs.rs"]
mod verbs;
#[path = "all/world.rs"]
mod world;
