//! An executor's work on one attempt, stage by stage. What it does to the engine follows the real executor's order:
//! prepare, wait for the gate, journal the intent, start the process, wait for its end, verify.

use towline_agent::task::{GateState, Start};
use towline_shared::outcome::{FailureReason, Outcome, Step};
use towline_shared::protocol::v1::Attempt;

use crate::dice::Dice;
use crate::engine::Engine;

/// Work under way.
#[derive(Debug)]
pub struct Worker {
    /// The attempt.
    pub attempt: Attempt,
    /// Whether effects are permitted.
    pub gate: GateState,
    /// Whether it was told to stop.
    pub orders: Orders,
    /// Where it is.
    pub stage: Stage,
    manner: Manner,
}

/// What work was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orders {
    /// Go on.
    GoOn,
    /// Stop at the next safe point.
    Stop,
}

/// Where work is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It reads the specification.
    Preparing,
    /// It waits until effects are permitted.
    AtTheGate,
    /// It waits until the intent to apply is journalled.
    Intending,
    /// It is to start the process, unless the engine has it, or what it does.
    Applying,
    /// It waits for the process.
    Waiting,
    /// It waits until the intent to verify is journalled.
    Checking,
    /// It looks whether all is well.
    Verifying,
}

/// How work goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It works.
    Well,
    /// The specification is refused before anything is changed.
    Refused,
    /// It fails after it has changed something.
    Fails,
    /// It does not come to an end before it is told to, or before the faults stop.
    Hangs,
}

/// What a stage led to.
#[derive(Debug)]
pub enum Turn {
    /// Nothing yet.
    Waits,
    /// It is at another stage.
    Moved,
    /// It wants to begin a step.
    Begins(Step),
    /// It has ended.
    Ended(Outcome),
}

impl Worker {
    /// Work that begins, or goes on after a restart.
    pub fn new(attempt: Attempt, start: Start, gate: GateState, dice: &mut Dice) -> Self {
        let manner = match dice.below(10) {
            0 => Manner::Refused,
            1 => Manner::Fails,
            2 => Manner::Hangs,
            _ => Manner::Well,
        };
        let stage = match start {
            Start::Fresh => Stage::Preparing,
            Start::Resumed(Some(Step::Verifying)) => Stage::Verifying,
            Start::Resumed(_) => Stage::Applying,
        };
        Self {
            attempt,
            gate,
            orders: Orders::GoOn,
            stage,
            manner,
        }
    }

    /// Faults have stopped: nothing hangs any more.
    pub fn relent(&mut self) {
        if self.manner == Manner::Hangs {
            self.manner = Manner::Well;
        }
    }

    /// The journal has answered.
    pub fn answered(&mut self, answer: &Result<(), String>) -> Turn {
        match (self.stage, answer) {
            (Stage::Intending, Ok(())) => self.stage = Stage::Applying,
            (Stage::Checking, Ok(())) => self.stage = Stage::Verifying,
            (Stage::Intending | Stage::Checking, Err(why)) => {
                return Turn::Ended(Outcome::Failed {
                    reason: FailureReason::DiskFull,
                    message: why.clone(),
                });
            }
            _ => {}
        }
        Turn::Moved
    }

    /// Does what comes next.
    pub fn turn(&mut self, engine: &mut Engine) -> Result<Turn, String> {
        if self.orders == Orders::Stop && !matches!(self.stage, Stage::Intending | Stage::Checking)
        {
            // What the job itself has started is stopped, whoever started it.
            engine.child.take_if(|child| *child == self.attempt);
            return Ok(Turn::Ended(Outcome::Cancelled {
                left: "as told".into(),
            }));
        }
        Ok(match self.stage {
            Stage::Preparing if self.manner == Manner::Refused => Turn::Ended(Outcome::Failed {
                reason: FailureReason::PolicyRefused,
                message: "refused".into(),
            }),
            Stage::Preparing => self.go(Stage::AtTheGate, Turn::Moved),
            Stage::AtTheGate if self.gate == GateState::Shut => Turn::Waits,
            Stage::AtTheGate => self.go(Stage::Intending, Turn::Begins(Step::Applying)),
            Stage::Intending | Stage::Checking => Turn::Waits,
            Stage::Applying => self.apply(engine)?,
            // The process has ended when it is not there any more.
            Stage::Waiting if engine.child == Some(self.attempt) => Turn::Waits,
            Stage::Waiting if self.manner == Manner::Fails => Turn::Ended(Outcome::Failed {
                reason: FailureReason::ComposeFailed,
                message: "failed".into(),
            }),
            Stage::Waiting => self.go(Stage::Checking, Turn::Begins(Step::Verifying)),
            Stage::Verifying if self.manner == Manner::Hangs => Turn::Waits,
            Stage::Verifying if engine.runs != Some(self.attempt.job) => {
                Turn::Ended(Outcome::Failed {
                    reason: FailureReason::ComposeFailed,
                    message: "it does not run".into(),
                })
            }
            Stage::Verifying => Turn::Ended(Outcome::Succeeded { images: Vec::new() }),
        })
    }

    /// A process that a former agent left is waited for; what it has done is not done again.
    fn apply(&mut self, engine: &mut Engine) -> Result<Turn, String> {
        if engine.child != Some(self.attempt) && engine.runs != Some(self.attempt.job) {
            engine.start(self.attempt)?;
        }
        Ok(self.go(Stage::Waiting, Turn::Moved))
    }

    fn go(&mut self, stage: Stage, turn: Turn) -> Turn {
        self.stage = stage;
        turn
    }
}
