//! The agent's certificate, renewed over the live link at half of its life.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;
use towline_pki::AgentKey;
use towline_pki::renew::renew_at;
use towline_shared::failpoint::reach;
use towline_shared::protocol::v1::{Certificate, FromAgent, Renew};

use super::{Agent, LinkPhase};
use crate::identity::Identity;
use crate::link::dice;

/// How long an answer may take.
const ANSWER: Duration = Duration::from_mins(1);
/// The bounds of the pause after a refusal.
const RETRY_FIRST: Duration = Duration::from_mins(1);
const RETRY_CAP: Duration = Duration::from_hours(1);
/// A link that was made by the old certificate is given up this long before that expires, even
/// when jobs run.
const LAST_MOMENT: chrono::TimeDelta = chrono::TimeDelta::hours(1);

/// Where renewal stands.
#[derive(Default)]
pub(super) struct Renewal {
    phase: Phase,
    failures: u32,
    identity: Option<Identity>,
}

#[derive(Default)]
enum Phase {
    /// No identity is known yet.
    #[default]
    Idle,
    /// It is not due before then.
    Waiting(DateTime<Utc>),
    /// It failed; it is tried again then.
    Retrying(Instant),
    /// It was asked for, with this key.
    Asked(Box<AgentKey>, Instant),
    /// It is done; the link still lives by the old certificate, which ends then.
    Renewed(DateTime<Utc>),
}

impl Renewal {
    /// A link is up by this identity.
    pub(super) fn now_by(&mut self, identity: Identity) {
        let due = renew_at(identity.not_before(), identity.not_after(), dice());
        self.phase = Phase::Waiting(due);
        self.identity = Some(identity);
    }

    /// What was asked for is not coming any more.
    pub(super) fn link_lost(&mut self) {
        if matches!(self.phase, Phase::Asked(..)) {
            self.phase = Phase::Retrying(Instant::now());
        }
    }

    /// The control plane will not renew.
    pub(super) fn refused(&mut self, message: &str) {
        self.retry_later(message);
    }

    fn retry_later(&mut self, why: &str) {
        let pause = RETRY_FIRST
            .saturating_mul(1 << self.failures.min(10))
            .min(RETRY_CAP)
            .mul_f64(0.5 + dice() / 2.0);
        self.failures += 1;
        tracing::warn!(
            "the certificate was not renewed: {why}; trying again in {} s",
            pause.as_secs()
        );
        self.phase = Phase::Retrying(Instant::now() + pause);
    }

    fn is_due(&self) -> bool {
        match &self.phase {
            Phase::Waiting(due) => *due <= Utc::now(),
            Phase::Retrying(at) => *at <= Instant::now(),
            Phase::Idle | Phase::Asked(..) | Phase::Renewed(_) => false,
        }
    }
}

impl Agent {
    pub(super) fn mind_renewal(&mut self) {
        let LinkPhase::Welcomed(link) = &self.link else {
            return;
        };
        match &self.renewal.phase {
            Phase::Asked(_, since) if since.elapsed() > ANSWER => {
                self.renewal.retry_later("there was no answer");
            }
            // A link that has nothing to do is made anew at once, another when it must.
            Phase::Renewed(end) => {
                let idle = self.machine.live() == 0 && self.streams.is_empty();
                if idle || Utc::now() + LAST_MOMENT > *end {
                    tracing::info!("reconnecting by the new certificate");
                    link.close();
                }
            }
            _ if self.renewal.is_due() => self.ask_renewal(),
            _ => {}
        }
    }

    fn ask_renewal(&mut self) {
        let made = AgentKey::generate().and_then(|key| Ok((key.csr_der()?, key)));
        match made {
            Ok((csr, key)) => {
                self.say(&FromAgent::Renew(Renew { csr }));
                self.renewal.phase = Phase::Asked(Box::new(key), Instant::now());
            }
            Err(error) => self.renewal.retry_later(&error.to_string()),
        }
    }

    /// The new certificate replaces the old one only when it fits the new key and this agent, and
    /// is stored.
    pub(super) fn on_certificate(&mut self, answer: Certificate) {
        let Phase::Asked(key, _) = &self.renewal.phase else {
            return;
        };
        let Some(old) = &self.renewal.identity else {
            return;
        };
        let renewed = old
            .renewed(key, answer.certificate, answer.roots)
            .map_err(|error| error.to_string())
            .and_then(|new| {
                if new.not_after() > old.not_after() {
                    Ok(new)
                } else {
                    Err("it does not live longer".into())
                }
            })
            .and_then(|new| {
                new.save(&self.options.dir)
                    .map(|()| new)
                    .map_err(|error| error.to_string())
            });
        match renewed {
            Ok(new) => {
                reach("agent: stored its renewed identity");
                tracing::info!(until = %new.not_after(), "the certificate was renewed");
                self.renewal.failures = 0;
                self.renewal.phase = Phase::Renewed(old.not_after());
                self.renewal.identity = Some(new);
            }
            Err(why) => self.renewal.retry_later(&why),
        }
    }
}
