//! The noun: double scans, that is scans by a device that scanned the same code less than five seconds before. Pure.
//!
//! A scan is compared with the one before by the same device, counted or not: somebody who reloads every three seconds counts
//! once. So the five seconds before a point of the journal are all that is needed to decide what comes after it, and a
//! restart decides as the process before would have.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// How close two scans of one device are one, in microseconds.
pub const WINDOW_MICROS: i64 = 5_000_000;
/// How many devices of one half are remembered at most, some 9 MB; beyond, some doubles are counted.
const DEVICES_MAX: usize = 450_000;

/// The key is mixed already, so that hashing it again would only cost.
#[derive(Default)]
pub(super) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
    }
}

pub(super) type FastMap<V> = HashMap<u64, V, BuildHasherDefault<AsItIs>>;

/// Who scanned what in the last five seconds; two halves that are thrown away in turn.
#[derive(Default)]
pub struct Doubles {
    young: FastMap<i64>,
    old: FastMap<i64>,
    young_since: i64,
}

impl Doubles {
    /// Takes note of a scan at `at_micros` and says whether it is a double.
    pub fn note(&mut self, code: u64, device: u64, at_micros: i64) -> bool {
        if device == 0 {
            return false;
        }
        let key = (device ^ code.wrapping_mul(0xD6E8_FEB8_6659_FD93)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        if at_micros - self.young_since >= WINDOW_MICROS || self.young.len() >= DEVICES_MAX {
            let past = std::mem::take(&mut self.old);
            self.old = std::mem::replace(&mut self.young, past);
            // Emptied rather than dropped, unless a rush made it huge.
            if self.young.capacity() > 16_384 && self.young.len() < 4_096 {
                self.young = FastMap::default()
            } else {
                self.young.clear()
            }
            self.young_since = at_micros;
        }
        let before = self.young.insert(key, at_micros).or_else(|| self.old.get(&key).copied());
        // Threads write down scans of one instant in any order.
        before.is_some_and(|before| (at_micros - before).abs() < WINDOW_MICROS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    #[test]
    fn a_second_scan_within_five_seconds_is_a_double_and_a_later_one_is_not() {
        let mut doubles = Doubles::default();
        assert!(!doubles.note(1, 9, 100 * SECOND));
        assert!(doubles.note(1, 9, 104 * SECOND));
        assert!(doubles.note(1, 9, 108 * SECOND), "whoever reloads all the time counts once");
        assert!(!doubles.note(1, 9, 113 * SECOND));
        assert!(!doubles.note(2, 9, 113 * SECOND), "another code");
        assert!(!doubles.note(1, 8, 113 * SECOND), "another device");
        assert!(!doubles.note(1, 0, 113 * SECOND) && !doubles.note(1, 0, 113 * SECOND), "unknown devices are never doubles");
    }

    #[test]
    fn whoever_starts_five_seconds_before_a_point_decides_alike_after_it() {
        let scans: Vec<(u64, i64)> = (0..4_000_i64).map(|n| ((n * 7919 % 41) as u64 + 1, n * 37_003)).collect();
        let mut whole = Doubles::default();
        let decided: Vec<bool> = scans.iter().map(|(device, at)| whole.note(1, *device, *at)).collect();
        assert!(decided.iter().any(|double| *double) && decided.iter().any(|double| !*double));
        for start in [500, 1_333, 3_001] {
            let point = scans[start].1;
            let mut resumed = Doubles::default();
            for (device, at) in scans[..start].iter().filter(|(_, at)| point - at <= WINDOW_MICROS) {
                resumed.note(1, *device, *at);
            }
            let again: Vec<bool> = scans[start..].iter().map(|(device, at)| resumed.note(1, *device, *at)).collect();
            assert_eq!(again, decided[start..], "from {start}");
        }
    }
}
