//! Bounds on what a reader may cost: memory that is counted, and time.

use std::time::{Duration, Instant};

use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// No reader takes longer for one input, on a machine with other things to do and in a debug build.
const TIME: Duration = Duration::from_secs(10);

/// Gives what `read` gives; panics when it holds more than `bytes` at any moment, or takes too long.
pub fn within<T>(bytes: usize, read: impl FnOnce() -> T) -> T {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let began = Instant::now();
    let value = read();
    let took = began.elapsed();
    let held = MEMORY.peak_usage().saturating_sub(before);
    assert!(
        held <= bytes,
        "it held {held} bytes, at most {bytes} are allowed"
    );
    assert!(took < TIME, "it took {took:?}");
    value
}
