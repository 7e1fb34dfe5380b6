//! Seals: what is hashed, and in which words. No I/O.
//!
//! A leaf is the SHA-256 of one transfer, field by field; a block's hash covers its leaves, its place and the hash before it.
//! Numbers are big-endian, texts and absent fields carry their length, so that no two transfers are the same bytes.

use kernel::{Id, Timestamp, WorkspaceId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::account::WordError;
use crate::transfer::Transfer;

/// Thirty-two bytes of SHA-256.
pub type Hash = [u8; 32];

/// The leaf of one transfer.
pub fn leaf(workspace: WorkspaceId, transfer: &Transfer) -> Hash {
    let mut hash = Sha256::new_with_prefix(b"tessera ledger leaf 1");
    let number = |hash: &mut Sha256, number: i64| hash.update(number.to_be_bytes());
    let text = |hash: &mut Sha256, text: Option<&str>| match text {
        Some(text) => {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        }
        None => hash.update(u64::MAX.to_be_bytes()),
    };
    hash.update(workspace.raw().bits().to_be_bytes());
    for id in [transfer.id.raw(), transfer.debit.raw(), transfer.credit.raw()] {
        hash.update(id.bits().to_be_bytes());
    }
    for id in [transfer.pending.map(Id::raw), transfer.entry.map(Id::raw)] {
        hash.update(id.map_or(0, kernel::RawId::bits).to_be_bytes());
    }
    text(&mut hash, Some(transfer.kind.as_str()));
    text(&mut hash, Some(transfer.unit.as_str()));
    number(&mut hash, transfer.amount);
    number(&mut hash, transfer.released);
    number(&mut hash, transfer.expires_at.map_or(i64::MIN, Timestamp::as_micros));
    number(&mut hash, transfer.effective_at.as_micros());
    number(&mut hash, transfer.recorded_at.as_micros());
    text(&mut hash, transfer.source.as_deref());
    text(&mut hash, transfer.memo.as_deref());
    let metadata = transfer.metadata.as_ref().map(ToString::to_string);
    text(&mut hash, metadata.as_deref());
    text(&mut hash, Some(&transfer.actor));
    hash.finalize().into()
}

/// A block's place in its workspace's chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Counted from 1.
    pub number: i64,
    /// The position of its first transfer.
    pub first_position: i64,
    /// The position of its last one.
    pub last_position: i64,
    /// When its last one was booked.
    pub booked_at: Timestamp,
}

/// The hash of a block: `leaves` are 32 bytes a transfer, `before` is the hash of the block before it (zeros for the first).
pub fn block(workspace: WorkspaceId, place: &Place, before: &Hash, leaves: &[u8]) -> Hash {
    let mut hash = Sha256::new_with_prefix(b"tessera ledger block 1");
    hash.update(workspace.raw().bits().to_be_bytes());
    for number in [place.number, place.first_position, place.last_position, place.booked_at.as_micros()] {
        hash.update(number.to_be_bytes());
    }
    hash.update(before);
    hash.update(leaves);
    hash.finalize().into()
}

/// A block as it is kept outside of the database: printed, mailed, or in the file of seals. Whoever has it can tell whether
/// anything before it was changed, and whether what came after it is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seal {
    /// Whose chain it is in.
    pub workspace: WorkspaceId,
    /// The block's number, from 1.
    pub number: i64,
    /// The position of its last transfer.
    pub last_position: i64,
    /// When that was booked.
    pub booked_at: Timestamp,
    /// The block's hash.
    pub hash: Hash,
}

/// A seal as one line of JSON.
#[derive(Serialize, Deserialize)]
struct Line {
    workspace: WorkspaceId,
    number: i64,
    last_position: i64,
    booked_at: Timestamp,
    hash: String,
}

impl Seal {
    /// One line of JSON, without its end.
    pub fn line(&self) -> String {
        let Self { workspace, number, last_position, booked_at, hash } = *self;
        let hash = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        // A struct of numbers and texts has no value that JSON cannot hold.
        serde_json::to_string(&Line { workspace, number, last_position, booked_at, hash }).unwrap_or_default()
    }

    /// Reads such a line.
    pub fn parse(line: &str) -> Result<Self, WordError> {
        let refused = WordError("must be a line of JSON with workspace, number, last_position, booked_at and hash");
        let Line { workspace, number, last_position, booked_at, hash: text } = serde_json::from_str(line).map_err(|_| refused.clone())?;
        let mut hash = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return Err(refused);
        }
        for (index, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).map_err(|_| refused.clone())?;
        }
        Ok(Self { workspace, number, last_position, booked_at, hash })
    }
}

#[cfg(test)]
mod tests {
    use kernel::RawId;
    use serde_json::json;

