//! Faults: what may go wrong, in six kinds, without a word about HTTP.

/// What sort of thing went wrong; one file of the gateway turns it into a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The caller sent something that cannot be right; repeating it will not help.
    Invalid,
    /// It is not there, or the caller may not know that it is.
    NotFound,
    /// It was right, but the state has moved on or the thing exists already.
    Conflict,
    /// The caller is known and may not do this.
    Forbidden,
    /// Not now: repeat later, with the same idempotency key.
    Unavailable,
    /// A defect of ours.
    Internal,
}

/// One field of a request that was refused, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldFault {
    /// The field's path as the caller wrote it, for example `destination.url`.
    pub field: String,
    /// What is wrong and what would be right, in one sentence.
    pub message: String,
}

impl FieldFault {
    /// A refusal of `field` with its fix.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

/// An error that knows its kind. `Display` is safe to show to the caller for every kind but `Internal`, and never
/// repeats its source.
pub trait Fault: std::error::Error + Send + Sync + 'static {
    /// The kind, which decides the status.
    fn kind(&self) -> Kind;
    /// A stable word for programs, in snake case, for example `code_paused`.
    fn code(&self) -> &'static str;
    /// The fields that were refused, when the fault is about fields.
    fn fields(&self) -> Vec<FieldFault> {
        Vec::new()
    }
}
