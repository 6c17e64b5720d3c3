//! Runs of seeds, one or many.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempDir;

use crate::dice::Dice;
use crate::figures::Figures;
use crate::model::Model;
use crate::plane::Plane;
#[cfg(feature = "failpoints")]
use crate::real::Real;
use crate::trace::Trace;
#[cfg(feature = "failpoints")]
use crate::world::BEGINNING;
use crate::world::{Ran, Shape, World};

/// What remembers for the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// A model of the store's promises.
    Model,
    /// The real one, on SQLite in memory.
    #[cfg(feature = "failpoints")]
    Real,
}

/// Runs one seed; keeps its story when `told`.
pub fn run(seed: u64, store: Store, told: bool) -> Ran {
    let folder = folder();
    let mut dice = Dice::new(seed.rotate_left(17));
    let shape = Shape {
        hosts: 1 + dice.below(3),
        replicas: 1 + usize::from(dice.permille(300)),
    };
    let plane: Box<dyn Plane> = match store {
        Store::Model => Box::new(Model::new(shape.hosts, seed)),
        #[cfg(feature = "failpoints")]
        Store::Real => Box::new(Real::new(folder.path(), shape.hosts, BEGINNING)),
    };
    let trace = if told {
        Trace::On(Vec::new())
    } else {
        Trace::Off
    };
    World::new(seed, folder.path(), shape, plane, trace).run()
}

/// One of these seeds that breaks an invariant, an early one.
pub fn first_broken(seeds: Range<u64>, store: Store) -> Option<(u64, String)> {
    const BATCH: u64 = 50;
    let mut start = seeds.start;
    while start < seeds.end {
        let end = seeds.end.min(start + BATCH);
        let (_, mut broken) = many(start..end, store);
        broken.sort_unstable();
        if !broken.is_empty() {
            return broken.into_iter().next();
        }
        start = end;
    }
    None
}

/// Runs many seeds on all cores. Gives what they add up to, and the seeds that broke an invariant.
pub fn many(seeds: Range<u64>, store: Store) -> (Figures, Vec<(u64, String)>) {
    let next = AtomicU64::new(seeds.start);
    let total = Mutex::new((Figures::default(), Vec::new()));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let ran = run(seed, store, false);
                    let mut total = total
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner);
                    total.0.add(&ran.figures);
                    total.1.extend(ran.broken.map(|broken| (seed, broken)));
                }
            });
        }
    });
    total
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// In memory where the machine has such a place: what a disk would do is played anyway.
fn folder() -> TempDir {
    let memory = PathBuf::from("/dev/shm");
    let made = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    made.expect("a folder for a run")
}
