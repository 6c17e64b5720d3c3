//! All chance of a run comes from here, and all of it from one number.

use std::ops::Range;

/// A seeded source of chance.
#[derive(Clone, Debug)]
pub struct Dice {
    rng: fastrand::Rng,
    made: u128,
}

impl Dice {
    /// The dice of a seed: the same numbers each time.
    pub fn new(seed: u64) -> Self {
        Self {
            rng: fastrand::Rng::with_seed(seed),
            made: 0,
        }
    }

    /// Whether something of this many in a thousand happens.
    pub fn permille(&mut self, chance: u32) -> bool {
        self.rng.u32(0..1000) < chance
    }

    /// One of so many.
    pub fn below(&mut self, end: usize) -> usize {
        self.rng.usize(0..end)
    }

    /// A number of the range.
    pub fn within(&mut self, range: Range<i64>) -> i64 {
        self.rng.i64(range)
    }

    /// One of these, if there are any.
    pub fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        (!from.is_empty()).then(|| from[self.below(from.len())].clone())
    }

    /// The place of one of these weights, by weight; `None` when all are zero.
    pub fn weigh(&mut self, weights: &[u32]) -> Option<usize> {
        let total: u32 = weights.iter().sum();
        if total == 0 {
            return None;
        }
        let mut left = self.rng.u32(0..total);
        weights.iter().position(|weight| {
            let found = left < *weight;
            left = left.saturating_sub(*weight);
            found
        })
    }

    /// How many identifiers were made so far: those that begin with it are in the order of their making.
    pub fn made(&mut self) -> u128 {
        self.made += 1;
        self.made
    }

    /// An identifier's bits.
    pub fn bits(&mut self) -> u128 {
        self.rng.u128(..)
    }
}
