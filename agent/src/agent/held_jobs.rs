//! Doing what the machine says about jobs.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use towline_shared::log::LogPosition;
use towline_shared::outcome::{FailureReason, Outcome};
use towline_shared::protocol::v1::{Attempt, FromAgent, Progress, StepLine};
use towline_shared::spec::{JobSpec, Secret};

use super::{Agent, Event, LinkPhase};
use crate::executor::BoxFuture;
use crate::ledger::{Append, Record, remove_folder};
use crate::logs::JobLog;
use crate::machine::{self, Action};
use crate::task::{Gate, GateState, ProgressSink, Start, StepBegun, StepRefused, Task};

/// What the loop holds of a job.
pub(super) struct JobHandle {
    pub(super) spec: JobSpec,
    pub(super) secrets: Vec<Secret>,
    pub(super) dir: PathBuf,
    pub(super) log: Arc<JobLog>,
    cancel: CancellationToken,
    gate: Option<watch::Sender<GateState>>,
    steps: VecDeque<oneshot::Sender<Result<(), StepRefused>>>,
    /// The step that was last to begin, and where in the log.
    begins: Option<StepLine>,
    worker: Option<AbortOnDropHandle<()>>,
}

impl JobHandle {
    pub(super) fn new(spec: JobSpec, secrets: Vec<Secret>, dir: PathBuf, log: JobLog) -> Self {
        Self {
            spec,
            secrets,
            dir,
            log: Arc::new(log),
            cancel: CancellationToken::new(),
            gate: None,
            steps: VecDeque::new(),
            begins: None,
            worker: None,
        }
    }

    /// Drops the executor's future, and flushes the log.
    pub(super) fn suspend(&mut self) -> impl Future<Output = LogPosition> + Send + use<> {
        self.worker = None;
        self.log.complete()
    }
}

impl Agent {
    /// Lets the machine decide, and does what it says.
    pub(super) fn feed(&mut self, event: machine::Event) {
        for action in self.machine.step(event) {
            self.act(action);
        }
    }

    pub(super) fn act(&mut self, action: Action) {
        match action {
            Action::Journal(record) => self.journal(record),
            Action::Send(FromAgent::Progress(progress)) => self.say_where(progress),
            Action::Send(message) => self.say(&message),
            Action::Start(attempt, start, gate) => self.start(attempt, start, gate),
            Action::OpenGate(attempt) => {
                if let Some(gate) = self.jobs.get(&attempt).and_then(|job| job.gate.as_ref()) {
                    gate.send_replace(GateState::Open);
                }
            }
            Action::StopWork(attempt) => {
                if let Some(job) = self.jobs.get(&attempt) {
                    job.cancel.cancel();
                }
            }
            Action::Conclude(attempt, outcome) => self.conclude(attempt, outcome),
            Action::AnswerStep(attempt, answer) => self.answer_step(attempt, answer),
            Action::Report(attempt, outcome) => self.report(attempt, outcome),
            Action::Discard(attempt) => self.discard(attempt),
        }
    }

    fn journal(&mut self, record: Record) {
        let spec = match &record {
            Record::Accepted(accepted) => self
                .offered
                .get(&accepted.attempt)
                .map(|offered| offered.sealed.clone()),
            _ => None,
        };
        if let Err(record) = self.ledger.append(Append { record, spec }) {
            let error = "its queue is full; does the disk hang?".to_owned();
            tracing::error!(%error, "the journal could not be written");
            self.feed(machine::Event::NotJournalled(record, error));
        }
    }

    pub(super) fn say(&self, message: &FromAgent) {
        // While there is no hello, nothing is said: the hello says it all.
        if let LinkPhase::Greeted(link) | LinkPhase::Welcomed(link) = &self.link {
            link.say(message);
        }
    }

    /// Says where the work is, and where in its log.
    fn say_where(&self, progress: Progress) {
        self.say(&FromAgent::Progress(progress));
        let begins = self.jobs.get(&progress.attempt).and_then(|job| job.begins);
        if let Some(begins) = begins.filter(|begins| begins.step == progress.step) {
            self.say(&FromAgent::StepLine(begins));
        }
    }

