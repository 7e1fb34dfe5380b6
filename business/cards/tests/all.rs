//! Cards on a real database and through the door: made, changed, shown, exchanged, handed on and forgotten.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[path = "all/api.rs"]
mod api;
#[path = "all/codes.rs"]
mod codes;
#[path = "all/exchange.rs"]
mod exchange;
#[path = "all/privacy.rs"]
mod privacy;
#[path = "all/public.rs"]
mod public;
#[path = "all/world.rs"]
mod world;
