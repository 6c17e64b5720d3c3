//! What jobs print: numbered, spooled to disk, and sent until it is stored.

mod sink;

pub use sink::{Batch, LogIntake, LogSink, ResumePoint};
