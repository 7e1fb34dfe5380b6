//! The ledger on a real database.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "all/by_day.rs"]
mod by_day;
#[path = "../../../plumbing/store/tests/all/cluster.rs"]
mod cluster;
#[path = "all/codes.rs"]
mod codes;
#[path = "all/conversions.rs"]
mod conversions;
#[path = "all/http.rs"]
mod http;
#[path = "all/invariants.rs"]
mod invariants;
#[path = "all/model.rs"]
mod model;
#[path = "all/moving.rs"]
mod moving;
#[path = "all/posting.rs"]
mod posting;
#[path = "all/properties.rs"]
mod properties;
#[path = "all/queries.rs"]
mod queries;
#[path = "all/races.rs"]
mod races;
#[path = "all/replica.rs"]
mod replica;
#[path = "all/tampering.rs"]
mod tampering;
#[path = "all/verify.rs"]
mod verify;
#[path = "all/world.rs"]
mod world;
