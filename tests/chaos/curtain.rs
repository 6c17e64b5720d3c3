//! When the run ends: the faults first, then new work, then what waits for the last answers. An interrupt ends all.

use std::{
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

/// The most that anybody sleeps without a look.
const NAP: Duration = Duration::from_millis(50);

/// What all threads look at.
#[derive(Debug)]
pub struct Curtain {
    faults_until: Instant,
    down: AtomicBool,
    work_over: AtomicBool,
    interrupted: AtomicBool,
}

impl Curtain {
    /// Faults are injected for this long.
    pub fn new(length: Duration) -> Self {
        Self {
            faults_until: Instant::now() + length,
            down: AtomicBool::new(false),
            work_over: AtomicBool::new(false),
            interrupted: AtomicBool::new(false),
        }
    }

    /// Whether the time of faults is over.
    pub fn faults_are_over(&self) -> bool {
        self.is_interrupted() || Instant::now() >= self.faults_until
    }

    /// Whether no new work is to be begun. It goes on until the last fault has ended.
    pub fn work_is_over(&self) -> bool {
        self.is_interrupted() || self.work_over.load(SeqCst)
    }

    /// Ends new work.
    pub fn end_work(&self) {
        self.work_over.store(true, SeqCst);
    }

    /// Whether nobody waits for anything any more.
    pub fn is_down(&self) -> bool {
        self.is_interrupted() || self.down.load(SeqCst)
    }

    /// Ends all waiting.
    pub fn fall(&self) {
        self.down.store(true, SeqCst);
    }

    /// Ends everything.
    pub fn interrupt(&self) {
        self.interrupted.store(true, SeqCst);
    }

    /// Whether somebody has asked to stop.
    pub fn is_interrupted(&self) -> bool {
        self.interrupted.load(SeqCst)
    }

    /// Sleeps, but not on when `over` is true.
    pub fn sleep(&self, time: Duration, over: fn(&Self) -> bool) {
        let end = Instant::now() + time;
        while !over(self) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::sleep(left.min(NAP));
        }
    }
}
