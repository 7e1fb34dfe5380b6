//! Randomness, from the operating system or from a seed.

use std::sync::{Arc, Mutex};

/// Where random bytes come from. Cheap to clone; clones of a seeded source share one sequence.
#[derive(Clone, Default)]
pub struct Entropy {
    seeded: Option<Arc<Mutex<u64>>>,
}

impl Entropy {
    /// The operating system's generator: fit for secrets.
    pub fn system() -> Self {
        Self { seeded: None }
    }

    /// A repeatable sequence, for tests only.
    pub fn seeded(seed: u64) -> Self {
        Self { seeded: Some(Arc::new(Mutex::new(seed))) }
    }

    /// Fills `bytes`. Panics when the operating system has no randomness to give, because nothing safe can follow.
    pub fn fill(&self, bytes: &mut [u8]) {
        match &self.seeded {
            None => {
                #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the system")]
                getrandom::fill(bytes).expect("the operating system gives random bytes");
            }
            Some(state) => {
                let mut state = state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                for chunk in bytes.chunks_mut(8) {
                    chunk.copy_from_slice(&splitmix(&mut state).to_le_bytes()[..chunk.len()]);
                }
            }
        }
    }

    /// An array of random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// A random number from 0 up to and excluding `bound` (at least 1); the bias is below 2^-32 for bounds under 2^32.
    pub fn below(&self, bound: u64) -> u64 {
        let wide = u128::from(u64::from_le_bytes(self.bytes())) * u128::from(bound.max(1));
        (wide >> 64) as u64
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
