//! What settlement moves in the books: clearing (gross) becomes fees and bank (net), differences go to an account of their own.
//! Pure; identifiers follow from what causes a transfer, so that asking again posts nothing.

use kernel::{Currency, Money, RawId};
use sha2::{Digest as _, Sha256};

use crate::books::Place;
use crate::provider::{LineKind, ProviderId, ReportLine};

/// What the matched lines of one batch and currency come to, in minor units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    /// From clearing to the bank.
    pub net_minor: i64,
    /// From clearing to fees.
    pub fee_minor: i64,
    /// From the bank to fees: lines that are nothing but a fee.
    pub own_fee_minor: i64,
    /// From the float to fees: what payouts cost.
    pub payout_fee_minor: i64,
    /// From clearing to where differences go.
    pub difference_minor: i64,
}

/// Adds a line of which `difference_minor` was expected and is not in it. None where the sums overflow.
pub fn add(sum: &mut Sum, line: &ReportLine, difference_minor: i64) -> Option<()> {
    match line.kind {
        LineKind::Fee => sum.own_fee_minor = sum.own_fee_minor.checked_sub(line.net_minor)?,
        // What was paid out left the float with the payout itself.
        LineKind::Payout => sum.payout_fee_minor = sum.payout_fee_minor.checked_add(line.fee_minor)?,
        LineKind::Payment | LineKind::Refund => {
            sum.net_minor = sum.net_minor.checked_add(line.net_minor)?;
            sum.fee_minor = sum.fee_minor.checked_add(line.fee_minor)?;
            sum.difference_minor = sum.difference_minor.checked_add(difference_minor)?;
        }
    }
    Some(())
}

/// One transfer of a settlement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// It follows from the cause and its place among the transfers.
    pub id: RawId,
    /// From here.
    pub debit: Place,
    /// To here.
    pub credit: Place,
    /// How much, above zero.
    pub amount: Money,
    /// A line for people.
    pub memo: &'static str,
}

/// The transfers of `sum` at `provider`; differences go to `rest`. `cause` names what they follow from, such as a report, a
/// line in it and a batch.
pub fn transfers(cause: &str, provider: ProviderId, currency: Currency, sum: &Sum, rest: &Place) -> Vec<Transfer> {
    let clearing = || Place::Clearing(provider);
    let all = [
        (Place::Bank, clearing(), sum.net_minor, "settled"),
        (Place::Fees, clearing(), sum.fee_minor, "fees of a settlement"),
        (Place::Fees, Place::Bank, sum.own_fee_minor, "fees of a provider"),
        (Place::Fees, Place::Float(provider), sum.payout_fee_minor, "fees of payouts"),
        (rest.clone(), clearing(), sum.difference_minor, "difference of a settlement"),
    ];
    let numbered = all.into_iter().enumerate().filter(|(_, (_, _, amount, _))| *amount != 0);
    let transfer = |(place, (debit, credit, amount_minor, memo)): (usize, (Place, Place, i64, &'static str))| {
        let (debit, credit) = if amount_minor > 0 { (debit, credit) } else { (credit, debit) };
        let digest = Sha256::digest(format!("settlement\n{cause}\n{currency}\n{place}"));
        let bits = digest.iter().take(16).fold(0_u128, |bits, byte| (bits << 8) | u128::from(*byte));
        Transfer { id: RawId::from_bits(bits), debit, credit, amount: Money::new(amount_minor.saturating_abs(), currency), memo }
    };
    numbered.map(transfer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::Id as _;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_matched_lines_take_from_clearing_is_what_was_expected(
            lines in prop::collection::vec((-100_000_i64..100_000, -1_000_i64..1_000, -5_i64..5), 1..50)
        ) {
            let (provider, currency) = (ProviderId::from_raw(RawId::from_bits(7)), Currency::parse("EUR").unwrap());
            let mut sum = Sum::default();
            let mut expected = 0;
            for (gross, fee_minor, difference) in &lines {
                let line = ReportLine {
                    kind: if *gross < 0 { LineKind::Refund } else { LineKind::Payment },
                    reference: None, provider_ref: None, batch: None, at: None,
                    gross: Money::new(*gross, currency), fee_minor: *fee_minor, net_minor: gross - fee_minor,
                };
                add(&mut sum, &line, *difference).unwrap();
                expected += gross + difference;
            }
            let moved = transfers("x", provider, currency, &sum, &Place::Differences);
            let clearing = Place::Clearing(provider);
            let credited: i64 = moved.iter().map(|transfer| match (&transfer.debit, &transfer.credit) {
                (_, credit) if *credit == clearing => transfer.amount.amount_minor,
                (debit, _) if *debit == clearing => -transfer.amount.amount_minor,
                _ => 0,
            }).sum();
            prop_assert_eq!(credited, expected);
            prop_assert!(moved.iter().all(|transfer| transfer.amount.amount_minor > 0));
        }
    }
}