    use super::*;
    use crate::account::Unit;
    use crate::transfer::TransferKind;

    fn id<I: Id>(number: u128) -> I {
        I::from_raw(RawId::from_bits(number))
    }

    fn transfer() -> Transfer {
        Transfer {
            id: id(1),
            kind: TransferKind::Post,
            debit: id(2),
            credit: id(3),
            unit: Unit::parse("EUR").unwrap(),
            amount: 1_250,
            released: 2_000,
            pending: Some(id(4)),
            expires_at: None,
            effective_at: Timestamp::from_micros(1_700_000_000_000_000),
            recorded_at: Timestamp::from_micros(1_700_000_000_000_001),
            entry: Some(id(5)),
            source: Some("order:ord_1".into()),
            memo: None,
            metadata: Some(json!({ "b": [1, "zwei"], "a": null })),
            actor: "system:tests".into(),
        }
    }

    fn hex(hash: Hash) -> String {
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// These stand in databases: a build that hashes otherwise would call every book forged.
    #[test]
    fn what_was_sealed_once_is_hashed_the_same_for_ever() {
        let leaf = leaf(id(9), &transfer());
        assert_eq!(hex(leaf), "fbad95ef6eb4e4648ed71778d4045ee5906f5a69a6ffc50b213acf2d969e27de");
        let place = Place { number: 2, first_position: 3, last_position: 3, booked_at: Timestamp::from_micros(7) };
        assert_eq!(hex(block(id(9), &place, &[0xAB; 32], &leaf)), "92e3bf7c26eda167981dae25e9617f386b1228df4522fd821a42ef05b4e83c67");
    }

    #[test]
    fn every_field_of_a_transfer_is_in_its_leaf() {
        let changes: [fn(&mut Transfer); 20] = [
            |t| t.id = id(7),
            |t| t.kind = TransferKind::Void,
            |t| t.debit = id(7),
            |t| t.credit = id(7),
            |t| t.unit = Unit::parse("USD").unwrap(),
            |t| t.amount += 1,
            |t| t.released += 1,
            |t| t.pending = None,
            |t| t.pending = Some(id(7)),
            |t| t.expires_at = Some(Timestamp::from_micros(0)),
            |t| t.effective_at = Timestamp::from_micros(0),
            |t| t.recorded_at = Timestamp::from_micros(0),
            |t| t.entry = None,
            |t| t.source = None,
            |t| t.source = Some(String::new()),
            |t| t.memo = Some(String::new()),
            // A text that moves to the next field is another transfer.
            |t| (t.source, t.memo) = (None, t.source.take()),
            |t| t.metadata = None,
            |t| t.metadata = Some(json!({ "a": null })),
            |t| t.actor.push('x'),
        ];
        let mut seen = std::collections::HashSet::from([leaf(id(9), &transfer()), leaf(id(8), &transfer())]);
        assert_eq!(seen.len(), 2, "the workspace is in it");
        for (index, change) in changes.into_iter().enumerate() {
            let mut changed = transfer();
            change(&mut changed);
            assert!(seen.insert(leaf(id(9), &changed)), "change {index} leaves the leaf as it was");
        }
    }

    #[test]
    fn a_block_covers_its_place_and_everything_before_it() {
        let place = Place { number: 2, first_position: 3, last_position: 4, booked_at: Timestamp::from_micros(7) };
        let leaves = [1_u8; 64];
        let mut seen = std::collections::HashSet::new();
        for (workspace, place, before, leaves) in [
            (9, place, [0; 32], leaves),
            (8, place, [0; 32], leaves),
            (9, Place { number: 3, ..place }, [0; 32], leaves),
            (9, Place { first_position: 2, ..place }, [0; 32], leaves),
            (9, Place { last_position: 5, ..place }, [0; 32], leaves),
            (9, Place { booked_at: Timestamp::from_micros(8), ..place }, [0; 32], leaves),
            (9, place, [1; 32], leaves),
            (9, place, [0; 32], [2; 64]),
        ] {
            assert!(seen.insert(block(id(workspace), &place, &before, &leaves)));
        }
    }

    #[test]
    fn a_line_of_the_file_reads_back_as_it_was_written() {
        let seal = Seal {
            workspace: id(9),
            number: 12,
            last_position: 4_711,
            booked_at: Timestamp::from_seconds(1_700_000_000),
            hash: [0xA5; 32],
        };
        assert_eq!(Seal::parse(&seal.line()), Ok(seal));
        assert!(!seal.line().contains('\n'));
        for wrong in
            ["", "{}", "{\"workspace\":\"x\"}", &seal.line()[1..], &seal.line().replace("a5a5", "zz"), &seal.line().replace("a5a5", "é5a")]
        {
            assert!(Seal::parse(wrong).is_err(), "{wrong}");
        }
    }
}
