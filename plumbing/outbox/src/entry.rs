//! Entries of the log: where they stand, and the facts among them.

use std::fmt;
use std::str::FromStr;

use kernel::{Timestamp, WorkspaceId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Something that happened, for others to react to. Carries ids, never personal data; changes by addition only.
pub trait Fact: Serialize + DeserializeOwned {
    /// Its name, `module.happened`, for example `leads.captured`.
    const NAME: &'static str;
    /// The id of what it is about.
    fn subject(&self) -> String;
    /// The subject's version after it; two facts of one subject may arrive in either order, and the higher version is later.
    fn version(&self) -> i64 {
        0
    }
}

/// A place in the log. Positions grow in the order in which readers see entries; on PostgreSQL the first number is the
/// transaction that wrote the entry, on SQLite it is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position {
    /// The transaction.
    pub xid: i64,
    /// The number of the entry.
    pub seq: i64,
}

/// A text that is not a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a position as it was given out, two numbers joined by a hyphen")]
pub struct PositionError;

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.xid, self.seq)
    }
}

impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let number = |digits: &str| match digits.bytes().all(|b| b.is_ascii_digit()) {
            true => digits.parse().map_err(|_| PositionError),
            false => Err(PositionError),
        };
        let (xid, seq) = text.split_once('-').ok_or(PositionError)?;
        Ok(Self { xid: number(xid)?, seq: number(seq)? })
    }
}

impl Serialize for Position {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What sort of entry it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// Something that happened.
    Fact,
    /// Something to do.
    Job,
}

impl EntryKind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Fact => "fact",
            Self::Job => "job",
        }
    }

    pub(crate) fn read(text: &str) -> Self {
        if text == "fact" { Self::Fact } else { Self::Job }
    }
}

/// A committed entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands.
    pub position: Position,
    /// A fact or a job.
    pub kind: EntryKind,
    /// The name of the fact or job.
    pub name: String,
    /// The workspace it belongs to.
    pub workspace: WorkspaceId,
    /// The id of what it is about; a job's key.
    pub subject: String,
    /// The subject's version after a fact.
    pub version: i64,
    /// The fact or job itself, as JSON.
    pub payload: String,
    /// When the unit that wrote it ran.
    pub created_at: Timestamp,
}

impl Entry {
    /// The fact, if it is an `F` that this build can read.
    pub fn decode<F: Fact>(&self) -> Option<F> {
        if self.kind != EntryKind::Fact || self.name != F::NAME {
            return None;
        }
        let fact = serde_json::from_str(&self.payload);
        fact.inspect_err(|error| tracing::error!(name = self.name, position = %self.position, %error, "a fact cannot be read")).ok()
    }
}

/// How many parts the log is cut into; each has one holder at a time.
pub(crate) const SHARDS: usize = 16;

/// The shard of a key: FNV-1a, the same in every process and release.
pub(crate) fn shard_of(key: &str) -> usize {
    let hash = key.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3));
    ((hash ^ (hash >> 32)) % SHARDS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_back_from_its_text() {
        let position = Position { xid: 12, seq: 345 };
        assert_eq!(position.to_string().parse(), Ok(position));
        for bad in ["", "1", "1-", "-1-2", "1-2-3", "1-+2", "99999999999999999999-1"] {
            assert_eq!(bad.parse::<Position>(), Err(PositionError), "{bad}");
        }
        assert!(Position { xid: 1, seq: 9 } < Position { xid: 2, seq: 1 });
    }

    #[test]
    fn keys_spread_over_all_shards_and_stay_where_they_are() {
        let mut counts = [0; SHARDS];
        for n in 0..16_000 {
            counts[shard_of(&format!("lead_{n:032x}"))] += 1;
        }
        assert!(counts.iter().all(|count| (500..1500).contains(count)), "{counts:?}");
        assert_eq!(shard_of("lead_1"), 9, "every build puts a key into the same shard");
    }
}
