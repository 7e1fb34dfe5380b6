//! The promises of the outbox, on the engine that the environment names.

#![expect(clippy::unwrap_used, reason = "a test may")]

#[path = "all/by_hand.rs"]
mod by_hand;
#[path = "all/live.rs"]
mod live;
#[path = "all/process.rs"]
mod process;
#[path = "all/trail.rs"]
mod trail;
#[path = "all/world.rs"]
mod world;
