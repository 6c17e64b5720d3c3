//! Waiting for something to become true, with a deadline and a message.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks until `look` gives a value; panics with `what` when `limit` has passed.
pub fn wait_until<T>(what: &str, limit: Duration, look: impl FnMut() -> Option<T>) -> T {
    within(limit, look).unwrap_or_else(|| panic!("waited {limit:?} in vain: {what}"))
}

/// Looks until `look` gives a value or `limit` has passed.
pub fn within<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(value) = look() {
            return Some(value);
        }
        if Instant::now() >= end {
            return None;
        }
        thread::sleep(PAUSE);
    }
}

/// Panics with `what` when `look` gives a value within `period`: for what must not happen.
pub fn never_within(what: &str, period: Duration, look: impl FnMut() -> Option<()>) {
    assert!(within(period, look).is_none(), "must not happen: {what}");
}
