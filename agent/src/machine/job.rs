//! The rules of one job.

use towline_shared::failpoint::is_planted;
use towline_shared::log::LogPosition;
use towline_shared::outcome::{FailureReason, Outcome, Step};
use towline_shared::protocol::v1::{Attempt, FromAgent, HeldPhase, Progress, SecretsNeed};
use towline_shared::spec::Interruption;

use super::{Action, HeldJob};
use crate::ledger::{Acceptance, Entry, EntryProgress, Record, SecretCount};
use crate::task::{GateState, Start};

const UNTOUCHED: &str = "nothing was changed on the host";

/// A job that the agent holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// What was accepted.
    pub accepted: Acceptance,
    /// How far it has come.
    pub phase: Phase,
}

/// How far a job has come.
#[derive(Clone, Debug, PartialEq)]
pub enum Phase {
    /// Its acceptance is being journalled.
    Accepting,
    /// It waits for `Go`.
    Accepted(Worker),
    /// `Go` has come; `Begun` is being journalled.
    Beginning(Worker),
    /// Effects are possible; the last step that was intended.
    Running(Worker, Option<Step>),
    /// It was told to stop, and why; its executor has not ended yet.
    Stopping(Begun, Intent),
    /// Its result is being journalled.
    Finishing(Outcome),
    /// Its result waits to be acknowledged.
    Finished(Outcome, Kept),
    /// The control plane has forgotten it; its executor has not ended yet.
    Dropping,
    /// Nothing is left of it.
    Gone,
}

/// Whether an executor has the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worker {
    /// None since the process started: the job waits for its verdict.
    Idle,
    /// One has.
    Live,
}

/// Where a result is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// In the journal.
    Journal,
    /// In memory only, because the journal could not be written: after a restart the job counts as
    /// running, so until it is forgotten its target stays busy.
    Memory,
}

/// Whether effects were possible before a job was told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// They were not.
    No,
    /// They were.
    Yes,
}

/// Why a job was told to stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Somebody asked for it.
    Cancel,
    /// The agent died in the middle, and the job's policy is not to go on.
    Interrupt,
    /// Its beginning could not be journalled; why.
    Unjournalled(String),
}

impl Job {
    pub(super) const fn accepting(accepted: Acceptance) -> Self {
        Self {
            accepted,
            phase: Phase::Accepting,
        }
    }

    pub(super) fn restore(entry: &Entry) -> Self {
        let phase = match &entry.progress {
            EntryProgress::Accepted => Phase::Accepted(Worker::Idle),
            EntryProgress::Begun(step) => Phase::Running(Worker::Idle, *step),
            EntryProgress::Finished(outcome, _) => Phase::Finished(outcome.clone(), Kept::Journal),
        };
        Self {
            accepted: entry.accepted.clone(),
            phase,
        }
    }

    pub(super) const fn is_live(&self) -> bool {
        !matches!(self.phase, Phase::Finished(_, Kept::Journal) | Phase::Gone)
    }

    pub(super) fn held(&self) -> Option<HeldJob> {
        let (phase, worker) = match &self.phase {
            // What is not durable yet is told by `Accepted` when it is.
            Phase::Accepting | Phase::Dropping | Phase::Gone => return None,
            Phase::Running(..) if is_planted("agent: tell too little in the hello") => return None,
            Phase::Accepted(worker) | Phase::Beginning(worker) => (HeldPhase::Accepted, *worker),
            Phase::Running(worker, _) => (HeldPhase::Running, *worker),
            Phase::Stopping(Begun::No, _) => (HeldPhase::Accepted, Worker::Live),
            Phase::Stopping(Begun::Yes, _) => (HeldPhase::Running, Worker::Live),
            Phase::Finishing(_) | Phase::Finished(..) => (HeldPhase::Finished, Worker::Live),
        };
        let secrets = match (worker, self.accepted.secrets) {
            (Worker::Idle, SecretCount::Some) => SecretsNeed::Lost,
            _ => SecretsNeed::Known,
        };
        Some(HeldJob {
            attempt: self.attempt(),
            phase,
            secrets,
        })
    }

    /// After a restart, what has begun goes on at once where it can: with its secrets lost, it
    /// waits for the verdict that brings them.
    pub(super) fn restored(&mut self) -> Vec<Action> {
        match (&self.phase, self.accepted.secrets) {
            (Phase::Running(Worker::Idle, step), SecretCount::None) => {
                let step = *step;
                self.resume(step)
            }
            (Phase::Finished(outcome, _), _) => {
                vec![Action::Report(self.attempt(), outcome.clone())]
            }
            _ => Vec::new(),
        }
    }

    /// After a restart, what a later fence has outdated may only be brought to rest.
    pub(super) fn outdate(&mut self) -> Vec<Action> {
        if matches!(self.phase, Phase::Finished(..)) {
            return self.restored();
        }
        self.forget()
    }

