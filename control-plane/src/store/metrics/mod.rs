//! Samples of hosts and containers, at three resolutions.
//!
//! Agents measure every ten seconds. A sample waits in a bounded buffer until a timer writes all that
//! wait in one transaction: what a crash takes is a second of measurements. Rolled up, ten seconds
//! become a minute and minutes an hour; each resolution is kept for its time, and older rows are
//! deleted only when the coarser ones stand.
//!
//! A row is one agent's whole sample, as a version byte and the postcard of [`Sample`]: about 100
//! bytes for a host and 100 for each container.

mod average;
mod buffer;
mod encoding;
mod plan;
mod range;
mod record;
mod resolution;
mod retention;
mod rollup;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use serde::Serialize;
use towline_shared::ids::AgentId;
use towline_shared::metrics::Sample;

pub(super) use buffer::Pending;
pub use range::MetricsRange;

/// A sample as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StoredSample {
    /// The agent.
    pub agent: AgentId,
    /// The start of the interval it stands for.
    pub at: DateTime<Utc>,
    /// What was measured; averages over the interval, and the last state of what only grows.
    pub sample: Sample,
}
