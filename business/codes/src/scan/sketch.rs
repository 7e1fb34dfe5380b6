//! The noun: a count of different visitors that needs little room. Pure.
//!
//! Up to 512 visitors are kept as 32 bits each and counted exactly; beyond, HyperLogLog with 4,096 registers (Flajolet et al.,
//! 2007), whose standard error is 1.04/sqrt(4096) = 1.6 %, read with the estimator of Ertl ("New cardinality estimation
//! algorithms for HyperLogLog sketches", 2017), which needs neither tables nor corrections.

const PRECISION: u32 = 12;
const REGISTERS: usize = 1 << PRECISION;
/// The highest value of a register: 20 bits of zeros and one more.
const TOP: usize = 32 - PRECISION as usize + 1;
const SPARSE_MAX: usize = 512;
const PACKED_BYTES: usize = REGISTERS * 5 / 8;

const SPARSE_TAG: u8 = 1;
const DENSE_TAG: u8 = 2;

/// The different visitors of one code on one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sketch(Form);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    /// Sorted, without repetition.
    Sparse(Vec<u32>),
    Dense(Box<[u8; REGISTERS]>),
}

impl Default for Sketch {
    fn default() -> Self {
        Self(Form::Sparse(Vec::new()))
    }
}

impl Sketch {
    /// Adds a visitor by a hash whose bits are evenly spread.
    pub fn insert(&mut self, hash: u64) {
        self.insert_bits((hash >> 32) as u32);
    }

    fn insert_bits(&mut self, bits: u32) {
        match &mut self.0 {
            Form::Sparse(seen) => {
                if let Err(at) = seen.binary_search(&bits) {
                    seen.insert(at, bits);
                    if seen.len() > SPARSE_MAX {
                        self.make_dense();
                    }
                }
            }
            Form::Dense(registers) => {
                let index = (bits >> (32 - PRECISION)) as usize;
                let rank = ((bits << PRECISION).leading_zeros() as usize + 1).min(TOP) as u8;
                registers[index] = registers[index].max(rank);
            }
        }
    }

    fn make_dense(&mut self) {
        if let Form::Sparse(seen) = &mut self.0 {
            let seen = std::mem::take(seen);
            self.0 = Form::Dense(Box::new([0; REGISTERS]));
            for bits in seen {
                self.insert_bits(bits);
            }
        }
    }

    /// Adds the visitors of another sketch; those of both count once.
    pub fn merge(&mut self, other: &Self) {
        match &other.0 {
            Form::Sparse(seen) => {
                for bits in seen {
                    self.insert_bits(*bits);
                }
            }
            Form::Dense(theirs) => {
                self.make_dense();
                if let Form::Dense(ours) = &mut self.0 {
                    for (our, their) in ours.iter_mut().zip(theirs.iter()) {
                        *our = (*our).max(*their);
                    }
                }
            }
        }
    }

    /// How many different visitors there were: exact up to 512, then within some percent.
    pub fn count(&self) -> u64 {
        match &self.0 {
            Form::Sparse(seen) => seen.len() as u64,
            Form::Dense(registers) => estimate(registers),
        }
    }

    /// Bytes that it takes in memory, about.
    pub fn weight(&self) -> usize {
        match &self.0 {
            Form::Sparse(seen) => seen.capacity() * 4,
            Form::Dense(_) => REGISTERS,
        }
    }

    /// As it is stored: a tag, then the sorted hashes or five bits for each register.
    pub fn to_bytes(&self) -> Vec<u8> {
        match &self.0 {
            Form::Sparse(seen) => {
                let mut bytes = Vec::with_capacity(1 + seen.len() * 4);
                bytes.push(SPARSE_TAG);
                for bits in seen {
                    bytes.extend_from_slice(&bits.to_le_bytes());
                }
                bytes
            }
            Form::Dense(registers) => {
                let mut bytes = Vec::with_capacity(1 + PACKED_BYTES);
                bytes.push(DENSE_TAG);
                for eight in registers.as_chunks::<8>().0 {
                    let packed = eight.iter().rev().fold(0_u64, |packed, register| packed << 5 | u64::from(*register));
                    bytes.extend_from_slice(&packed.to_le_bytes()[..5]);
                }
                bytes
            }
        }
    }

