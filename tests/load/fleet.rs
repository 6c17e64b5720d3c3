//! All simulated agents, and the count of them.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::runtime::Runtime;

use crate::agent::{Habit, Identity, live};
use crate::report::Rate;

/// The running agents.
pub struct Fleet {
    runtime: Runtime,
    size: usize,
    tally: Arc<Tally>,
}

/// What the agents count together.
#[derive(Default)]
pub struct Tally {
    connected: AtomicUsize,
    drops: AtomicU64,
    marks: Mutex<Marks>,
}

#[derive(Default)]
struct Marks {
    first: Option<Instant>,
    last: Option<Instant>,
    error: Option<String>,
}

/// From the first agent that reached the listener to the last one that was welcomed.
#[derive(Clone, Copy)]
pub struct Gathered {
    /// When the listener took its first connection.
    pub first: Instant,
    /// When all were welcomed.
    pub last: Instant,
}

impl Gathered {
    /// Agents per second.
    pub fn rate(self, agents: usize) -> Rate {
        Rate::new(self.last.duration_since(self.first), agents)
    }
}

impl Tally {
    pub fn reached(&self) {
        self.marks().first.get_or_insert_with(Instant::now);
    }

    pub fn came(&self) {
        self.marks().last = Some(Instant::now());
        self.connected.fetch_add(1, SeqCst);
    }

    pub fn went(&self, why: &anyhow::Error) {
        self.connected.fetch_sub(1, SeqCst);
        self.drops.fetch_add(1, SeqCst);
        self.failed(why);
    }

    pub fn failed(&self, why: &anyhow::Error) {
        self.marks().error = Some(format!("{why:#}"));
    }

    fn marks(&self) -> std::sync::MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fleet {
    /// Starts all agents.
    pub fn launch(agents: Vec<Identity>, samples: bool) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .context("a runtime")?;
        let habit = if samples {
            Habit::Sampling
        } else {
            Habit::Quiet
        };
        let (size, tally) = (agents.len(), Arc::new(Tally::default()));
        for (number, identity) in agents.into_iter().enumerate() {
            runtime.spawn(live(number, identity, habit, Arc::clone(&tally)));
        }
        Ok(Self {
            runtime,
            size,
            tally,
        })
    }

    /// How many are connected.
    pub fn connected(&self) -> usize {
        self.tally.connected.load(SeqCst)
    }

    /// How many connections have ended so far.
    pub fn drops(&self) -> u64 {
        self.tally.drops.load(SeqCst)
    }

    /// Waits until all are connected.
    pub fn gather(&self, limit: Duration) -> Result<Gathered> {
        self.wait("connected", limit, self.size)?;
        let marks = self.tally.marks();
        marks
            .first
            .zip(marks.last)
            .map(|(first, last)| Gathered { first, last })
            .context("there are no agents")
    }

    /// Waits until none is connected; the next gathering counts from there.
    pub fn wait_until_all_are_gone(&self, limit: Duration) -> Result<()> {
        self.wait("connected", limit, 0)?;
        *self.tally.marks() = Marks::default();
        Ok(())
    }

    /// Ends all agents.
    pub fn end(self) {
        self.runtime.shutdown_background();
    }

    fn wait(&self, what: &str, limit: Duration, count: usize) -> Result<()> {
        let end = Instant::now() + limit;
        while self.connected() != count {
            if Instant::now() >= end {
                let error = self.tally.marks().error.clone().unwrap_or_default();
                bail!(
                    "{} agents {what} after {limit:?}, {count} expected; last error: {error}",
                    self.connected()
                );
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}
