//! When to dial again.

use std::time::Duration;

/// A link that lived this long was healthy.
const HEALTHY: Duration = Duration::from_mins(1);
/// How long a revoked agent waits between its attempts, before jitter.
const REVOKED: Duration = Duration::from_mins(5);

/// Exponential, with full jitter: each pause is chosen evenly between nothing and a bound that
/// doubles, so that a fleet that lost its control plane does not come back at once.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
    failures: u32,
}

/// What the next pause follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A connection failed, or ended after it had lived this long.
    Lost(Duration),
    /// The same agent has connected from elsewhere.
    Superseded,
    /// The agent was revoked.
    Revoked,
}

impl Backoff {
    /// One whose first bound is `first`, and whose last is `cap`.
    pub const fn new(first: Duration, cap: Duration) -> Self {
        Self {
            first,
            cap,
            failures: 0,
        }
    }

    /// The next pause; `dice` is evenly random in 0 to 1.
    pub fn pause(&mut self, cause: Cause, dice: f64) -> Duration {
        match cause {
            // Two agents with one identity must not take the link from each other all the time.
            Cause::Superseded => self.cap.mul_f64(0.5 + dice / 2.0),
            Cause::Revoked => REVOKED.mul_f64(0.9 + dice / 5.0),
            Cause::Lost(lived) => {
                if lived >= HEALTHY {
                    self.failures = 0;
                }
                let bound = self
                    .first
                    .saturating_mul(1 << self.failures.min(16))
                    .min(self.cap);
                self.failures += 1;
                bound.mul_f64(dice)
            }
        }
    }
}

/// Evenly random in 0 to 1.
pub fn dice() -> f64 {
    // Without randomness, the middle is as good as any.
    let bits = getrandom::u32().unwrap_or(u32::MAX / 2);
    f64::from(bits) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_the_cap_and_start_anew_after_health() {
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
        let failed = Cause::Lost(Duration::ZERO);
        let bounds: Vec<_> = (0..8)
            .map(|_| backoff.pause(failed, 1.0).as_millis())
            .collect();
        assert_eq!(
            bounds,
            [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]
        );
        assert_eq!(backoff.pause(failed, 0.0), Duration::ZERO);
        assert_eq!(backoff.pause(failed, 0.5), Duration::from_secs(15));
        assert_eq!(
            backoff.pause(Cause::Lost(HEALTHY), 1.0),
            Duration::from_millis(500)
        );
        assert!(backoff.pause(Cause::Superseded, 0.0) >= Duration::from_secs(15));
        assert!(backoff.pause(Cause::Revoked, 0.0) >= Duration::from_secs(270));
    }

    #[test]
    fn dice_stay_in_bounds() {
        assert!(
            (0..1000)
                .map(|_| dice())
                .all(|dice| (0.0..=1.0).contains(&dice))
        );
    }
}
