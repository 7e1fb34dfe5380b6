//! Leads: somebody left their details after a scan; they are kept, answered, handed on and, when asked, forgotten.
//!
//! Invariants: a form is taken once, however often it is sent; a person, known by email or else by phone, has one lead in a
//! workspace, and what they leave later fills gaps and overwrites nothing; what they agreed to is kept as it was shown;
//! a suspect is kept and flagged, never dropped; a change names the version that it saw; an erased person leaves counters.
//! Facts, the audit trail and the answers of changes carry identifiers and no personal data.
//!
//! Deliberately does not know where a lead came from: a [`Source`] is a kind and an id that the module above understands.
//! Knows neither cards nor codes, nor the page that shows the form.

pub mod commands;
mod contact;
mod error;
pub mod events;
mod form;
pub mod grants;
pub mod http;
pub mod jobs;
mod lead;
pub mod queries;
mod sheet;
mod sql;
mod text;

pub use contact::{ContactError, Email, Person, Phone};
pub use error::LeadError;
pub use form::{
    CONSENT_FIELD, FILL_TIME_MIN, FORM_AGE_MAX, Form, FormError, FormKey, FormProof, MESSAGE_CHARS_MAX, NAME_CHARS_MAX, Suspicion,
    TOKEN_FIELD, TRAP_FIELD, parse_details, parse_form, parse_form_json, suspect,
};
pub use http::{Deps, routes};
pub use jobs::{LEAD_CAPTURED_EVENT, LEAD_CHANGED_EVENT, TellChanged, TellDeps, TellOwner, tell_changed, tell_owner};
pub use lead::{
    Consent, ConsentText, DEFAULT_CONSENT, HistoryEntry, Lead, LeadId, NewLead, Note, NoteId, Source, Status, StatusError, Submission,
    SubmissionId, parse_tag,
};
pub use sql::STATEMENTS;
