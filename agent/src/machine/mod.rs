//! The rules of the jobs an agent holds: `step(event) → actions`, without a clock, a disk or a link.
//!
//! What they keep, whatever order events come in and whenever the process dies:
//! - no effect without `Go`: a gate opens only after the acceptance was recorded by the control
//!   plane, and after `Begun` was journalled here;
//! - no effect under a fence that is not above all that were accepted on the target before;
//! - at most one live job per target;
//! - a result is reported until the control plane says that it may be forgotten;
//! - a forgotten job leaves nothing behind.
//!
//! [`Machine::step`] changes the state and says what is to be done about it. Whoever does it feeds
//! the outcome back as an event: `Journal` comes back as `Journalled` or `NotJournalled`, `Start`
//! and `Conclude` come back as `Ended`.

mod job;
#[cfg(test)]
mod random_tests;
#[cfg(test)]
mod table_tests;
mod verdict;

use std::collections::BTreeMap;

use towline_shared::Fence;
use towline_shared::failpoint::is_planted;
use towline_shared::ids::TargetId;
use towline_shared::log::LogPosition;
use towline_shared::outcome::{Outcome, Step};
use towline_shared::protocol::v1::{
    Attempt, FromAgent, HeldPhase, MAX_HELD, Refusal, Refused, SecretsNeed,
};

pub use job::{Begun, Intent, Job, Kept, Phase, Worker};
pub use verdict::Settled;

use crate::ledger::{Acceptance, LedgerState, Record};
use crate::task::{GateState, Start};

/// All jobs of an agent.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    fences: BTreeMap<TargetId, Fence>,
    jobs: Vec<Job>,
    intake: Intake,
}

/// Whether offers are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Intake {
    Open,
    Stopping,
}

/// What happens to jobs.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The process has started and read its journal.
    Restored,
    /// The control plane offers a job; its specification was opened.
    Offered(Acceptance),
    /// The control plane permits the effects.
    Go(Attempt),
    /// The verdict on a held job: go on, or begin. Its secrets are known now.
    Continue(Attempt),
    /// Stop at the next safe point.
    Cancel(Attempt),
    /// Not this agent's any more.
    Forget(Attempt),
    /// A record is durable.
    Journalled(Record),
    /// A record could not be made durable; why.
    NotJournalled(Record, String),
    /// The work wants to begin a step.
    StepBegun(Attempt, Step),
    /// The work has ended, and its log is complete up to here.
    Ended(Attempt, Outcome, LogPosition),
    /// The process is to stop.
    Stopping,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "few at a time, and moved once")]
pub enum Action {
    /// Make a record durable.
    Journal(Record),
    /// Say something, if the link is up; when it is not, the next hello says it.
    Send(FromAgent),
    /// Hand the job to the executor.
    Start(Attempt, Start, GateState),
    /// Permit its effects.
    OpenGate(Attempt),
    /// Tell it to stop.
    StopWork(Attempt),
    /// End a job that no executor has: complete its log, then come back with `Ended`.
    Conclude(Attempt, Outcome),
    /// Let the step begin, or say why not.
    AnswerStep(Attempt, Result<(), String>),
    /// Report the result after the whole log, and again until it is forgotten.
    Report(Attempt, Outcome),
    /// Remove all that the job has on disk.
    Discard(Attempt),
}

/// A job as the next hello tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldJob {
    /// The job and its fence.
    pub attempt: Attempt,
    /// How far it has come.
    pub phase: HeldPhase,
    /// Whether its secrets must be given again.
    pub secrets: SecretsNeed,
}

impl Machine {
    /// The state after a restart: what the journal says, of jobs whose folders are there.
    pub fn restore(state: &LedgerState) -> Self {
        Self {
            fences: state.fences.clone(),
            jobs: state.jobs.iter().map(Job::restore).collect(),
            intake: Intake::Open,
        }
    }

    /// The highest fence seen, per target.
    pub fn fences(&self) -> Vec<(TargetId, Fence)> {
        self.fences
            .iter()
            .map(|(target, fence)| (*target, *fence))
            .collect()
    }

    /// The jobs, as the next hello tells them.
    pub fn held(&self) -> Vec<HeldJob> {
        self.jobs.iter().filter_map(Job::held).collect()
    }

    /// How many jobs keep their targets busy.
    pub fn live(&self) -> usize {
        self.jobs.iter().filter(|job| job.is_live()).count()
    }

    /// All jobs, for tests of the rules.
    pub fn jobs(&self) -> &[Job] {
        &self.jobs
    }

    /// Changes the state by an event, and says what is to be done.
    pub fn step(&mut self, event: Event) -> Vec<Action> {
        match event {
            Event::Restored => self.restored(),
            Event::Offered(offer) => self.offered(offer),
            Event::Stopping => {
                self.intake = Intake::Stopping;
                Vec::new()
            }
            Event::Go(attempt) => self.on(attempt, Job::go),
            Event::Continue(attempt) => self.on(attempt, Job::go_on),
            Event::Cancel(attempt) => self.on(attempt, Job::cancel),
            Event::Forget(attempt) => self.on(attempt, Job::forget),
            Event::StepBegun(attempt, step) => self.on(attempt, |job| job.begin_step(step)),
            Event::Ended(attempt, outcome, log) => self.on(attempt, |job| job.ended(outcome, log)),
            Event::Journalled(record) => self.journalled(&record),
            Event::NotJournalled(record, error) => self.not_journalled(record, error),
        }
    }

