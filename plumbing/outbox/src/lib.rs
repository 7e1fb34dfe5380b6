//! Outbox: facts, jobs, timers and the audit trail, written in the unit of work that causes them.
//!
//! An append-only log with cursors, not a queue of row states: whoever changes something appends what happened (a fact) or
//! what is to be done (a job) in the same unit, so that neither exists without the other. The log is cut into sixteen
//! shards; each running process leases its share of them, follows the log's tail and runs what it finds.
//!
//! Invariants:
//! - What a unit appended is run at least once after its commit, and never without it. What a job does to the database with
//!   [`JobContext::write`] happens exactly once, because the same commit marks the entry finished, and only if the lease
//!   still holds by the database's clock: a process that slept past its lease changes nothing.
//! - The reader passes no entry that may still be committed, whatever order the transactions end in (see `sql.rs`).
//! - The head never blocks: what fails, waits for its time or finds its lane full leaves the log for a row of its own in
//!   the commit that marks it finished there.
//! - Two facts of one subject may arrive in either order, so facts carry the subject's version; jobs are in no order.
//! - Everything is bounded: queues, attempts, leases, batches, what is held in memory.
//! - A destination outside that hangs or fails holds a part of a lane and never all of it, where its jobs ask a [`Gate`].
//!
//! Knows no business word: the caller hands over the facts' reactions and the jobs' code. Facts and the audit trail carry
//! ids, never personal data.

mod audit;
mod commands;
mod context;
mod dead;
mod engine;
mod entry;
mod error;
mod gate;
mod job;
mod queries;
mod sql;
pub mod testing;

pub use audit::{AuditId, Audited, audit, audit_list, audit_of_subject};
pub use commands::{enqueue, enqueue_at, publish};
pub use context::JobContext;
pub use dead::{DeadJob, dead_count, dead_find, dead_list, discard, replay};
pub use engine::{Builder, Feed, Outbox, Tuning};
pub use entry::{Entry, EntryKind, Fact, Position, PositionError};
pub use error::OutboxError;
pub use gate::{Gate, GateLimits, Slot, Went};
pub use job::{Job, JobError, JobId, NewJob};
pub use queries::{facts_after, log_end};
pub use sql::STATEMENTS;
