//! Replays in the audit trail, one line for each workspace. A replay beside a process that has the data folder for itself cannot
//! write there: its lines wait in a small file, which the next process that opens the folder enters.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use kernel::Caller;
use serde::{Deserialize, Serialize};
use store::Store;

use super::{OfWorkspace, ReplayError, Report};
use crate::commands::replay::audit;
use crate::error::PaymentError;

static REPLAYER: Caller = Caller::system("payments.replay");

/// The name of the file of lines that wait, in the data folder.
pub const KEPT: &str = "payments.replays";
/// What it is called while it is entered.
const ENTERING: &str = "payments.replays.entering";

/// Where the replayed events came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// From a file, into an installation without payments.
    File,
    /// From the installation's own history, to compare.
    History,
}

impl Source {
    /// Its word in the audit trail.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::History => "history",
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Line {
    source: Source,
    of: OfWorkspace,
}

/// Enters a replay in the audit trail of each workspace.
pub async fn record(store: &Store, report: &Report, source: Source) -> Result<(), ReplayError> {
    for of in &report.workspaces {
        enter(store, of.clone(), source).await?;
    }
    Ok(())
}

async fn enter(store: &Store, of: OfWorkspace, source: Source) -> Result<(), ReplayError> {
    let entered = store.write(&REPLAYER, (of, source), |tx, (of, source)| Box::pin(async move { audit(tx, &of, source).await }));
    entered.await.map_err(|error| match error {
        PaymentError::Store(error) => ReplayError::Store(error),
        other => ReplayError::Io(io::Error::other(other)),
    })
}

/// Keeps what [`record`] would enter in the data folder, until a process enters it.
pub fn keep_for_later(folder: &Path, report: &Report, source: Source) -> io::Result<()> {
    let mut lines = Vec::new();
    for of in &report.workspaces {
        serde_json::to_writer(&mut lines, &Line { source, of: of.clone() })?;
        lines.push(b'\n');
    }
    let mut file = OpenOptions::new().create(true).append(true).open(folder.join(KEPT))?;
    file.write_all(&lines)?;
    file.sync_all()
}

/// Enters what was kept in the data folder, and says how many lines that were. A line that cannot be read is passed by.
pub async fn enter_kept(store: &Store, folder: &Path) -> Result<usize, ReplayError> {
    let (kept, entering) = (folder.join(KEPT), folder.join(ENTERING));
    let mut entered = 0;
    // What a process left that ended here comes first.
    for _ in 0..2 {
        if !entering.exists() {
            match fs::rename(&kept, &entering) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(entered),
                renamed => renamed?,
            }
        }
        for line in fs::read_to_string(&entering)?.lines() {
            match serde_json::from_str::<Line>(line) {
                Ok(Line { source, of }) => {
                    enter(store, of, source).await?;
                    entered += 1;
                }
                Err(error) => tracing::warn!(%error, "a replay that was kept for the audit trail cannot be read"),
            }
        }
        fs::remove_file(&entering)?;
    }
    Ok(entered)
}
