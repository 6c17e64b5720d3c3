//! Logs of jobs: chunks as the agents made them, and what readers see of them.
//!
//! A log is one row with its end (the number of the next line, and the chain over all chunks) and
//! its chunks, which the store keeps as bytes; only a reader and the compaction decode them.
//!
//! Promises:
//! - A stored log is a gap-free prefix of what the agent numbered. What is missing for ever stands
//!   in it as a gap, under the numbers of the lost lines.
//! - An append is taken only from the agent that holds the job, under the job's present fence, and
//!   before the job has ended. The job is looked up in the main database, and the log's row, which is
//!   locked during the append, keeps the highest fence and the end: so neither an append that was
//!   overtaken by a new offer nor one that was overtaken by the job's end comes in late.
//! - A log ends after its job, when a reader or the compaction first looks at it: no transaction spans
//!   the two databases, and none has to.
//! - A reader is told that a log is complete only when it can never grow again.

mod append;
mod chunk;
mod compact;
mod ending;
#[cfg(test)]
pub(in crate::store) mod fixture;
mod gap;
mod merge;
mod read;
mod retention;
mod row;
#[cfg(test)]
mod tests;

pub use append::Appended;
pub use read::{LogEnd, LogPage, MAX_LINES};