    pub(super) fn offered_again(&self) -> Vec<Action> {
        match self.phase {
            Phase::Accepting | Phase::Dropping | Phase::Gone => Vec::new(),
            _ => vec![Action::Send(FromAgent::Accepted(self.attempt()))],
        }
    }

    pub(super) fn acceptance_journalled(&mut self) -> Vec<Action> {
        let attempt = self.attempt();
        if self.phase != Phase::Accepting {
            return Vec::new();
        }
        self.phase = Phase::Accepted(Worker::Live);
        let gate = if is_planted("agent: begin without go") {
            GateState::Open
        } else {
            GateState::Shut
        };
        vec![
            Action::Send(FromAgent::Accepted(attempt)),
            Action::Start(attempt, Start::Fresh, gate),
        ]
    }

    pub(super) fn go(&mut self) -> Vec<Action> {
        let attempt = self.attempt();
        match self.phase {
            // An idle one waits for its verdict, which brings its secrets.
            Phase::Accepted(Worker::Live) => self.begin(Worker::Live),
            Phase::Running(Worker::Live, _) => vec![Action::Send(FromAgent::Started(attempt))],
            _ => Vec::new(),
        }
    }

    pub(super) fn go_on(&mut self) -> Vec<Action> {
        let attempt = self.attempt();
        match self.phase {
            Phase::Accepted(worker) => self.begin(worker),
            Phase::Running(Worker::Idle, step) => {
                let mut actions = self.resume(step);
                actions.push(Action::Send(FromAgent::Started(attempt)));
                actions
            }
            Phase::Running(Worker::Live, step) => {
                let progress =
                    step.map(|step| Action::Send(FromAgent::Progress(Progress { attempt, step })));
                let started = Action::Send(FromAgent::Started(attempt));
                std::iter::once(started).chain(progress).collect()
            }
            _ => Vec::new(),
        }
    }

    fn begin(&mut self, worker: Worker) -> Vec<Action> {
        self.phase = Phase::Beginning(worker);
        if is_planted("agent: begin before the journal") {
            return self.begun();
        }
        vec![Action::Journal(Record::Begun(self.attempt()))]
    }

    pub(super) fn begun(&mut self) -> Vec<Action> {
        let attempt = self.attempt();
        let effects = match self.phase {
            Phase::Beginning(Worker::Live) => Action::OpenGate(attempt),
            Phase::Beginning(Worker::Idle) => Action::Start(attempt, Start::Fresh, GateState::Open),
            _ => return Vec::new(),
        };
        self.phase = Phase::Running(Worker::Live, None);
        vec![effects, Action::Send(FromAgent::Started(attempt))]
    }

    pub(super) fn not_begun(&mut self, error: String) -> Vec<Action> {
        match self.phase {
            Phase::Beginning(worker) => {
                self.stop_before_effects(worker, Intent::Unjournalled(error))
            }
            _ => Vec::new(),
        }
    }

    fn resume(&mut self, step: Option<Step>) -> Vec<Action> {
        let start = if is_planted("agent: begin anew after a restart") {
            Start::Fresh
        } else {
            Start::Resumed(step)
        };
        let start = Action::Start(self.attempt(), start, GateState::Open);
        if self.accepted.interruption == Interruption::Resume {
            self.phase = Phase::Running(Worker::Live, step);
            return vec![start];
        }
        // What the dead process left running must not go on unseen.
        self.phase = Phase::Stopping(Begun::Yes, Intent::Interrupt);
        vec![start, Action::StopWork(self.attempt())]
    }

