//! Kernel: the words that every crate of Tessera shares.
//!
//! Holds identifiers, money, time, randomness, callers and faults. Nothing here does input or output, except that the two
//! sources of the outside world that a program cannot do without, the clock and the random generator, enter through it, so
//! that a test can stop the one and seed the other.
//!
//! Invariants: an identifier of one kind cannot be used as another; an amount of money never loses or gains a unit, never
//! overflows silently and never meets an amount of another currency; time is UTC, in microseconds.
//!
//! Knows nothing of databases, HTTP or any business word.

#[doc(hidden)]
pub use serde;

mod caller;
mod entropy;
mod fault;
mod id;
mod money;
mod timestamp;
mod value;

pub use caller::{Caller, Grant, Grants, KeyId, MemberId, NotAllowed, WorkspaceId};
pub use entropy::Entropy;
pub use fault::{Fault, FieldFault, Kind};
pub use id::{Id, IdError, RawId};
pub use money::{Currency, Money, MoneyError, Rounding};
pub use timestamp::{Clock, Timestamp, TimestampError};
pub use value::{P, Param};
