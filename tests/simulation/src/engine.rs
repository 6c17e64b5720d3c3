//! A host's container engine, and what changes on it: the truth that everything else is about. It outlives the agent.

use std::collections::BTreeMap;

use towline_shared::Fence;
use towline_shared::ids::JobId;
use towline_shared::protocol::v1::Attempt;

/// An engine.
#[derive(Debug, Default)]
pub struct Engine {
    /// The job whose project runs.
    pub runs: Option<JobId>,
    /// The process that changes something, which outlives a killed agent.
    pub child: Option<Attempt>,
    /// The highest fence under which anything was changed.
    highest: Fence,
    /// How often each job has changed something.
    changes: BTreeMap<JobId, u32>,
}

impl Engine {
    /// Starts the process that applies a job.
    pub fn start(&mut self, attempt: Attempt) -> Result<(), String> {
        if let Some(other) = self.child {
            return Err(format!(
                "{} begins on a host while {} is at it",
                attempt.fence, other.fence
            ));
        }
        self.child = Some(attempt);
        Ok(())
    }

    /// The process makes its change and ends. A project that runs already is left alone, as compose does.
    pub fn change(&mut self) -> Result<Option<Attempt>, String> {
        let Some(attempt) = self.child.take() else {
            return Ok(None);
        };
        if attempt.fence < self.highest {
            return Err(format!(
                "an effect under fence {}, below {}",
                attempt.fence, self.highest
            ));
        }
        self.highest = attempt.fence;
        if self.runs != Some(attempt.job) {
            self.runs = Some(attempt.job);
            *self.changes.entry(attempt.job).or_default() += 1;
        }
        Ok(Some(attempt))
    }

    /// How often a job has changed something.
    pub fn changes(&self, job: JobId) -> u32 {
        self.changes.get(&job).copied().unwrap_or_default()
    }
}
