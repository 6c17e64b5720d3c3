//! How many requests somebody may make in a minute, counted in windows that begin with the first one.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// The length of a window.
pub const WINDOW: Duration = Duration::from_mins(1);
/// So few are never looked through.
const FEW: usize = 64;

/// Who is counted, and how often each has asked in the present window.
#[derive(Debug)]
pub struct Rates<K> {
    windows: HashMap<K, Window>,
    /// With so many, those whose window is over are forgotten.
    most: usize,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    began: Instant,
    asked: u32,
}

/// Where somebody stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How often they may ask in a window.
    pub limit: u32,
    /// How often they may still.
    pub left: u32,
    /// When the window ends.
    pub resets_in: Duration,
}

impl<K> Default for Rates<K> {
    fn default() -> Self {
        Self {
            windows: HashMap::new(),
            most: FEW,
        }
    }
}

impl<K: Copy + Hash + Eq> Rates<K> {
    /// Counts a request against each of the limits, if all allow it: what one refuses uses up none.
    ///
    /// # Errors
    /// The standings as they are, when one has nothing left.
    pub fn take(
        &mut self,
        limits: &[(K, u32)],
        now: Instant,
    ) -> Result<Vec<Standing>, Vec<Standing>> {
        if self.windows.len() >= self.most {
            self.windows.retain(|_, window| !window.is_over(now));
            self.most = FEW.max(2 * self.windows.len());
        }
        let standing = |(who, limit): &(K, u32)| self.window(who, now).standing(*limit, now);
        if limits
            .iter()
            .map(standing)
            .any(|standing| standing.left == 0)
        {
            return Err(limits.iter().map(standing).collect());
        }
        let taken = limits.iter().map(|(who, limit)| {
            let mut window = self.window(who, now);
            window.asked += 1;
            self.windows.insert(*who, window);
            window.standing(*limit, now)
        });
        Ok(taken.collect())
    }

    fn window(&self, who: &K, now: Instant) -> Window {
        let known = self.windows.get(who).filter(|window| !window.is_over(now));
        known.copied().unwrap_or(Window {
            began: now,
            asked: 0,
        })
    }
}

impl Window {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.began) >= WINDOW
    }

    fn standing(&self, limit: u32, now: Instant) -> Standing {
        Standing {
            limit,
            left: limit.saturating_sub(self.asked),
            resets_in: WINDOW.saturating_sub(now.saturating_duration_since(self.began)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(taken: Result<Vec<Standing>, Vec<Standing>>) -> Result<Vec<u32>, Vec<u32>> {
        let left = |standings: Vec<Standing>| standings.iter().map(|one| one.left).collect();
        taken.map(left).map_err(left)
    }

    #[test]
    fn each_limit_is_counted_and_a_refusal_uses_up_none() {
        let (mut rates, now) = (Rates::default(), Instant::now());
        let (team, one, other) = ("team", "one", "other");
        assert_eq!(
            left(rates.take(&[(one, 1), (team, 3)], now)),
            Ok(vec![0, 2])
        );
        assert_eq!(
            left(rates.take(&[(one, 1), (team, 3)], now)),
            Err(vec![0, 2])
        );
        assert_eq!(
            left(rates.take(&[(other, 9), (team, 3)], now)),
            Ok(vec![8, 1])
        );
        assert_eq!(left(rates.take(&[(team, 3)], now)), Ok(vec![0]));
        assert_eq!(
            left(rates.take(&[(other, 9), (team, 3)], now)),
            Err(vec![8, 0])
        );
        assert_eq!(left(rates.take(&[], now)), Ok(vec![]));
    }

    #[test]
    fn a_window_begins_with_the_first_request_after_the_last_one() {
        let (mut rates, now) = (Rates::default(), Instant::now());
        let later = |seconds| now + Duration::from_secs(seconds);
        let standing = |left, resets_in| Standing {
            limit: 2,
            left,
            resets_in: Duration::from_secs(resets_in),
        };
        assert_eq!(rates.take(&[((), 2)], now), Ok(vec![standing(1, 60)]));
        assert_eq!(rates.take(&[((), 2)], later(50)), Ok(vec![standing(0, 10)]));
        assert_eq!(rates.take(&[((), 2)], later(59)), Err(vec![standing(0, 1)]));
        assert_eq!(rates.take(&[((), 2)], later(75)), Ok(vec![standing(1, 60)]));
        // A limit that was lowered holds at once.
        assert_eq!(left(rates.take(&[((), 1)], later(76))), Err(vec![0]));
    }

    #[test]
    fn who_does_not_ask_any_more_is_forgotten() {
        let (mut rates, now) = (Rates::default(), Instant::now());
        for who in 0..1000 {
            assert!(
                rates
                    .take(&[(who, 5)], now + Duration::from_secs(who))
                    .is_ok()
            );
        }
        assert!(rates.windows.len() < 200, "{}", rates.windows.len());
    }
}
