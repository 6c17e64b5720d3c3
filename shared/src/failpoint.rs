//! Places where tests make the programs fail, and faults that tests plant in them.
//!
//! A failpoint stands behind each commit, send, sync and call of the engine on the way of a job; a test that sets it
//! ends the process there, as a power cut or `kill -9` would. A planted fault changes what the code does, to show that the
//! tests would find it. Both need the feature `failpoints`, which no release build can have; without it nothing is left
//! of them.

mod points;
mod reach;

pub use points::{Behind, POINTS, Point};
pub use reach::{Departing, REACHED, SET, Side, reach, sent};

#[cfg(all(feature = "failpoints", not(debug_assertions)))]
compile_error!("the feature `failpoints` is for tests and must not be in a release build");

#[cfg(feature = "failpoints")]
thread_local! {
    static CLOCK: std::cell::Cell<Option<i64>> = const { std::cell::Cell::new(None) };
}

/// Sets this thread's clock, in Unix milliseconds, or gives the real one back.
#[cfg(feature = "failpoints")]
pub fn set_clock(now_ms: Option<i64>) {
    CLOCK.set(now_ms);
}

/// What a test has set this thread's clock to, in Unix milliseconds.
#[cfg(feature = "failpoints")]
pub fn clock() -> Option<i64> {
    CLOCK.get()
}

/// What a test has set this thread's clock to: nothing in this build.
#[cfg(not(feature = "failpoints"))]
pub const fn clock() -> Option<i64> {
    None
}

/// Whether a test has planted this fault.
#[cfg(feature = "failpoints")]
pub fn is_planted(fault: &str) -> bool {
    fail::fail_point!(fault, |_| true);
    false
}

/// Whether a test has planted this fault: never in this build.
#[cfg(not(feature = "failpoints"))]
pub const fn is_planted(_fault: &str) -> bool {
    false
}
