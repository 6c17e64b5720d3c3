//! What webhooks are told of, and when an attempt that failed is followed by the next.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};

/// The most webhooks of one project.
pub const MAX_WEBHOOKS: usize = 20;
/// How long a delivery is tried.
pub const GIVE_UP_AFTER: TimeDelta = TimeDelta::hours(24);

/// From one attempt to the next, in seconds; the last repeats.
const DELAYS: [i64; 8] = [5, 30, 2 * 60, 10 * 60, 30 * 60, 3600, 2 * 3600, 4 * 3600];

/// Something a webhook can be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WebhookEvent {
    /// A deployment was asked for.
    DeploymentCreated,
    /// A deployment has succeeded.
    DeploymentSucceeded,
    /// A deployment has failed.
    DeploymentFailed,
    /// A deployment was cancelled.
    DeploymentCancelled,
}

/// Text that names no event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownEvent(pub String);

impl WebhookEvent {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::DeploymentCreated,
        Self::DeploymentSucceeded,
        Self::DeploymentFailed,
        Self::DeploymentCancelled,
    ];

    /// The name in the API, the database and the messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DeploymentCreated => "deployment.created",
            Self::DeploymentSucceeded => "deployment.succeeded",
            Self::DeploymentFailed => "deployment.failed",
            Self::DeploymentCancelled => "deployment.cancelled",
        }
    }
}

impl fmt::Display for WebhookEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for WebhookEvent {
    type Err = UnknownEvent;

    fn from_str(text: &str) -> Result<Self, UnknownEvent> {
        let found = Self::ALL.into_iter().find(|event| event.as_str() == text);
        found.ok_or_else(|| UnknownEvent(text.to_owned()))
    }
}

impl fmt::Display for UnknownEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = WebhookEvent::ALL.map(WebhookEvent::as_str).join(", ");
        write!(f, "{:?} is none of {known}", self.0)
    }
}

impl std::error::Error for UnknownEvent {}

/// When to try again after so many attempts (at least one), or never: the time is over. `jitter` is 0 to 1, and makes
/// the delay a fifth shorter to a fifth longer, so that what failed together does not come back together.
pub fn next_attempt(
    attempts: u32,
    now: DateTime<Utc>,
    give_up_at: DateTime<Utc>,
    jitter: f64,
) -> Option<DateTime<Utc>> {
    let step = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
    let delay = DELAYS[step.min(DELAYS.len() - 1)] * 1000;
    // At most 20 % of four hours.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    let shift = (delay as f64 * (jitter.clamp(0.0, 1.0) - 0.5) * 0.4) as i64;
    let next = now + TimeDelta::milliseconds(delay + shift);
    (next < give_up_at).then_some(next)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn events_have_the_names_they_are_read_by() {
        for event in WebhookEvent::ALL {
            assert_eq!(event.as_str().parse(), Ok(event));
        }
        let unknown = "deployment.exploded".parse::<WebhookEvent>().unwrap_err();
        let told = unknown.to_string();
        assert!(told.contains("exploded") && told.contains("deployment.failed"));
    }

    #[test]
    fn attempts_lie_further_and_further_apart_until_a_day_is_over() {
        let begun = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let give_up_at = begun + GIVE_UP_AFTER;
        let (mut now, mut gaps) = (begun, Vec::new());
        for attempts in 1.. {
            let Some(next) = next_attempt(attempts, now, give_up_at, 0.5) else {
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
            let next = next_attempt(1, begun, give_up_at, jitter).unwrap();
            (next - begun).num_milliseconds()
        };
        assert_eq!([delay(0.0), delay(0.5), delay(1.0)], [4000, 5000, 6000]);
        assert_eq!(next_attempt(1, give_up_at, give_up_at, 0.0), None);
        assert!(next_attempt(u32::MAX, begun, give_up_at, 1.0).is_some());
    }
}
