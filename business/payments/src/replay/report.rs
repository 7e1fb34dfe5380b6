//! What a replay found: counts and a digest for each workspace, and each row that is another than its events make.

use std::fmt;

use kernel::{Id as _, Timestamp, WorkspaceId};
use serde::{Deserialize, Serialize};

/// Differences that are told one by one; more are counted.
pub(crate) const TOLD_MAX: usize = 200;

/// How many events were replayed, and how many rows they make.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Events.
    pub events: u64,
    /// Intents.
    pub intents: u64,
    /// Payouts.
    pub payouts: u64,
    /// Names of things, ours and the providers'.
    pub references: u64,
    /// What provider's reports are to say.
    pub expected: u64,
}

/// What a replay came to in one workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfWorkspace {
    /// Which.
    pub workspace: WorkspaceId,
    /// When the replay ran.
    pub at: Timestamp,
    /// What there is.
    pub counts: Counts,
    /// How many rows are others than their events make.
    pub differences: u64,
    /// SHA-256 of every column of the rows that the events make, in hexadecimal.
    pub rows_sha256: String,
}

/// A row that is another than its events make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Of this workspace.
    pub workspace: String,
    /// In this table.
    pub table: &'static str,
    /// This row: its key behind the workspace.
    pub id: String,
    /// What is different: a column with what stands there and what the events say, or that the row is missing or too much.
    pub what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}: {}", self.table, self.workspace, self.id, self.what)
    }
}

/// What a replay found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// When it ran.
    pub at: Timestamp,
    /// Each workspace that has events, or rows that differ.
    pub workspaces: Vec<OfWorkspace>,
    /// The first differences.
    pub differences: Vec<Difference>,
    /// How many there are in all.
    pub differences_found: u64,
    /// The digest of the whole history, in hexadecimal: that of the file that was, or would be, written from it.
    pub events_sha256: String,
}

impl Report {
    /// Whether every row is what its events make.
    pub fn is_same(&self) -> bool {
        self.differences_found == 0
    }

    /// What there is in all workspaces.
    pub fn counts(&self) -> Counts {
        self.workspaces.iter().fold(Counts::default(), |sum, of| Counts {
            events: sum.events + of.counts.events,
            intents: sum.intents + of.counts.intents,
            payouts: sum.payouts + of.counts.payouts,
            references: sum.references + of.counts.references,
            expected: sum.expected + of.counts.expected,
        })
    }

    /// Adds a difference.
    pub(crate) fn differ(&mut self, difference: Difference) {
        self.differences_found += 1;
        let known = self.workspaces.iter().rposition(|of| of.workspace.to_string() == difference.workspace);
        if let Some(known) = known {
            self.workspaces[known].differences += 1;
        } else if let Ok(workspace) = WorkspaceId::parse(&difference.workspace) {
            // It has rows and no events: it stands in front, as the last one is that which is being looked at.
            let (at, counts) = (self.at, Counts::default());
            self.workspaces.insert(0, OfWorkspace { workspace, at, counts, differences: 1, rows_sha256: String::new() });
        }
        if self.differences.len() < TOLD_MAX {
            self.differences.push(difference);
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for difference in &self.differences {
            writeln!(f, "{difference}")?;
        }
        let more = self.differences_found.saturating_sub(self.differences.len() as u64);
        if more > 0 {
            writeln!(f, "and {more} more")?;
        }
        for of in &self.workspaces {
            let Counts { events, intents, payouts, references, expected } = of.counts;
            writeln!(
                f,
                "{}: {events} events make {intents} payments, {payouts} payouts, {references} names, {expected} expectations; rows {}",
                of.workspace, of.rows_sha256
            )?;
        }
        writeln!(f, "events {}", self.events_sha256)?;
        match self.differences_found {
            0 => write!(f, "Every row is what its events make of it."),
            1 => write!(f, "One row is not what its events make of it."),
            many => write!(f, "{many} rows are not what their events make of them."),
        }
    }
}
