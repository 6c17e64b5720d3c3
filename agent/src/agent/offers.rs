//! Offers: from the wire to the machine.

use towline_shared::protocol::v1::{Attempt, FromAgent, Offer, Refusal, Refused};
use towline_shared::spec::{JobSpec, Secret};

use super::held_jobs::JobHandle;
use super::{Agent, LinkPhase};
use crate::ledger::{Acceptance, Record};
use crate::logs::JobLog;
use crate::machine::{self, Action};

/// An offer whose acceptance is being journalled.
pub(super) struct Offered {
    acceptance: Acceptance,
    spec: JobSpec,
    secrets: Vec<Secret>,
    /// The sealed specification, encoded for its file.
    pub(super) sealed: Vec<u8>,
}

impl Agent {
    pub(super) fn on_offer(&mut self, offer: Offer) {
        let attempt = offer.attempt;
        let opened = offer.spec.open().map_err(|error| error.to_string());
        let encoded = postcard::to_stdvec(&offer.spec).map_err(|error| error.to_string());
        let (spec, sealed) = match opened.and_then(|spec| Ok((spec, encoded?))) {
            Ok(readable) => readable,
            Err(message) => {
                let reason = Refusal::Unreadable;
                return self.say(&FromAgent::Refused(Refused {
                    attempt,
                    reason,
                    message,
                }));
            }
        };
        let acceptance = Acceptance::of(&offer, &spec);
        let offered = Offered {
            acceptance: acceptance.clone(),
            spec,
            secrets: offer.secrets,
            sealed,
        };
        self.weigh(offered, acceptance);
    }

    fn weigh(&mut self, offered: Offered, acceptance: Acceptance) {
        let attempt = acceptance.attempt;
        let actions = self.machine.step(machine::Event::Offered(acceptance));
        if actions
            .iter()
            .any(|action| matches!(action, Action::Journal(Record::Accepted(_))))
        {
            self.offered.insert(attempt, offered);
        }
        for action in actions {
            self.act(action);
        }
    }

    /// An accepted offer becomes a job; a refused one is dropped.
    pub(super) fn take_offered(&mut self, attempt: Attempt) {
        let Some(offered) = self.offered.remove(&attempt) else {
            return;
        };
        let dir = self.options.dir.job(attempt);
        let log = JobLog::open(attempt, &dir, offered.acceptance.log, self.options.logs);
        if let LinkPhase::Welcomed(link) = &self.link {
            log.send_from(offered.acceptance.log, link.bulk().clone());
        }
        let job = JobHandle::new(offered.spec, offered.secrets, dir, log);
        self.jobs.insert(attempt, job);
    }
}
