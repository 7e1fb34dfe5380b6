//! Which transfers follow from an event of a payout. The same event gives the same transfers with the same identifiers.

use kernel::{Id as _, RawId};

use super::{Payout, PayoutEvent};

/// What an event of a payout does in the books, with the identifier of the transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Posting {
    /// Promises the amount: from the float to what payouts are for.
    Hold(RawId),
    /// Posts the promise (the second) under the first.
    Post(RawId, RawId),
    /// Releases the promise (the second) under the first.
    Void(RawId, RawId),
    /// Brings what came back to the float again.
    Compensate(RawId),
}

/// The identifier of a payout's transfer: its own number, and for each step another last bits.
const fn transfer(payout: &RawId, step: u128) -> RawId {
    RawId::from_bits(payout.bits() ^ step)
}

/// What `event` does in the books; `before` is the payout as it was until then.
pub(crate) fn posting(before: &Payout, event: &PayoutEvent) -> Option<Posting> {
    let own = before.id.raw();
    let hold = transfer(&own, 0);
    match event {
        PayoutEvent::Reserved => Some(Posting::Hold(hold)),
        PayoutEvent::Paid { .. } if before.is_reserved => Some(Posting::Post(transfer(&own, 1), hold)),
        PayoutEvent::Failed { .. } | PayoutEvent::Refused { .. } | PayoutEvent::Canceled if before.is_reserved => {
            Some(Posting::Void(transfer(&own, 2), hold))
        }
        PayoutEvent::Reversed => Some(Posting::Compensate(transfer(&own, 3))),
        _ => None,
    }
}
