//! What the answer to the hello means for a job that is held.

use towline_shared::log::LogPosition;
use towline_shared::protocol::v1::{Attempt, Verdict};
use towline_shared::spec::Secret;

use super::Event;

/// What a verdict on a held job leads to.
#[derive(Clone, Debug, PartialEq)]
pub struct Settled {
    /// From where its log is sent; nothing of a job that is forgotten.
    pub log: Option<LogPosition>,
    /// Its secrets, if they had to be given again.
    pub secrets: Vec<Secret>,
    /// What happens to it, after its secrets are known.
    pub event: Option<Event>,
}

impl Settled {
    /// What this verdict leads to.
    pub fn of(attempt: Attempt, verdict: Verdict) -> Self {
        let (log, secrets, event) = match verdict {
            Verdict::Continue { log, secrets } => {
                (Some(log), secrets, Some(Event::Continue(attempt)))
            }
            Verdict::Cancel { log, secrets } => (Some(log), secrets, Some(Event::Cancel(attempt))),
            Verdict::Resend { log } => (Some(log), Vec::new(), None),
            Verdict::Forget => (None, Vec::new(), Some(Event::Forget(attempt))),
        };
        Self {
            log,
            secrets,
            event,
        }
    }
}
