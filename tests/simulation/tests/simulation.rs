//! Thousands of seeds, each a run of both sides through accidents.
#![allow(
    clippy::unwrap_used,
    reason = "a panic is how a test says what went wrong"
)]

use towline_simulation::{Store, many};

/// The seeds of each continuous integration run.
const SEEDS: u64 = 4_000;

#[test]
fn every_invariant_holds_in_every_seed() {
    let (figures, broken) = many(0..SEEDS, Store::Model);
    println!("{figures}");
    assert!(
        broken.is_empty(),
        "tell the story with ./dev sim --seed N: {broken:?}"
    );
    // A world in which nothing happens proves nothing.
    assert!(figures.effects > 2 * SEEDS, "{figures}");
    assert!(figures.faults.len() >= 10, "{figures}");
}
