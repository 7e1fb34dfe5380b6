//! What a `Tx` promises, sentence by sentence, on both engines, and the hazards behind each rule.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[path = "all/backups.rs"]
mod backups;
#[path = "all/cluster.rs"]
mod cluster;
#[path = "all/crashes.rs"]
mod crashes;
#[path = "all/disk.rs"]
mod disk;
#[path = "all/postgres.rs"]
mod postgres;
#[path = "all/power_cuts.rs"]
mod power_cuts;
#[path = "all/probe.rs"]
mod probe;
#[path = "all/promises.rs"]
mod promises;
#[path = "all/proxy.rs"]
mod proxy;
#[path = "all/replica.rs"]
mod replica;
#[path = "all/snapshots.rs"]
mod snapshots;
#[path = "all/sqlite.rs"]
mod sqlite;