    fn start(&mut self, attempt: Attempt, start: Start, gate: GateState) {
        self.take_offered(attempt);
        let Some(job) = self.jobs.get_mut(&attempt) else {
            tracing::error!(job = %attempt.job, "a job without a folder was to start");
            return;
        };
        tracing::info!(job = %attempt.job, fence = %attempt.fence, ?start, "starting");
        let cancel = CancellationToken::new();
        let (opener, gate) = Gate::new(gate, cancel.clone());
        job.gate = Some(opener);
        job.cancel = cancel.clone();
        let (spec, terms) = job.spec.clone().split();
        let task = Task {
            attempt,
            spec,
            terms,
            secrets: job.secrets.clone(),
            start,
            dir: job.dir.clone(),
            gate,
            cancel: cancel.clone(),
            log: job.log.sink(),
            progress: ProgressSink::new(attempt, self.steps.clone()),
        };
        let work = supervised(self.executor.run(task), cancel, self.options.pace.stop_work);
        let log = Arc::clone(&job.log);
        let sender = self.sender.clone();
        job.worker = Some(AbortOnDropHandle::new(tokio::spawn(async move {
            let outcome = work.await;
            ended(attempt, outcome, &log, &sender).await;
        })));
    }

    fn conclude(&mut self, attempt: Attempt, outcome: Outcome) {
        if let Some(job) = self.jobs.get_mut(&attempt) {
            let log = Arc::clone(&job.log);
            let sender = self.sender.clone();
            job.worker = Some(AbortOnDropHandle::new(tokio::spawn(async move {
                ended(attempt, outcome, &log, &sender).await;
            })));
        }
    }

    fn report(&mut self, attempt: Attempt, outcome: Outcome) {
        if let Some(job) = self.jobs.get(&attempt) {
            // A restored log is open; what is reported is complete.
            drop(job.log.complete());
            job.log.report(outcome);
        }
    }

    fn discard(&mut self, attempt: Attempt) {
        tracing::info!(job = %attempt.job, "forgotten");
        if let Some(job) = self.jobs.remove(&attempt) {
            tokio::task::spawn_blocking(move || remove_folder(&job.dir));
        }
    }

    pub(super) fn on_step(&mut self, begun: StepBegun) {
        let StepBegun {
            attempt,
            step,
            done,
        } = begun;
        match self.jobs.get_mut(&attempt) {
            Some(job) => {
                job.steps.push_back(done);
                // Who begins a step waits for the answer, and prints nothing meanwhile.
                job.begins = Some(StepLine {
                    attempt,
                    step,
                    line: job.log.next_line(),
                });
            }
            None => return,
        }
        self.feed(machine::Event::StepBegun(attempt, step));
    }

    fn answer_step(&mut self, attempt: Attempt, answer: Result<(), String>) {
        let waiting = self
            .jobs
            .get_mut(&attempt)
            .and_then(|job| job.steps.pop_front());
        if let Some(waiting) = waiting {
            // Nobody waits when the work was dropped meanwhile.
            let _ = waiting.send(answer.map_err(StepRefused));
        }
    }
}

async fn ended(attempt: Attempt, outcome: Outcome, log: &JobLog, sender: &mpsc::Sender<Event>) {
    let log = log.complete().await;
    // It fails only when the agent is gone.
    let _ = sender.send(Event::Ended(attempt, outcome, log)).await;
}

/// Runs the work so that whatever it does, it ends: a panic is a failure, and work that does not
/// stop when it is told to is abandoned after a while.
async fn supervised(
    work: BoxFuture<Outcome>,
    cancel: CancellationToken,
    patience: Duration,
) -> Outcome {
    let mut work = AbortOnDropHandle::new(tokio::spawn(work));
    let abandoned = async {
        cancel.cancelled().await;
        sleep(patience).await;
    };
    tokio::select! {
        ended = &mut work => ended.unwrap_or_else(|error| Outcome::Failed {
            reason: FailureReason::Internal,
            message: format!("the agent's executor failed: {error}; look at the agent's log"),
        }),
        () = abandoned => Outcome::Cancelled {
            left: format!(
                "the work did not stop within {} s and was abandoned; what it had started on the host may still be there",
                patience.as_secs()
            ),
        },
    }
}
