//! How long a job may take, whatever becomes of the agent meanwhile.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use towline_shared::failpoint::reach;

use super::stop::Stop;
use crate::state_dir::write_durably;
use crate::task::{Start, Task};

/// When a job's effects began and when they must be over. It is kept in the job's folder, so that a
/// restart does not begin anew.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Limits {
    pub began: DateTime<Utc>,
    pub deadline: DateTime<Utc>,
}

impl Limits {
    /// Limits of what begins now.
    pub fn fresh(task: &Task) -> Self {
        let began = Utc::now();
        let deadline = began + TimeDelta::seconds(i64::from(task.spec.deadline_s));
        Self { began, deadline }
    }

    /// When the time is over, unless the host's clock is set meanwhile.
    pub fn ends(self) -> Instant {
        let left = self.deadline - Utc::now();
        Instant::now() + left.to_std().unwrap_or_default()
    }

    /// The limits of a job whose effects are permitted now: those of a former process of the agent, if it had begun, and
    /// otherwise fresh ones, which are kept.
    pub fn of_begun(task: &Task, start: Start) -> Result<Self, Stop> {
        let path = task.dir.join("limits.json");
        let known = std::fs::read(&path)
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok());
        if let (Some(limits), Start::Resumed(_)) = (known, start) {
            return Ok(limits);
        }
        let limits = Self::fresh(task);
        let written = serde_json::to_vec(&limits)
            .map_err(std::io::Error::other)
            .and_then(|text| write_durably(&path, &text));
        written.map_err(|error| Stop::internal("cannot write the job's folder", &error))?;
        reach("agent: stored a job's limits");
        Ok(limits)
    }
}
