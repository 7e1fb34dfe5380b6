//! Seals: what is hashed, and in which words. No I/O.
//!
//! A leaf is the SHA-256 of one transfer, field by field; a block's hash covers its leaves, its place and the hash before it.
//! Numbers are big-endian, texts and absent fields carry their length, so that no two transfers are the same bytes.

use kernel::{Id, Timestamp, WorkspaceId};
use sha2::{Digest, Sha256};

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
