//! What jobs print: numbered, spooled to disk, and sent until it is stored.
//!
//! A line's way: [`LogSink`] (bounded; producers wait) → chunks in the spool of the attempt → the
//! link, with a bounded number of chunks in flight → the control plane, whose acknowledgement frees
//! the spool. One task per attempt ([`JobLog`]) owns that way from the sink's other end on.

mod job_log;
mod segment;
mod sink;
mod spool;
#[cfg(test)]
mod tests;

pub(crate) use job_log::SPOOL_DIR;
pub use job_log::{JobLog, LogLimits};
pub use sink::{Batch, LogIntake, LogSink, ResumePoint};
pub use spool::Spool;
