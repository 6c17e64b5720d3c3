//! How often somebody may do something: so many times at once, then once in a while.

use std::collections::HashMap;
use std::hash::Hash;

use chrono::{DateTime, TimeDelta, Utc};

/// So few are never looked through.
const FEW: usize = 64;

/// What everybody may do, and what each has left of it. Who has not used it for long is not kept.
#[derive(Debug)]
pub struct Allowances<K> {
    burst: u32,
    every: TimeDelta,
    used: HashMap<K, Used>,
    /// With so many, those who have all of theirs again are forgotten: seldom enough that a storm
    /// of many costs each of them the same.
    most: usize,
}

#[derive(Debug)]
struct Used {
    left: u32,
    /// What was earned is counted from here.
    since: DateTime<Utc>,
    /// How often it was refused since it was last given.
    refused: u64,
}

impl<K: Hash + Eq> Allowances<K> {
    /// Each may `burst` times at once, and once more after each time of `every`.
    pub fn new(burst: u32, every: TimeDelta) -> Self {
        Self {
            burst,
            every,
            used: HashMap::new(),
            most: FEW,
        }
    }

    /// Uses the allowance once: gives how often it was refused since the last time, or nothing when
    /// none is left.
    pub fn spend(&mut self, who: K, now: DateTime<Utc>) -> Option<u64> {
        if self.used.len() >= self.most {
            self.forget_the_rested(now);
        }
        let used = self.used.entry(who).or_insert(Used {
            left: self.burst,
            since: now,
            refused: 0,
        });
        used.earn(self.burst, self.every, now);
        if used.left == 0 {
            used.refused += 1;
            return None;
        }
        used.left -= 1;
        Some(std::mem::take(&mut used.refused))
    }

    fn forget_the_rested(&mut self, now: DateTime<Utc>) {
        let (burst, every) = (self.burst, self.every);
        self.used.retain(|_, used| {
            used.earn(burst, every, now);
            used.left < burst || used.refused > 0
        });
        self.most = FEW.max(2 * self.used.len());
    }
}

impl Used {
    fn earn(&mut self, burst: u32, every: TimeDelta, now: DateTime<Utc>) {
        // A clock that was set back must not take the allowance for as long.
        self.since = self.since.min(now);
        while self.left < burst && now - self.since >= every {
            self.left += 1;
            self.since += every;
        }
        if self.left == burst {
            self.since = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    #[test]
    fn so_many_at_once_then_one_in_a_while() {
        let mut allowances = Allowances::new(2, TimeDelta::seconds(10));
        let table = [
            ("a", 0, Some(0)),
            ("a", 0, Some(0)),
            ("a", 1, None),
            ("a", 9, None),
            ("b", 9, Some(0)),
            ("a", 10, Some(2)),
            ("a", 11, None),
            ("a", 20, Some(1)),
            // Long enough for all of it, and no more than that.
            ("a", 1000, Some(0)),
            ("a", 1000, Some(0)),
            ("a", 1000, None),
            // The clock is set back: it goes on from there.
            ("a", 500, None),
            ("a", 510, Some(2)),
        ];
        for (step, (who, seconds, expected)) in table.into_iter().enumerate() {
            assert_eq!(allowances.spend(who, at(seconds)), expected, "step {step}");
        }
    }

    #[test]
    fn who_has_all_of_it_is_not_kept() {
        let mut allowances = Allowances::new(2, TimeDelta::seconds(10));
        for who in 0..200 {
            allowances.spend(who, at(0));
        }
        assert_eq!(allowances.used.len(), 200);
        for who in 0..300 {
            allowances.spend(1000 + who, at(20));
        }
        assert!(allowances.used.len() <= 300, "{}", allowances.used.len());
        allowances.spend(0, at(1000));
        for who in 0..300 {
            allowances.spend(2000 + who, at(2000));
        }
        assert!(!allowances.used.contains_key(&1000));
    }
}
