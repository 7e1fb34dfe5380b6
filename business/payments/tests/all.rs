//! Payments from outside: what every provider's adapter promises, and what the engine does on a real database.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

/// The way out to the simulators, which are on this machine.
fn loopback() -> gateway::Exit {
    gateway::Exit::by_system(gateway::AllowedNetworks::parse(["127.0.0.1"]).unwrap())
}

#[path = "all/accounts.rs"]
mod accounts;
#[path = "all/attacks.rs"]
mod attacks;
#[path = "all/bank.rs"]
mod bank;
#[path = "all/contract/mod.rs"]
mod contract;
#[path = "all/engine.rs"]
mod engine;
#[path = "all/holes.rs"]
mod holes;
#[path = "all/invariants.rs"]
mod invariants;
#[path = "all/lives.rs"]
mod lives;
#[path = "all/model.rs"]
mod model;
#[path = "all/payouts.rs"]
mod payouts;
#[path = "all/properties.rs"]
mod properties;
#[path = "all/replay.rs"]
mod replay;
#[path = "all/settlement.rs"]
mod settlement;
#[path = "all/till.rs"]
mod till;