    /// Back from its bytes; `None` when they are none of ours.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first()? {
            (&SPARSE_TAG, hashes) if hashes.len() % 4 == 0 && hashes.len() <= SPARSE_MAX * 4 => {
                let seen: Vec<u32> = hashes.as_chunks::<4>().0.iter().map(|four| u32::from_le_bytes(*four)).collect();
                seen.is_sorted_by(|a, b| a < b).then_some(Self(Form::Sparse(seen)))
            }
            (&DENSE_TAG, packed) if packed.len() == PACKED_BYTES => {
                let mut registers = Box::new([0; REGISTERS]);
                for (eight, five) in registers.as_chunks_mut::<8>().0.iter_mut().zip(packed.as_chunks::<5>().0) {
                    let [a, b, c, d, e] = *five;
                    let mut word = u64::from_le_bytes([a, b, c, d, e, 0, 0, 0]);
                    for register in eight {
                        *register = ((word & 0x1F) as u8).min(TOP as u8);
                        word >>= 5;
                    }
                }
                Some(Self(Form::Dense(registers)))
            }
            _ => None,
        }
    }
}

fn estimate(registers: &[u8; REGISTERS]) -> u64 {
    let mut having = [0_u32; TOP + 1];
    for register in registers {
        having[usize::from(*register).min(TOP)] += 1;
    }
    let m = REGISTERS as f64;
    let mut z = m * tau(1.0 - f64::from(having[TOP]) / m);
    for count in having[1..TOP].iter().rev() {
        z = 0.5 * (z + f64::from(*count));
    }
    z += m * sigma(f64::from(having[0]) / m);
    (m * m / (2.0 * std::f64::consts::LN_2 * z)).round() as u64
}

fn sigma(mut x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x).powi(2) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::Hasher;

    fn hash(seed: u64, n: u64) -> u64 {
        let mut hasher = siphasher::sip::SipHasher24::new_with_keys(seed, 7);
        hasher.write_u64(n);
        hasher.finish()
    }

    #[test]
    fn few_visitors_are_counted_exactly_and_many_within_the_standard_error() {
        for (visitors, bound) in [(1_u64, 0.0), (100, 0.0), (512, 0.0), (2_000, 0.02), (20_000, 0.02), (300_000, 0.02)] {
            let runs = 12;
            let mut squares = 0.0;
            for seed in 0..runs {
                let mut sketch = Sketch::default();
                for n in 0..visitors {
                    sketch.insert(hash(seed, n));
                    sketch.insert(hash(seed, n));
                }
                let error = sketch.count() as f64 / visitors as f64 - 1.0;
                assert!(error.abs() <= bound * 3.5, "{visitors}: {error}");
                squares += error * error;
            }
            let standard = (squares / runs as f64).sqrt();
            println!("{visitors} visitors: standard error {:.2} %", standard * 100.0);
            assert!(standard <= bound, "{visitors}: {standard}");
        }
    }

    #[test]
    fn merging_counts_the_visitors_of_both_once_and_order_does_not_matter() {
        for (ours, theirs) in [(0..100, 50..150), (0..5_000, 2_500..7_500), (0..100, 0..6_000), (0..6_000, 0..100)] {
            let sketch = |range: std::ops::Range<u64>| {
                let mut sketch = Sketch::default();
                range.for_each(|n| sketch.insert(hash(1, n)));
                sketch
            };
            let both = sketch(ours.start.min(theirs.start)..ours.end.max(theirs.end));
            let mut merged = sketch(ours.clone());
            merged.merge(&sketch(theirs.clone()));
            let mut other_way = sketch(theirs);
            other_way.merge(&sketch(ours));
            assert_eq!(merged, both);
            assert_eq!(other_way, both);
        }
    }

    #[test]
    fn a_sketch_is_read_back_from_its_bytes_and_foreign_bytes_are_refused() {
        let mut sketch = Sketch::default();
        for n in 0..3_000 {
            if [0, 1, 512, 513, 2_999].contains(&n) {
                assert_eq!(Sketch::from_bytes(&sketch.to_bytes()), Some(sketch.clone()));
            }
            sketch.insert(hash(3, n));
        }
        for foreign in [&[][..], &[0], &[1, 0], &[2, 0, 0], &[1, 2, 0, 0, 0, 1, 0, 0, 0]] {
            assert_eq!(Sketch::from_bytes(foreign), None, "{foreign:?}");
        }
    }
}
