//! Slows down whoever guesses: a budget of failures per network address.
//!
//! Only failures count, so nobody who holds a valid credential and shares an address with a few
//! mistakes is slowed down. What is guarded has 256 bits and cannot be guessed anyway; the budget keeps
//! guessing from costing database queries and filling the log.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The most addresses remembered; the ones nearest to forgiveness are forgotten first.
const MAX_SOURCES: usize = 4096;

/// A budget of failures per address that refills with time.
///
/// Per address it keeps the moment at which all is forgiven: each failure moves it on by `refill`, and
/// an address is refused while it lies more than `burst` refills ahead.
#[derive(Debug)]
pub struct Throttle {
    refill: Duration,
    window: Duration,
    forgiven: Mutex<HashMap<IpAddr, Instant>>,
}

impl Throttle {
    /// Allows `burst` failures at once and one more per `refill`.
    pub fn new(burst: u32, refill: Duration) -> Self {
        Self {
            refill,
            window: refill * burst,
            forgiven: Mutex::default(),
        }
    }

    /// Whether an address may try; if not, how long it has to wait.
    pub fn check(&self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let forgiven = self.forgiven.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = forgiven.get(&network(address)) else {
            return Ok(());
        };
        let debt = at.saturating_duration_since(now) + self.refill;
        match debt.saturating_sub(self.window) {
            Duration::ZERO => Ok(()),
            wait => Err(wait),
        }
    }

    /// Counts a failure of an address.
    pub fn failed(&self, address: IpAddr, now: Instant) {
        let mut forgiven = self.forgiven.lock().unwrap_or_else(PoisonError::into_inner);
        let network = network(address);
        if forgiven.len() >= MAX_SOURCES && !forgiven.contains_key(&network) {
            make_room(&mut forgiven, now);
        }
        let at = forgiven.entry(network).or_insert(now);
        *at = (*at).max(now) + self.refill;
    }
}

fn make_room(forgiven: &mut HashMap<IpAddr, Instant>, now: Instant) {
    forgiven.retain(|_, at| *at > now);
    if forgiven.len() < MAX_SOURCES {
        return;
    }
    let nearest = forgiven.iter().min_by_key(|(_, at)| **at);
    if let Some(address) = nearest.map(|(address, _)| *address) {
        forgiven.remove(&address);
    }
}

/// What counts as one address: an IPv6 customer has a whole /64 to try from.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6([a, b, c, d, 0, 0, 0, 0].into())
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn failures_use_up_a_budget_that_refills() {
        let (throttle, now) = (Throttle::new(3, SECOND), Instant::now());
        let here = address("192.0.2.1");
        for _ in 0..3 {
            assert_eq!(throttle.check(here, now), Ok(()));
            throttle.failed(here, now);
        }
        assert_eq!(throttle.check(here, now), Err(SECOND));
        assert_eq!(throttle.check(address("192.0.2.2"), now), Ok(()));
        assert_eq!(throttle.check(here, now + SECOND), Ok(()));
        throttle.failed(here, now + SECOND);
        assert!(throttle.check(here, now + SECOND).is_err());
        assert_eq!(throttle.check(here, now + 60 * SECOND), Ok(()));
    }

    #[test]
    fn addresses_of_one_customer_count_as_one() {
        let table = [
            ("2001:db8::1", "2001:db8::2", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("::ffff:192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
        ];
        for (one, other, same) in table {
            assert_eq!(
                network(address(one)) == network(address(other)),
                same,
                "{one} {other}"
            );
        }
    }

    #[test]
    fn memory_is_bounded_and_the_worst_is_remembered() {
        let (throttle, now) = (Throttle::new(2, SECOND), Instant::now());
        let worst = address("192.0.2.1");
        for _ in 0..5 {
            throttle.failed(worst, now);
        }
        for n in 0..10_000_u32 {
            throttle.failed(IpAddr::V4((0x0a00_0000 + n).into()), now);
        }
        assert!(throttle.forgiven.lock().unwrap().len() <= MAX_SOURCES);
        assert!(throttle.check(worst, now).is_err());
    }
}
