//! Slows down whoever guesses: a budget of failures per network, or per account.
//!
//! Only failures count, so nobody who holds a valid credential and shares an address with a few
//! mistakes is slowed down. Keys and links have 256 bits and cannot be guessed anyway; for them the
//! budget keeps guessing from costing database queries and filling the log. A password can be guessed,
//! so its attempts are paid for before they are made, and given back when they were right: a thousand at
//! once have no more of them than a thousand in turn.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

/// The most sources remembered; the ones nearest to forgiveness are forgotten first.
const MAX_SOURCES: usize = 4096;

/// What counts as one address: an IPv6 customer has a whole /64 to try from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network(IpAddr);

/// An account that is tried, whether or not it is there. Of one size, however long the address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Guessed([u8; 32]);

/// A budget of failures per source that refills with time.
///
/// Per source it keeps the moment at which all is forgiven: each failure moves it on by `refill`, and
/// a source is refused while it lies more than `burst` refills ahead.
#[derive(Debug)]
pub struct Throttle<K> {
    refill: Duration,
    window: Duration,
    forgiven: Mutex<HashMap<K, Instant>>,
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                IpAddr::V6([a, b, c, d, 0, 0, 0, 0].into())
            }
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

impl Guessed {
    /// The account with this e-mail address.
    pub fn account(email: &str) -> Self {
        Self(Sha256::digest(email.to_lowercase()).into())
    }
}

impl<K: Copy + Eq + Hash> Throttle<K> {
    /// Allows `burst` failures at once and one more per `refill`.
    pub fn new(burst: u32, refill: Duration) -> Self {
        Self {
            refill,
            window: refill * burst,
            forgiven: Mutex::default(),
        }
    }

    /// Whether a source may try; if not, how long it has to wait.
    pub fn check(&self, source: impl Into<K>, now: Instant) -> Result<(), Duration> {
        self.wait(&self.lock(), source.into(), now)
    }

    /// Counts a failure of a source.
    pub fn failed(&self, source: impl Into<K>, now: Instant) {
        self.charge(&mut self.lock(), source.into(), now);
    }

    /// Counts an attempt as a failure until it is [given back](Self::succeeded), if the source may try.
    pub fn attempt(&self, source: impl Into<K>, now: Instant) -> Result<(), Duration> {
        let (mut forgiven, source) = (self.lock(), source.into());
        self.wait(&forgiven, source, now)?;
        self.charge(&mut forgiven, source, now);
        Ok(())
    }

    /// Gives one attempt back.
    pub fn succeeded(&self, source: impl Into<K>) {
        if let Some(at) = self.lock().get_mut(&source.into()) {
            *at = at.checked_sub(self.refill).unwrap_or(*at);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Instant>> {
        self.forgiven.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(
        &self,
        forgiven: &HashMap<K, Instant>,
        source: K,
        now: Instant,
    ) -> Result<(), Duration> {
        let Some(at) = forgiven.get(&source) else {
            return Ok(());
        };
        let debt = at.saturating_duration_since(now) + self.refill;
        match debt.saturating_sub(self.window) {
            Duration::ZERO => Ok(()),
            wait => Err(wait),
        }
    }

    fn charge(&self, forgiven: &mut HashMap<K, Instant>, source: K, now: Instant) {
        if forgiven.len() >= MAX_SOURCES && !forgiven.contains_key(&source) {
            make_room(forgiven, now);
        }
        let at = forgiven.entry(source).or_insert(now);
        *at = (*at).max(now) + self.refill;
    }
}

fn make_room<K: Copy + Eq + Hash>(forgiven: &mut HashMap<K, Instant>, now: Instant) {
    forgiven.retain(|_, at| *at > now);
    if forgiven.len() < MAX_SOURCES {
        return;
    }
    let nearest = forgiven.iter().min_by_key(|(_, at)| **at);
    if let Some(source) = nearest.map(|(source, _)| *source) {
        forgiven.remove(&source);
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
        let (throttle, now) = (Throttle::<Network>::new(3, SECOND), Instant::now());
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
                Network::from(address(one)) == Network::from(address(other)),
                same,
                "{one} {other}"
            );
        }
    }

    #[test]
    fn memory_is_bounded_and_the_worst_is_remembered() {
        let (throttle, now) = (Throttle::<Network>::new(2, SECOND), Instant::now());
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

    #[test]
    fn attempts_are_paid_for_before_they_are_made() {
        let (throttle, now) = (Throttle::<Guessed>::new(2, SECOND), Instant::now());
        let ada = Guessed::account("ada@example.org");
        assert_eq!(throttle.attempt(ada, now), Ok(()));
        assert_eq!(
            throttle.attempt(Guessed::account("ADA@example.org"), now),
            Ok(())
        );
        assert_eq!(throttle.attempt(ada, now), Err(SECOND));
        assert_eq!(
            throttle.attempt(Guessed::account("bob@example.org"), now),
            Ok(())
        );
        throttle.succeeded(ada);
        assert_eq!(
            throttle.attempt(ada, now),
            Ok(()),
            "a right one costs nothing"
        );
        assert!(
            throttle.attempt(ada, now).is_err(),
            "a refused one neither pays nor gains"
        );
    }
}
