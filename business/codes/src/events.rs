//! The facts that codes tells others. Additive changes only.

use kernel::WorkspaceId;
use outbox::Fact;
use serde::{Deserialize, Serialize};

use crate::code::BatchId;
use crate::destination::Destination;
use crate::public_code::PublicCode;

/// Codes were minted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodesMinted {
    /// The first of them.
    pub first: PublicCode,
    /// How many.
    pub count: u32,
    /// The call, if it minted several.
    pub batch: Option<BatchId>,
}

impl Fact for CodesMinted {
    const NAME: &'static str = "codes.minted";
    fn subject(&self) -> String {
        self.batch.map_or_else(|| self.first.to_string(), |batch| batch.to_string())
    }
}

/// A code changed: whatever was kept of an older version is out of date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeChanged {
    /// Which.
    pub code: PublicCode,
    /// Its version after the change.
    pub version: i64,
    /// What was done.
    pub change: Change,
    /// Where it leads now, or would if it were not paused.
    pub destination: Option<Bound>,
    /// Where it led before, if that is different.
    pub before: Option<Bound>,
}

/// What was done to a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It leads to something, or to something else.
    Bound,
    /// It leads nowhere any more.
    Released,
    /// Its owner stopped it.
    Paused,
    /// Its owner opened it again.
    Resumed,
    /// It ended for good.
    Retired,
    /// Its name, tags, limits, fallback or switches changed.
    Edited,
}

impl Change {
    /// The action as the audit trail calls it.
    pub(crate) fn action(self) -> &'static str {
        match self {
            Self::Bound => "code.bound",
            Self::Released => "code.released",
            Self::Paused => "code.paused",
            Self::Resumed => "code.resumed",
            Self::Retired => "code.retired",
            Self::Edited => "code.edited",
        }
    }
}

/// What a code is bound to, as far as facts carry it: an address on the web stays behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// `url`, `page` or the kind of another module's thing.
    pub kind: String,
    /// The thing's id, or a page's request.
    pub id: Option<String>,
}

impl From<&Destination> for Bound {
    fn from(destination: &Destination) -> Self {
        let (kind, id, _) = destination.columns();
        Self { kind: kind.to_owned(), id }
    }
}

impl Fact for CodeChanged {
    const NAME: &'static str = "codes.changed";
    fn subject(&self) -> String {
        self.code.to_string()
    }
    fn version(&self) -> i64 {
        self.version
    }
}

/// A workspace changed what may be recorded of scans: every code of it that was kept is out of date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingChanged {
    /// Whose.
    pub workspace: WorkspaceId,
    /// The version of its switches after the change.
    pub version: i64,
}

impl Fact for RecordingChanged {
    const NAME: &'static str = "codes.recording_changed";
    fn subject(&self) -> String {
        self.workspace.to_string()
    }
    fn version(&self) -> i64 {
        self.version
    }
}
