//! How long to wait before the next connection.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    time::Duration,
};

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(5);

/// Twice as long after each failure, up to a limit; back to the start when something came.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    /// The first wait is short.
    pub(super) fn new() -> Self {
        Self { next: FIRST }
    }

    /// Something came.
    pub(super) fn reset(&mut self) {
        self.next = FIRST;
    }

    /// The wait before the next try: between half and all of the limit of the moment, so that many
    /// clients do not come back in step.
    pub(super) fn wait(&mut self) -> Duration {
        let limit = self.next;
        self.next = (limit * 2).min(LONGEST);
        // Every RandomState is seeded anew.
        let random = RandomState::new().build_hasher().finish();
        let thousandths = u32::try_from(random % 501).unwrap_or_default() + 500;
        limit * thousandths / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_limit_and_start_again() {
        let mut backoff = Backoff::new();
        let limits = [200, 400, 800, 1600, 3200, 5000, 5000];
        for milliseconds in limits.map(Duration::from_millis) {
            let wait = backoff.wait();
            assert!(wait >= milliseconds / 2 && wait <= milliseconds, "{wait:?}");
        }
        backoff.reset();
        assert!(backoff.wait() <= FIRST);
    }
}
