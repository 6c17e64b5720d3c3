//! One job as an executor sees it.

use std::path::PathBuf;

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use towline_shared::outcome::Step;
use towline_shared::protocol::v1::Attempt;
use towline_shared::spec::{JobSpec, Secret, Terms};

use crate::logs::LogSink;

/// A job to do, with all that belongs to it.
#[derive(Debug)]
pub struct Task {
    /// The job and the fence it runs under.
    pub attempt: Attempt,
    /// What there is to do: its work alone.
    pub spec: JobSpec,
    /// Under which terms.
    pub terms: Terms,
    /// The values that only this task sees; each must be masked in its log.
    pub secrets: Vec<Secret>,
    /// Whether a former process has begun it already.
    pub start: Start,
    /// The attempt's own folder (0700). It survives restarts and goes when the job is forgotten.
    pub dir: PathBuf,
    /// Opens when effects are permitted.
    pub gate: Gate,
    /// Tripped when the job is to stop.
    pub cancel: CancellationToken,
    /// Takes the job's log.
    pub log: LogSink,
    /// Takes the steps that the work begins.
    pub progress: ProgressSink,
}

/// Whether a former process of the agent has begun a task already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// No effect was made. The folder may hold files of an earlier preparation.
    Fresh,
    /// Effects may have been made, the last in the step that was begun last.
    Resumed(Option<Step>),
}

/// Keeps effects back until the control plane has recorded that this agent does the job.
#[derive(Clone, Debug)]
pub struct Gate {
    made: GateState,
    state: watch::Receiver<GateState>,
    cancel: CancellationToken,
}

/// The state of a [`Gate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateState {
    /// No effect is permitted.
    Shut,
    /// Effects are permitted.
    Open,
}

/// The task was stopped before its gate opened: it must have no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the job was cancelled before it began")]
pub struct Cancelled;

impl Gate {
    /// A gate, and what opens it.
    pub fn new(state: GateState, cancel: CancellationToken) -> (watch::Sender<GateState>, Self) {
        let made = state;
        let (opener, state) = watch::channel(state);
        (
            opener,
            Self {
                made,
                state,
                cancel,
            },
        )
    }

    /// Waits until effects are permitted, or the task is cancelled; a cancel wins. The gate of a
    /// resumed task never fails: effects were made, and a cancel has to bring them to rest.
    pub async fn opened(&self) -> Result<(), Cancelled> {
        if self.made == GateState::Open {
            return Ok(());
        }
        let mut state = self.state.clone();
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(Cancelled),
            open = state.wait_for(|state| *state == GateState::Open) => open.map(|_| ()).map_err(|_| Cancelled),
        }
    }
}

/// Takes the steps that a task begins, and makes them durable.
#[derive(Clone, Debug)]
pub struct ProgressSink {
    attempt: Attempt,
    steps: mpsc::Sender<StepBegun>,
}

/// A step that a task wants to begin.
#[derive(Debug)]
pub struct StepBegun {
    /// The task.
    pub attempt: Attempt,
    /// The step.
    pub step: Step,
    /// Answered when the intent is durable, or cannot be made so.
    pub done: oneshot::Sender<Result<(), StepRefused>>,
}

/// A step that must not begin, because its intent could not be made durable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the agent cannot write its journal: {0}")]
pub struct StepRefused(pub String);

impl ProgressSink {
    /// A sink for one task.
    pub const fn new(attempt: Attempt, steps: mpsc::Sender<StepBegun>) -> Self {
        Self { attempt, steps }
    }

    /// Announces a step before it begins; returns when the intent is durable. When it is refused,
    /// the task ends with `DiskFull` and without the step.
    pub async fn begin(&self, step: Step) -> Result<(), StepRefused> {
        let (done, answer) = oneshot::channel();
        let begun = StepBegun {
            attempt: self.attempt,
            step,
            done,
        };
        let stopping = || StepRefused("the agent is stopping".to_owned());
        self.steps.send(begun).await.map_err(|_| stopping())?;
        answer.await.unwrap_or_else(|_| Err(stopping()))
    }
}
