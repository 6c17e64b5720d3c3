#![allow(clippy::unwrap_used, clippy::expect_used)]

mod appending;
mod compacting;
mod gaps;
mod merging;
mod reading;

use towline_shared::log::{LogChunk, LogLine, LogPosition};
use towline_shared::protocol::v1::LogAck;

use super::super::db::{execute, one};
use super::Appended;
use super::fixture::{Fixture, Job, line};

/// The lines `from..to` in chunks of `size`, as one agent makes them.
fn chunks(from: u64, to: u64, size: usize) -> Vec<LogChunk> {
    let lines: Vec<LogLine> = (from..to).map(line).collect();
    continued(LogPosition::default(), &lines, size)
}

fn continued(mut position: LogPosition, lines: &[LogLine], size: usize) -> Vec<LogChunk> {
    let encode = |lines| {
        let (chunk, after) = LogChunk::encode(position, lines).unwrap();
        position = after;
        chunk
    };
    lines.chunks(size).map(encode).collect()
}

fn numbered(from: u64, to: u64) -> Vec<(u64, LogLine)> {
    (from..to).map(|number| (number, line(number))).collect()
}

fn ack(job: &Job, next_line: u64) -> Appended {
    Appended::Ack(LogAck {
        attempt: job.attempt,
        next_line,
    })
}

impl Fixture {
    async fn append(&self, job: &Job, chunk: &LogChunk) -> Appended {
        self.store
            .append_log(self.agent, job.attempt, chunk)
            .await
            .unwrap()
    }

    /// A job with these lines, in chunks of `size`.
    async fn job_with(&self, lines: u64, size: usize) -> Job {
        let job = self.job().await;
        let chunks = chunks(0, lines, size);
        for batch in chunks.chunks(200) {
            let appended = self
                .store
                .append_logs(self.agent, job.attempt, batch)
                .await
                .unwrap();
            assert_eq!(appended, ack(&job, batch[batch.len() - 1].end().next_line));
        }
        job
    }

    async fn chunk_count(&self, job: &Job) -> u64 {
        let mut reader = self.store.telemetry().read().await.unwrap();
        let sql = "SELECT COUNT(*) FROM log_chunks WHERE job_id = $1";
        let (count,) = one!(reader.conn(), (i64,), sql, job.attempt.job.uuid()).unwrap();
        u64::try_from(count).unwrap()
    }

    /// What a power cut takes: all chunks but the first so many.
    async fn lose_all_but(&self, job: &Job, kept: &[LogChunk]) {
        let end = kept.last().map_or_else(LogPosition::default, LogChunk::end);
        let next_line = i64::try_from(end.next_line).unwrap();
        let mut tx = self.store.telemetry().begin().await.unwrap();
        let sql = "DELETE FROM log_chunks WHERE job_id = $1 AND first_line >= $2";
        execute!(tx.conn(), sql, job.attempt.job.uuid(), next_line).unwrap();
        let sql = "UPDATE logs SET next_line = $2, chain = $3 WHERE id = $1";
        execute!(
            tx.conn(),
            sql,
            job.attempt.job.uuid(),
            next_line,
            end.chain.as_slice()
        )
        .unwrap();
        tx.commit().await.unwrap();
    }
}
