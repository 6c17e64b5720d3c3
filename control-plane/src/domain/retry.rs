//! What becomes of an attempt to tell somebody something, and when it is followed by the next.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// How long a message is tried.
pub const GIVE_UP_AFTER: TimeDelta = TimeDelta::hours(24);

/// From one attempt to the next, in seconds; the last repeats.
const DELAYS: [i64; 8] = [5, 30, 2 * 60, 10 * 60, 30 * 60, 3600, 2 * 3600, 4 * 3600];

/// What an attempt came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The message was taken.
    Delivered,
    /// It may be taken another time.
    Again,
    /// This message will never be taken.
    Refused,
    /// No message will ever be taken there.
    Gone,
}

/// By what the next attempt is moved.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// 0 to 1: makes the delay a fifth shorter to a fifth longer, so that what failed together does not come back together.
    pub jitter: f64,
    /// How long the receiver asked to be left alone.
    pub wait: Option<Duration>,
}

impl Pace {
    /// By chance, and by what a receiver asked.
    pub fn after(wait: Option<Duration>) -> Self {
        Self {
            jitter: fastrand::f64(),
            wait,
        }
    }
}

impl Verdict {
    /// When to try again, or never.
    pub fn next_attempt(
        self,
        attempts: u32,
        now: DateTime<Utc>,
        give_up_at: DateTime<Utc>,
        pace: Pace,
    ) -> Option<DateTime<Utc>> {
        match self {
            Self::Again => next_attempt(attempts, now, give_up_at, pace),
            Self::Delivered | Self::Refused | Self::Gone => None,
        }
    }
}

/// When to try again after so many attempts (at least one), or never: the time is over. No sooner than the receiver
/// wants, unless that is when the time is over.
fn next_attempt(
    attempts: u32,
    now: DateTime<Utc>,
    give_up_at: DateTime<Utc>,
    pace: Pace,
) -> Option<DateTime<Utc>> {
    let step = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
    let delay = DELAYS[step.min(DELAYS.len() - 1)] * 1000;
    // At most 20 % of four hours.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    let shift = (delay as f64 * (pace.jitter.clamp(0.0, 1.0) - 0.5) * 0.4) as i64;
    let next = now + TimeDelta::milliseconds(delay + shift);
    let wanted = pace
        .wait
        .and_then(|wait| TimeDelta::from_std(wait).ok())
        .map(|wait| now + wait)
        .filter(|wanted| *wanted < give_up_at);
    (next < give_up_at).then(|| wanted.map_or(next, |wanted| next.max(wanted)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn pace(jitter: f64) -> Pace {
        Pace { jitter, wait: None }
    }

    #[test]
    fn a_receiver_is_left_alone_as_long_as_it_asks_and_there_is_time() {
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let give_up_at = now + GIVE_UP_AFTER;
        for (attempts, wait, seconds) in [
            (1, 90, 90),
            (1, 1, 5),
            (4, 90, 600),
            (1, 23 * 3600, 23 * 3600),
            (1, 25 * 3600, 5),
        ] {
            let wait = Some(Duration::from_secs(wait));
            let next = next_attempt(attempts, now, give_up_at, Pace { jitter: 0.5, wait });
            assert_eq!((next.unwrap() - now).num_seconds(), seconds, "{wait:?}");
        }
    }

    #[test]
    fn attempts_lie_further_and_further_apart_until_a_day_is_over() {
        let begun = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let give_up_at = begun + GIVE_UP_AFTER;
        let (mut now, mut gaps) = (begun, Vec::new());
        for attempts in 1.. {
            let Some(next) = next_attempt(attempts, now, give_up_at, pace(0.5)) else {
                break;
            };
            gaps.push((next - now).num_seconds());
            now = next;
        }
        assert_eq!(
            gaps,
            [
                5, 30, 120, 600, 1800, 3600, 7200, 14400, 14400, 14400, 14400, 14400
            ]
        );
        assert!(now < give_up_at && give_up_at - now < TimeDelta::hours(5));
        let delay = |jitter| {
            let next = next_attempt(1, begun, give_up_at, pace(jitter)).unwrap();
            (next - begun).num_milliseconds()
        };
        assert_eq!([delay(0.0), delay(0.5), delay(1.0)], [4000, 5000, 6000]);
        assert_eq!(next_attempt(1, give_up_at, give_up_at, pace(0.0)), None);
        assert!(next_attempt(u32::MAX, begun, give_up_at, pace(1.0)).is_some());
    }

    #[test]
    fn only_what_may_be_taken_another_time_is_tried_again() {
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let give_up_at = now + GIVE_UP_AFTER;
        for (verdict, again) in [
            (Verdict::Again, true),
            (Verdict::Delivered, false),
            (Verdict::Refused, false),
            (Verdict::Gone, false),
        ] {
            let next = verdict.next_attempt(1, now, give_up_at, pace(0.5));
            assert_eq!(next.is_some(), again, "{verdict:?}");
        }
    }
}
