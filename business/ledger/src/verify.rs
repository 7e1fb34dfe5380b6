//! Verification: everything that the books say, computed again from the log, beside whoever posts.
//!
//! It reads one snapshot of the database from the first transfer to the last, in the order in which the keeper booked them:
//! each transfer is hashed again and compared with the leaf that was sealed, each block with the one before it, each
//! account's totals and history with what the log adds up to, each limit and each promise with what was judged. It trusts no
//! row, and needs memory for accounts and open promises, not for transfers.

mod accounts;
mod chain;
mod compare;
mod history;
mod report;
mod walk;

use kernel::{Id, WorkspaceId};
use store::{Snapshot, Store};

use crate::error::LedgerError;
use crate::seal::Seal;
use crate::sql;

pub use report::{Finding, Report, Trouble, UnitSums};

/// Rows of the log that are read at once.
const LOG_PAGE: i64 = 8_192;
/// Rows of any other table that are read at once.
const HISTORY_PAGE: i64 = 8_192;

/// What to verify, and against what.
#[derive(Debug, Clone)]
pub struct Options {
    /// These books alone; without one, all of them.
    pub workspace: Option<WorkspaceId>,
    /// Seals that were kept outside of the database. They must be older than the snapshot.
    pub seals: Vec<Seal>,
    /// How many findings the report has room for.
    pub findings_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { workspace: None, seals: Vec::new(), findings_max: 1_000 }
    }
}

/// Verifies what `snapshot` sees. An error means that it could not be read; what is wrong with it is in the report.
pub async fn verify(snapshot: &mut Snapshot, options: &Options) -> Result<Report, LedgerError> {
    walk::Walk::begin(snapshot, options).await?.run().await
}

/// Panics with the report unless the books of `store` are sound: for the end of every test that touches money.
pub async fn assert_sound(store: &Store) {
    let verified = async { verify(&mut store.snapshot().await?, &Options::default()).await };
    match verified.await {
        Ok(report) => assert!(report.is_sound(), "{report}"),
        Err(error) => panic!("the books cannot be verified: {error}"),
    }
}

/// The same where nothing can be awaited, as when a test's world is dropped; a test that has failed already is left alone.
/// It opens what `config` names beside whoever has it open.
pub fn assert_sound_at_end(config: store::Config) {
    if std::thread::panicking() {
        return;
    }
    // A runtime of its own: that of the test may have ended, or may be waiting for this.
    let verified = std::thread::spawn(move || -> Result<Report, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        let verified = runtime.block_on(async {
            let store = Store::open_read_only(config).await?;
            verify(&mut store.snapshot().await?, &Options::default()).await
        });
        verified.map_err(|error| error.to_string())
    });
    match verified.join() {
        Ok(Ok(report)) => assert!(report.is_sound(), "{report}"),
        Ok(Err(error)) => panic!("the books cannot be verified: {error}"),
        Err(_) => panic!("the verification of the books panicked"),
    }
}

fn raw_of(id: impl Id) -> Vec<u8> {
    sql::raw(id).to_vec()
}
