//! What the process says about itself: its log and its metrics.

mod log;
mod metrics;

pub use log::{FilterError, start as start_log};
pub use metrics::{MEDIA_TYPE, ProcessMetrics, Readings};
