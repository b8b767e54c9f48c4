//! Chance: every random choice of the generator, each stream named by numbers.
//!
//! Same numbers, same choices, whatever the thread or the order of work. Quality for security is
//! not the aim.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Names of streams, so that two uses of the same numbers never share choices.
#[derive(Clone, Copy)]
pub(super) enum Stream {
    Facility = 1,
    Linkage,
    Person,
    Chart,
    Weight,
    Course,
    Event,
    Life,
    Series,
    Nanoseconds,
    Registry,
    Day,
    Transactions,
}

/// A stream of choices.
pub(super) struct Chance(ChaCha8Rng);

impl Chance {
    /// The stream with this name under a seed.
    pub(super) fn of(seed: u64, stream: Stream, numbers: &[u64]) -> Self {
        Self(ChaCha8Rng::seed_from_u64(digest(seed, stream, numbers)))
    }

    /// Any number.
    pub(super) fn number(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `end`; 0 when there is none.
    pub(super) fn below(&mut self, end: usize) -> usize {
        if end == 0 {
            0
        } else {
            self.0.random_range(0..end)
        }
    }

    /// A number between both ends, both included.
    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        self.0.random_range(low..=high.max(low))
    }

    /// A number from 0 up to 1.
    pub(super) fn real(&mut self) -> f64 {
        self.0.random::<f64>()
    }

    /// True in `percent` of 100 cases.
    pub(super) fn percent(&mut self, percent: f64) -> bool {
        self.real() * 100.0 < percent
    }

    /// One of them; the table is never empty.
    pub(super) fn pick<'a, T>(&mut self, table: &'a [T]) -> &'a T {
        &table[self.below(table.len())]
    }
}

/// A number that stands for a stream: a hash, without a generator behind it.
pub(super) fn digest(seed: u64, stream: Stream, numbers: &[u64]) -> u64 {
    numbers
        .iter()
        .fold(mixed(seed ^ mixed(stream as u64)), |state, &number| {
            mixed(state ^ mixed(number))
        })
}

/// The finisher of SplitMix64 (Steele, Lea, Flood 2014), after its increment.
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A number of 0..1 from a digest.
pub(super) fn share(digest: u64) -> f64 {
    (digest >> 11) as f64 / (1u64 << 53) as f64
}
