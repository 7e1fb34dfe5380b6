//! What may go wrong between a unit of work and the disk.

use kernel::{Fault, Kind};

/// A failure of the store. `Display` tells a caller what to do and never repeats the driver's message.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The commit was sent and its answer never came: it may or may not have happened.
    #[error("the outcome is unknown: repeat the request with the same idempotency key")]
    OutcomeUnknown,
    /// Nothing of this unit was kept; it may be repeated.
    #[error("nothing was stored: {reason}; repeat the request later")]
    NotCommitted {
        /// What the operator should know.
        reason: String,
    },
    /// Too many units are waiting.
    #[error("the store is busy: repeat the request later")]
    Busy,
    /// The store has stopped, after a failed commit or at shutdown.
    #[error("the store has stopped: {reason}")]
    Stopped {
        /// What happened and what to do.
        reason: String,
    },
    /// A read ran for longer than it may.
    #[error("the query took too long: ask for less")]
    TooSlow,
    /// Text with a NUL character, which one engine would keep and the other refuse.
    #[error("text must not contain the NUL character")]
    NulInText,
    /// A unit went on after one of its statements had failed.
    #[error("a statement of this unit failed before, so nothing of it was kept")]
    Poisoned,
    /// A unit waited for something other than its transaction.
    #[error("a unit of work waited for something other than its transaction")]
    WaitedForSomethingElse,
    /// A value in the database is not what the program expects.
    #[error("a stored value could not be read")]
    Decode {
        /// The parser's complaint.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A constraint of the schema refused a row, which a verb should have ruled out before.
    #[error("a rule of the database refused this change")]
    Constraint {
        /// The driver's words.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The installation needs a person: wrong version, locked folder, broken file, bad configuration.
    #[error("{advice}")]
    Setup {
        /// What is wrong and how to mend it.
        advice: String,
    },
    /// Anything else that a driver reports.
    #[error("the database refused a statement")]
    Driver {
        /// The driver's words.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl StoreError {
    pub(crate) fn column(name: &str) -> Self {
        Self::Decode { source: format!("no column named {name}").into() }
    }

    /// A stored value that does not parse.
    pub fn decode(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Decode { source: Box::new(source) }
    }

    pub(crate) fn setup(advice: impl Into<String>) -> Self {
        Self::Setup { advice: advice.into() }
    }

    pub(crate) fn not_committed(reason: impl Into<String>) -> Self {
        Self::NotCommitted { reason: reason.into() }
    }

    pub(crate) fn sqlite(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{
            ConstraintViolation, DatabaseBusy, DatabaseCorrupt, DiskFull, NotADatabase, OperationInterrupted, SystemIoFailure,
        };
        match error.sqlite_error_code() {
            Some(OperationInterrupted) => Self::TooSlow,
            Some(DiskFull) => Self::not_committed("the disk is full, free some space"),
            Some(SystemIoFailure) => Self::not_committed("the disk cannot be read or written, check it (`dmesg`)"),
            Some(DatabaseCorrupt | NotADatabase) => Self::setup(format!(
                "the database is damaged ({error}): stop tessera, keep a copy of its folder, then `tessera restore` the newest \
                 backup into a new one"
            )),
            Some(DatabaseBusy) => Self::Busy,
            Some(ConstraintViolation) => Self::Constraint { source: Box::new(error) },
            _ => Self::Driver { source: Box::new(error) },
        }
    }

    pub(crate) fn postgres(error: tokio_postgres::Error) -> Self {
        let Some(state) = error.code() else {
            return if error.is_closed() || std::error::Error::source(&error).is_some_and(|s| s.is::<std::io::Error>()) {
                Self::not_committed("the connection to the database was lost")
            } else {
                Self::Driver { source: Box::new(error) }
            };
        };
        match state.code() {
            "40001" | "40P01" => Self::not_committed("it collided with another unit"),
            "57014" => Self::TooSlow,
            "25P02" => Self::Poisoned,
            "55P03" | "25P03" => Self::Busy,
            code if code.starts_with("53") => Self::not_committed("the database server is out of space, memory or connections"),
            code if code.starts_with("57P") || code.starts_with("08") => {
                Self::not_committed("the database server is shutting down or unreachable")
            }
            code if code.starts_with("23") => Self::Constraint { source: Box::new(error) },
            _ => Self::Driver { source: Box::new(error) },
        }
    }
}

impl Fault for StoreError {
    fn kind(&self) -> Kind {
        match self {
            Self::OutcomeUnknown | Self::NotCommitted { .. } | Self::Busy | Self::Stopped { .. } | Self::TooSlow => Kind::Unavailable,
            Self::NulInText => Kind::Invalid,
            Self::Constraint { .. } => Kind::Conflict,
            _ => Kind::Internal,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::OutcomeUnknown => "outcome_unknown",
            Self::NotCommitted { .. } => "not_committed",
            Self::Busy => "store_busy",
            Self::Stopped { .. } => "store_stopped",
            Self::TooSlow => "query_too_slow",
            Self::NulInText => "nul_in_text",
            Self::Constraint { .. } => "constraint",
            _ => "store_error",
        }
    }
}
