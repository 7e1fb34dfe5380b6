//! Facts about leads, for whoever minds. They carry identifiers, never personal data.

use kernel::MemberId;
use outbox::Fact;
use serde::{Deserialize, Serialize};

use crate::lead::{LeadId, Source, Status, SubmissionId};

/// Somebody left their details, for the first time or again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeadCaptured {
    /// The lead.
    pub lead: LeadId,
    /// What was left this time.
    pub submission: SubmissionId,
    /// Where it was left this time.
    pub source: Source,
    /// Whose card or page it was.
    pub owner: Option<MemberId>,
    /// The lead's version after it.
    pub version: i64,
    /// Whether the person had left details before.
    pub again: bool,
    /// Looks like the work of a program: nobody should be told.
    pub suspected_spam: bool,
}

impl Fact for LeadCaptured {
    const NAME: &'static str = "leads.captured";
    fn subject(&self) -> String {
        self.lead.to_string()
    }
    fn version(&self) -> i64 {
        self.version
    }
}

/// A lead changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeadChanged {
    /// The lead.
    pub lead: LeadId,
    /// Its version after it.
    pub version: i64,
    /// What changed: `status`, `assigned`, `tag_added`, `tag_removed`, `noted`, `cleared_of_spam`, `marked_as_spam`.
    pub what: Vec<String>,
    /// Its status after it.
    pub status: Status,
    /// Who looks after it now.
    pub assigned_to: Option<MemberId>,
}

impl Fact for LeadChanged {
    const NAME: &'static str = "leads.changed";
    fn subject(&self) -> String {
        self.lead.to_string()
    }
    fn version(&self) -> i64 {
        self.version
    }
}

/// The person behind a lead was erased: whoever keeps a copy or has mail about them waiting lets go of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeadErased {
    /// The lead that remains, without a person.
    pub lead: LeadId,
    /// Its version after it.
    pub version: i64,
}

impl Fact for LeadErased {
    const NAME: &'static str = "leads.erased";
    fn subject(&self) -> String {
        self.lead.to_string()
    }
    fn version(&self) -> i64 {
        self.version
    }
}