    pub(super) fn cancel(&mut self) -> Vec<Action> {
        let attempt = self.attempt();
        match self.phase {
            _ if is_planted("agent: ignore a cancel") => Vec::new(),
            Phase::Accepted(worker) | Phase::Beginning(worker) => {
                self.stop_before_effects(worker, Intent::Cancel)
            }
            Phase::Running(Worker::Live, _) => {
                self.phase = Phase::Stopping(Begun::Yes, Intent::Cancel);
                vec![Action::StopWork(attempt)]
            }
            Phase::Running(Worker::Idle, step) => {
                self.phase = Phase::Stopping(Begun::Yes, Intent::Cancel);
                vec![
                    Action::Start(attempt, Start::Resumed(step), GateState::Open),
                    Action::StopWork(attempt),
                ]
            }
            Phase::Stopping(begun, Intent::Interrupt) => {
                self.phase = Phase::Stopping(begun, Intent::Cancel);
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn stop_before_effects(&mut self, worker: Worker, intent: Intent) -> Vec<Action> {
        let attempt = self.attempt();
        self.phase = Phase::Stopping(Begun::No, intent);
        match worker {
            Worker::Live => vec![Action::StopWork(attempt)],
            Worker::Idle => vec![Action::Conclude(attempt, cancelled(UNTOUCHED))],
        }
    }

    pub(super) fn forget(&mut self) -> Vec<Action> {
        let attempt = self.attempt();
        match self.phase {
            Phase::Running(..) if is_planted("agent: forget and let it run") => self.vanish(),
            // Its `Accepted` will be answered by another `Forget`.
            Phase::Accepting | Phase::Dropping | Phase::Gone => Vec::new(),
            Phase::Accepted(Worker::Idle)
            | Phase::Beginning(Worker::Idle)
            | Phase::Finishing(_)
            | Phase::Finished(..) => self.vanish(),
            Phase::Running(Worker::Idle, step) => {
                self.phase = Phase::Dropping;
                vec![
                    Action::Start(attempt, Start::Resumed(step), GateState::Open),
                    Action::StopWork(attempt),
                ]
            }
            Phase::Stopping(..) => {
                self.phase = Phase::Dropping;
                Vec::new()
            }
            Phase::Accepted(Worker::Live)
            | Phase::Beginning(Worker::Live)
            | Phase::Running(Worker::Live, _) => {
                self.phase = Phase::Dropping;
                vec![Action::StopWork(attempt)]
            }
        }
    }

    fn vanish(&mut self) -> Vec<Action> {
        self.phase = Phase::Gone;
        vec![
            Action::Discard(self.attempt()),
            Action::Journal(Record::Forgotten(self.attempt())),
        ]
    }

    pub(super) fn begin_step(&mut self, step: Step) -> Vec<Action> {
        let attempt = self.attempt();
        match self.phase {
            Phase::Running(Worker::Live, _) => vec![Action::Journal(Record::Step(attempt, step))],
            // Preparing has no effect, so there is nothing to journal.
            Phase::Accepted(_) | Phase::Beginning(_) => vec![
                Action::AnswerStep(attempt, Ok(())),
                Action::Send(FromAgent::Progress(Progress { attempt, step })),
            ],
            _ => vec![Action::AnswerStep(attempt, Ok(()))],
        }
    }

    pub(super) fn step_journalled(&mut self, begun: Step) -> Vec<Action> {
        let attempt = self.attempt();
        let mut actions = vec![Action::AnswerStep(attempt, Ok(()))];
        if let Phase::Running(_, step) = &mut self.phase {
            *step = Some(begun);
            actions.push(Action::Send(FromAgent::Progress(Progress {
                attempt,
                step: begun,
            })));
        }
        actions
    }

    pub(super) fn ended(&mut self, outcome: Outcome, log: LogPosition) -> Vec<Action> {
        let outcome = match &self.phase {
            Phase::Accepted(_) | Phase::Beginning(_) | Phase::Running(..) => outcome,
            Phase::Stopping(_, intent) => intent.colour(outcome),
            Phase::Dropping => return self.vanish(),
            Phase::Accepting | Phase::Finishing(_) | Phase::Finished(..) | Phase::Gone => {
                return Vec::new();
            }
        };
        self.phase = Phase::Finishing(outcome.clone());
        vec![Action::Journal(Record::Finished(
            self.attempt(),
            outcome,
            log,
        ))]
    }

    pub(super) fn result_kept(&mut self, kept: Kept) -> Vec<Action> {
        let Phase::Finishing(outcome) = &self.phase else {
            return Vec::new();
        };
        let outcome = outcome.clone();
        if is_planted("agent: drop a result once it is sent") {
            let mut actions = vec![Action::Report(self.attempt(), outcome)];
            actions.extend(self.vanish());
            return actions;
        }
        self.phase = Phase::Finished(outcome.clone(), kept);
        vec![Action::Report(self.attempt(), outcome)]
    }

    const fn attempt(&self) -> Attempt {
        self.accepted.attempt
    }
}

impl Intent {
    /// What the end of a job means that was told to stop. One that ended otherwise in the same
    /// moment keeps its own outcome.
    fn colour(&self, outcome: Outcome) -> Outcome {
        match (self, outcome) {
            (Self::Interrupt, Outcome::Cancelled { left }) => Outcome::Failed {
                reason: FailureReason::Interrupted,
                message: format!(
                    "the agent died while the job ran, and the job's policy is not to go on; {left}"
                ),
            },
            (Self::Unjournalled(error), Outcome::Cancelled { .. }) => Outcome::Failed {
                reason: FailureReason::DiskFull,
                message: format!(
                    "the job was not begun, because the agent cannot write its journal: {error}; {UNTOUCHED}; free some space and retry"
                ),
            },
            (_, outcome) => outcome,
        }
    }
}

fn cancelled(left: &str) -> Outcome {
    Outcome::Cancelled {
        left: left.to_owned(),
    }
}
