//! What people want.

use towline_shared::ids::JobId;
use towline_shared::spec::Interruption;

use super::World;
use crate::plane::{Secrets, Wish};

impl World {
    pub(super) fn submit(&mut self) {
        let interruption = match self.dice.below(4) {
            0 => Interruption::Fail,
            1 => Interruption::RequeueIfNotStarted,
            _ => Interruption::Resume,
        };
        let wish = Wish {
            host: self.dice.below(self.hosts.len()),
            interruption,
            secrets: if self.dice.permille(250) {
                Secrets::One
            } else {
                Secrets::None
            },
        };
        let queued = self.plane.submit(wish);
        self.queued(queued, wish.host);
    }

    fn queued(&mut self, job: Option<JobId>, host: usize) {
        let Some(job) = job else {
            self.trace
                .say(|| format!("a job for host {host} is refused"));
            return;
        };
        self.account.submitted(job, host);
        let name = self.account.name(job);
        self.trace
            .say(|| format!("{name} is queued for host {host}"));
        self.figures.jobs += 1;
        self.ring(host);
    }

    pub(super) fn retry(&mut self, job: JobId) {
        let host = self.account.host_of(job);
        let queued = self.plane.retry(job);
        self.queued(queued, host);
    }

    pub(super) fn cancel(&mut self, job: JobId) {
        let Some(before) = self.plane.view(job) else {
            return;
        };
        let after = self.plane.cancel(job);
        let name = self.account.name(job);
        self.trace
            .say(|| format!("{name} is to stop: it was {}, it is {after}", before.state));
        self.account.cancelled(job, before.state, after);
        self.ring(self.account.host_of(job));
    }
}
