//! Replay: what payments and payouts are, made anew from their history, which is kept for ever.
//!
//! The history of all workspaces goes into a file of JSON lines ([`export`]). From it an installation without payments gets the
//! very rows that the first one had: payments, payouts, names and expectations, and the history itself ([`restore`]). Beside a
//! running process the same is done in memory and laid beside the rows that are there ([`check`]).
//!
//! Nothing is posted to the books, nothing is sent and no job is begun: a replay makes rows and lines of the audit trail.

mod check;
mod compare;
mod file;
mod rebuild;
mod report;
mod run;
mod trail;

use std::io;

use kernel::{Timestamp, WorkspaceId};
use store::StoreError;

pub use check::check;
pub use file::{Chain, FileFault, Reader, Writer};
pub use rebuild::{Rebuilt, Unbuildable, rebuild};
pub use report::{Counts, Difference, OfWorkspace, Report};
pub use run::{Exported, export, restore};
pub use trail::{KEPT, Source, enter_kept, keep_for_later, record};

/// Events of one intent or payout that a replay takes in at most; the states allow far fewer.
pub const EVENTS_OF_ONE_MAX: usize = 20_000;

/// One event as it stands in the history, of whichever workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Whose.
    pub workspace: WorkspaceId,
    /// The intent or payout that it is about.
    pub subject: String,
    /// Which of its events, from 1.
    pub version: i64,
    /// The event's word.
    pub name: String,
    /// Who asked for it: an identifier or a reason.
    pub actor: String,
    /// When it was recorded.
    pub at: Timestamp,
    /// The event as JSON, byte by byte as it was recorded.
    pub body: String,
}

/// Why a replay was not done.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The file is not one of payment events as they were written.
    #[error(transparent)]
    File(#[from] FileFault),
    /// The file cannot be read or written.
    #[error("the file cannot be read or written: {0}")]
    Io(#[from] io::Error),
    /// The database did not do it.
    #[error("the database did not do it")]
    Store(#[from] StoreError),
    /// The installation has payments that are not those of the file.
    #[error("this installation has payments of its own that are not in the file: replay into an empty data folder or database")]
    Occupied,
    /// Somebody wrote payments, or the file, meanwhile.
    #[error("{what} while the replay ran: stop every other process of this installation and run the same command again")]
    Disturbed {
        /// What changed.
        what: &'static str,
    },
    /// A history in the database cannot be replayed.
    #[error("the history of {subject} cannot be replayed: {why}")]
    Unbuildable {
        /// Of which intent or payout.
        subject: String,
        /// What is in the way.
        why: String,
    },
}
