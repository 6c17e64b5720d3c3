//! What a job does before its own work, within its time: it says lines, and stops when the job does.

use chrono::Utc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use towline_shared::log::{LogLine, LogStream};

use super::stop::Stop;
use crate::mask::Masker;
use crate::task::Task;

/// An errand of a job.
pub(super) struct Errand<'a> {
    pub task: &'a Task,
    pub masker: Masker,
    /// The job's deadline.
    pub ends: Instant,
    /// Tripped when the job is to stop for another reason than that somebody asked it to; that reason.
    pub given_up: Option<(CancellationToken, Stop)>,
}

impl Errand<'_> {
    /// Writes a line of Towline's own, of as many lines as the text has.
    pub async fn note(&self, text: &str) {
        for line in self.masker.mask_text(text).lines() {
            self.task.log.send(note(line)).await;
        }
    }

    /// Does something within the job's time, or until it is cancelled.
    pub async fn bounded<T>(&self, work: impl Future<Output = T>) -> Result<T, Stop> {
        let given_up = async {
            match &self.given_up {
                Some((tripped, stop)) => {
                    tripped.cancelled().await;
                    stop.clone()
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.task.cancel.cancelled() => Err(Stop::Cancelled),
            stop = given_up => Err(stop),
            done = work => Ok(done),
            () = tokio::time::sleep_until(self.ends) => Err(Stop::Deadline),
        }
    }
}

/// A line of Towline's own.
pub(super) fn note(text: impl Into<String>) -> LogLine {
    LogLine {
        at_us: Utc::now().timestamp_micros(),
        stream: LogStream::Note,
        source: "towline".to_owned(),
        text: text.into(),
    }
}
