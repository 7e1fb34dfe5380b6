//! Versions: how far the books have come, and reading what one has written.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use kernel::WorkspaceId;
use store::{Read, Reads, Store};

use crate::error::LedgerError;
use crate::sql::{self, read};
use crate::transfer::TransferId;

/// How often a reader looks whether the books have come as far as it asked for.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long it waits for a replica before it asks the database itself.
const REPLICA_WAIT_MAX: Duration = Duration::from_millis(500);
/// How long it waits for that.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// A place in the log of all workspaces. The books of version `v` hold everything that stands at or before `v`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Version {
    /// Counts the servers that the database has lived on.
    pub era: i64,
    /// The transaction.
    pub xid: i64,
    /// The place.
    pub seq: i64,
}

/// A text that is no version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a version as an answer of the ledger carried it, such as 0-812-4711")]
pub struct VersionError;

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.era, self.xid, self.seq)
    }
}

impl FromStr for Version {
    type Err = VersionError;
    fn from_str(text: &str) -> Result<Self, VersionError> {
        let number = |part: Option<&str>| {
            let digits = part.filter(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
            digits.and_then(|digits| digits.parse().ok()).ok_or(VersionError)
        };
        let mut parts = text.split('-');
        let version = Self { era: number(parts.next())?, xid: number(parts.next())?, seq: number(parts.next())? };
        if parts.next().is_none() { Ok(version) } else { Err(VersionError) }
    }
}

/// The version of the books now.
pub async fn version(reads: &mut impl Reads) -> Result<Version, LedgerError> {
    reads.row(&read::VERSION_EVERYWHERE, &[], read::version).await?.ok_or(LedgerError::NotFound { what: "keeper" })
}

/// The first version of the books that holds the transfer.
pub async fn version_of(reads: &mut impl Reads, workspace: WorkspaceId, id: TransferId) -> Result<Version, LedgerError> {
    version_of_last(reads, workspace, [id]).await?.ok_or(LedgerError::NotFound { what: "transfer" })
}

/// The first version of the books that holds all of these transfers; none where there is none of them.
pub async fn version_of_last(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    ids: impl IntoIterator<Item = TransferId>,
) -> Result<Option<Version>, LedgerError> {
    Ok(reads.row(&read::VERSION_OF, &[sql::raw_p(workspace), sql::raw_list(ids)], read::version).await?)
}

/// Waits until what `reads` sees has come as far as `wanted`, or [`LedgerError::Behind`]. A replica that does not come so far
/// is given up for the database itself.
pub async fn wait_for(store: &Store, reads: &mut Read, wanted: Version) -> Result<(), LedgerError> {
    if reads.is_of_replica() {
        if comes_to(reads, wanted, REPLICA_WAIT_MAX).await? {
            return Ok(());
        }
        *reads = store.read();
    }
    if comes_to(reads, wanted, WAIT_MAX).await? { Ok(()) } else { Err(LedgerError::Behind) }
}

async fn comes_to(reads: &mut Read, wanted: Version, time: Duration) -> Result<bool, LedgerError> {
    let end = tokio::time::Instant::now() + time;
    loop {
        if version(reads).await? >= wanted {
            return Ok(true);
        }
        if tokio::time::Instant::now() >= end {
            return Ok(false);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_as_it_is_written_and_sorts_by_place() {
        let version = Version { era: 1, xid: 20, seq: 3 };
        assert_eq!(version.to_string().parse(), Ok(version));
        assert!("1-9-4".parse::<Version>().unwrap() < version && version < "2-0-0".parse().unwrap());
        for wrong in ["", "1-2", "1-2-3-4", "1--3", "-1-2-3", "1-2-x", "1-2-99999999999999999999", "+1-2-3"] {
            assert_eq!(wrong.parse::<Version>(), Err(VersionError), "{wrong}");
        }
    }
}
