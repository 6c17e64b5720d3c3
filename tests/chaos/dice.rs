//! Chance that can be repeated: the same seed rolls the same numbers, on every machine.

use std::time::Duration;

/// Dice of a seed (SplitMix64).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Dice of their own for part `number` of what a seed decides: what one part rolls changes nothing for another.
    pub fn of_part(seed: u64, number: usize) -> Self {
        let mut dice = Self(seed ^ (number as u64).wrapping_mul(0xd6e8_feb8_6659_fd93));
        dice.roll();
        dice
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `end`, which is not among them.
    pub fn below(&mut self, end: u64) -> u64 {
        self.roll() % end.max(1)
    }

    /// Whether something of this many percent happens.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// A time between two.
    pub fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let span = most.saturating_sub(least).as_millis();
        least + Duration::from_millis(self.below(u64::try_from(span).unwrap_or(u64::MAX)))
    }

    /// Puts a deck into another order.
    pub fn shuffle<T>(&mut self, deck: &mut [T]) {
        for at in (1..deck.len()).rev() {
            let other = usize::try_from(self.below(at as u64 + 1)).expect("an index");
            deck.swap(at, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_repeated_and_its_parts_differ() {
        let rolls = |mut dice: Dice| (0..20).map(|_| dice.below(1000)).collect::<Vec<_>>();
        assert_eq!(rolls(Dice::new(7)), rolls(Dice::new(7)));
        assert_ne!(rolls(Dice::new(7)), rolls(Dice::new(8)));
        assert_ne!(rolls(Dice::of_part(7, 1)), rolls(Dice::of_part(7, 2)));
    }

    #[test]
    fn a_shuffled_deck_keeps_its_cards() {
        let mut deck: Vec<u32> = (0..50).collect();
        Dice::new(1).shuffle(&mut deck);
        assert_ne!(deck, (0..50).collect::<Vec<_>>());
        deck.sort_unstable();
        assert_eq!(deck, (0..50).collect::<Vec<_>>());
    }
}
