//! Store: one `Store` and one `Tx` over SQLite and PostgreSQL; the only crate that names a database driver.
//!
//! What a unit of work ([`Tx`]) promises, on both engines:
//!
//! 1. **Whole**: what the closure did is kept as a whole if it answers `Ok`, and not at all if it answers `Err` or panics,
//!    or if one of its statements failed, even when the closure went on.
//! 2. **Durable**: every answer, an error included, goes out after the commit that covers what the unit saw, and that commit
//!    is on disk (`synchronous = full`, `synchronous_commit = on`).
//! 3. **Ordered**: on SQLite units run one after the other, in the order of their commit. On PostgreSQL they run READ
//!    COMMITTED; units that [`Tx::lock`] the same parent run one after the other.
//! 4. **Unknown is not failed**: when the answer to a commit is lost, every waiter hears `OutcomeUnknown`, and on SQLite the
//!    process ends, because only a fresh start can find out what the disk holds. It is never run again by itself.
//! 5. **Once**: hooks given to [`Tx::after_commit`] run once, after the commit, and never without it. A unit may run several
//!    times on PostgreSQL (40001, 40P01), of which one is kept.
//! 6. **Apart**: reads ([`Store::read`]) see only what is committed, and never queue behind a unit.
//! 7. **Bounded**: a unit, a statement, a read, the queue and SQLite's log each have a limit ([`Limits`]); a write of SQLite is
//!    ended between two statements and never within one.
//!
//! After a power cut every answered unit is there. On SQLite that is tested sector by sector (`testing::power_cut`); on
//! PostgreSQL it is its own promise (`fsync`, `synchronous_commit`), and the tests here kill its server under load.
//!
//! Deliberately knows no business word and no HTTP.

pub mod backup;
mod error;
mod migrate;
mod postgres;
mod replica;
mod snapshot;
mod sqlite;
mod statement;
mod store;
#[cfg(feature = "testing")]
pub mod testing;
mod tx;
mod value;
mod vault;

pub use error::StoreError;
pub use kernel::{P, Param};
pub use migrate::{Migration, migrations};
pub use snapshot::Snapshot;
pub use statement::Sql;
pub use store::{Config, Engine, Limits, OnFatal, Read, Store, lock_folder};
pub use tx::{Map, Reads, Tx, Unit};
pub use value::{Column, Index, Row};
pub use vault::{Vault, key_file};
