//! From a counter to a code that nobody can count: a keyed permutation of the forty-bit numbers. Pure.
//!
//! A Feistel network over two halves of twenty bits is one-to-one whatever its round function is, so that no two counters ever
//! meet in one code and minting never probes for a free one. The rounds are SipHash-2-4 under the installation's key.

use std::hash::Hasher;

use siphasher::sip::SipHasher24;

use crate::public_code::{BITS, PublicCode};

const HALF: u32 = BITS / 2;
const MASK: u64 = (1 << HALF) - 1;
/// Four make it one-way for whoever sees codes but no counters (Luby and Rackoff, 1988); on halves this small eight keep a margin.
const ROUNDS: u8 = 8;

/// How many codes an installation can mint in its life.
pub const CODES_MAX: u64 = 1 << BITS;

/// The permutation of one installation. Its key never changes, or new codes would meet printed ones.
#[derive(Clone)]
pub struct Permutation {
    hasher: SipHasher24,
}

impl Permutation {
    /// The permutation of the installation with this key.
    pub fn new(key: &[u8; 16]) -> Self {
        Self { hasher: SipHasher24::new_with_key(key) }
    }

    /// The code of a counter; `None` when the installation has used up all its numbers.
    pub fn code(&self, counter: u64) -> Option<PublicCode> {
        if counter >= CODES_MAX {
            return None;
        }
        let (mut left, mut right) = (counter >> HALF, counter & MASK);
        for round in 0..ROUNDS {
            (left, right) = (right, left ^ self.mix(round, right));
        }
        PublicCode::from_number((left << HALF) | right)
    }

    /// The counter of a code: the inverse of [`code`](Self::code).
    pub fn counter(&self, code: PublicCode) -> u64 {
        let (mut left, mut right) = (code.number() >> HALF, code.number() & MASK);
        for round in (0..ROUNDS).rev() {
            (left, right) = (right ^ self.mix(round, left), left);
        }
        (left << HALF) | right
    }

    fn mix(&self, round: u8, half: u64) -> u64 {
        let mut hasher = self.hasher;
        hasher.write_u64((u64::from(round) << HALF) | half);
        hasher.finish() & MASK
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn a_hundred_thousand_counters_give_as_many_codes_and_none_in_sequence() {
        let permutation = Permutation::new(b"0123456789abcdef");
        let codes: Vec<u64> = (0..100_000).map(|counter| permutation.code(counter).unwrap().number()).collect();
        assert_eq!(codes.iter().collect::<HashSet<_>>().len(), codes.len());
        let close = codes.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) < 1 << 20).count();
        assert!(close < 20, "{close} of the neighbours stayed within a millionth of each other");
        let rising = codes.windows(2).filter(|pair| pair[0] < pair[1]).count();
        assert!((49_000..51_000).contains(&rising), "{rising} of 99,999 steps go up");
        for bit in 0..BITS {
            let set = codes.iter().filter(|code| *code >> bit & 1 == 1).count();
            assert!((49_000..51_000).contains(&set), "bit {bit} is set in {set}");
        }
    }

    #[test]
    fn the_numbers_end_and_another_key_gives_another_order() {
        let (one, other) = (Permutation::new(&[1; 16]), Permutation::new(&[2; 16]));
        assert!(one.code(CODES_MAX - 1).is_some() && one.code(CODES_MAX).is_none());
        assert_ne!(one.code(7), other.code(7));
    }

    proptest! {
        #[test]
        fn every_code_leads_back_to_its_counter(key in any::<[u8; 16]>(), counter in 0..CODES_MAX) {
            let permutation = Permutation::new(&key);
            prop_assert_eq!(permutation.counter(permutation.code(counter).unwrap()), counter);
        }

        #[test]
        fn every_number_is_somebodys_code(key in any::<[u8; 16]>(), number in 0..CODES_MAX) {
            let permutation = Permutation::new(&key);
            let code = PublicCode::from_number(number).unwrap();
            prop_assert_eq!(permutation.code(permutation.counter(code)), Some(code));
        }
    }
}