    fn restored(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        for job in &mut self.jobs {
            let highest = self.fences.get(&job.accepted.target);
            let outdated = highest.is_some_and(|highest| *highest > job.accepted.attempt.fence)
                && !is_planted("agent: resume what is outdated");
            actions.extend(if outdated {
                job.outdate()
            } else {
                job.restored()
            });
        }
        self.jobs.retain(|job| job.phase != Phase::Gone);
        actions
    }

    fn offered(&mut self, offer: Acceptance) -> Vec<Action> {
        let attempt = offer.attempt;
        if let Some(job) = self.find(attempt) {
            return job.offered_again();
        }
        match self.judge(&offer) {
            Ok(()) => {
                self.jobs.push(Job::accepting(offer.clone()));
                let mut actions = vec![Action::Journal(Record::Accepted(offer))];
                if is_planted("agent: accept before the journal") {
                    actions.insert(0, Action::Send(FromAgent::Accepted(attempt)));
                }
                actions
            }
            Err((reason, message)) => vec![refuse(attempt, reason, message)],
        }
    }

    fn judge(&self, offer: &Acceptance) -> Result<(), (Refusal, String)> {
        let target = offer.target;
        if self.intake == Intake::Stopping {
            return Err((Refusal::Stopping, "the agent is stopping".into()));
        }
        if let Some(highest) = self
            .fences
            .get(&target)
            .filter(|highest| offer.attempt.fence <= **highest)
            .filter(|_| !is_planted("agent: accept a stale fence"))
        {
            let message = format!(
                "fence {} on target {target} is outdated by {highest}",
                offer.attempt.fence
            );
            return Err((Refusal::StaleFence, message));
        }
        if let Some(busy) = self
            .jobs
            .iter()
            .find(|job| job.is_live() && job.accepted.target == target)
            .filter(|_| !is_planted("agent: two jobs on one target"))
        {
            let message = format!(
                "target {target} is busy with job {}",
                busy.accepted.attempt.job
            );
            return Err((Refusal::Busy, message));
        }
        if self.jobs.len() >= MAX_HELD {
            return Err((
                Refusal::Busy,
                format!("the agent holds {MAX_HELD} jobs already"),
            ));
        }
        Ok(())
    }

    fn journalled(&mut self, record: &Record) -> Vec<Action> {
        match record {
            Record::Accepted(accepted) => {
                let highest = self.fences.entry(accepted.target).or_default();
                *highest = accepted.attempt.fence.max(*highest);
                self.on(accepted.attempt, Job::acceptance_journalled)
            }
            Record::Begun(attempt) => self.on(*attempt, Job::begun),
            Record::Step(attempt, step) => self.on(*attempt, |job| job.step_journalled(*step)),
            Record::Finished(attempt, _, _) => {
                self.on(*attempt, |job| job.result_kept(Kept::Journal))
            }
            Record::Fence(..) | Record::Forgotten(_) | Record::Spec(..) => Vec::new(),
        }
    }

    fn not_journalled(&mut self, record: Record, error: String) -> Vec<Action> {
        match record {
            Record::Accepted(accepted) => {
                self.jobs
                    .retain(|job| job.accepted.attempt != accepted.attempt);
                let message = format!("the agent cannot write its journal: {error}");
                vec![refuse(accepted.attempt, Refusal::Journal, message)]
            }
            Record::Begun(attempt) => self.on(attempt, |job| job.not_begun(error)),
            Record::Step(attempt, _) => vec![Action::AnswerStep(attempt, Err(error))],
            // A result that is not journalled is reported all the same. Should the process die
            // before it is acknowledged, the work is adopted and verified once more.
            Record::Finished(attempt, _, _) => {
                self.on(attempt, |job| job.result_kept(Kept::Memory))
            }
            // A forgotten attempt has no folder any more, which says the same after a restart.
            Record::Fence(..) | Record::Forgotten(_) | Record::Spec(..) => Vec::new(),
        }
    }

    fn on(&mut self, attempt: Attempt, step: impl FnOnce(&mut Job) -> Vec<Action>) -> Vec<Action> {
        let actions = self.find(attempt).map_or_else(Vec::new, step);
        self.jobs.retain(|job| job.phase != Phase::Gone);
        actions
    }

    fn find(&mut self, attempt: Attempt) -> Option<&mut Job> {
        self.jobs
            .iter_mut()
            .find(|job| job.accepted.attempt == attempt)
    }
}

fn refuse(attempt: Attempt, reason: Refusal, message: String) -> Action {
    Action::Send(FromAgent::Refused(Refused {
        attempt,
        reason,
        message,
    }))
}
