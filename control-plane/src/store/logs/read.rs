//! Reading a log, page by page.

use towline_shared::ids::{DeploymentId, JobId};
use towline_shared::log::LogLine;
use uuid::Uuid;

use super::super::db::optional;
use super::super::{Resource, Result, Store, StoreError, Tenant};
use super::chunk;
use super::row::{self, LogRow, LogState};
use crate::job::state::JobState;

/// The most lines of one page.
pub const MAX_LINES: u32 = 10_000;
/// A page that has come to this many bytes of text ends; the next one goes on.
const MAX_TEXT: usize = 4 << 20;

/// Lines of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPage {
    /// The lines with their numbers, in order. A gap is one line, under the last of the lost numbers.
    pub lines: Vec<(u64, LogLine)>,
    /// The number at which the log goes on behind these.
    pub next: u64,
    /// Whether it does.
    pub end: LogEnd,
}

impl LogPage {
    /// The page without the line `to` and all behind it, of which nothing is to be expected either.
    #[must_use]
    pub fn before(mut self, to: u64) -> Self {
        self.lines.retain(|(n, _)| *n < to);
        if self.next >= to {
            self.next = to;
            self.end = LogEnd::Complete;
        }
        self
    }
}

/// What is to be expected behind a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogEnd {
    /// More lines, now or later.
    Open,
    /// Nothing, ever: the job has ended, and the page goes up to the log's end.
    Complete,
}

/// Where a page begins.
enum Begin {
    Line(u64),
    /// As many lines before the end.
    End(u32),
}

/// A log as a reader finds it.
struct Found {
    job: JobId,
    next_line: u64,
    growth: Growth,
}

/// Whether a log may still grow.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Growth {
    Possible,
    Over,
}

impl Store {
    /// Lines of a deployment's log from a number on; at most `limit`, at most [`MAX_LINES`]. Fewer may
    /// come when they are long.
    pub async fn log_range(
        &self,
        tenant: &Tenant,
        deployment: DeploymentId,
        from: u64,
        limit: u32,
    ) -> Result<LogPage> {
        self.log_page(tenant, deployment, &Begin::Line(from), limit)
            .await
    }

    /// The last lines of a deployment's log; at most [`MAX_LINES`].
    pub async fn log_tail(
        &self,
        tenant: &Tenant,
        deployment: DeploymentId,
        lines: u32,
    ) -> Result<LogPage> {
        let lines = lines.clamp(1, MAX_LINES);
        self.log_page(tenant, deployment, &Begin::End(lines), lines)
            .await
    }

    async fn log_page(
        &self,
        tenant: &Tenant,
        deployment: DeploymentId,
        from: &Begin,
        limit: u32,
    ) -> Result<LogPage> {
        let found = self.find_log(tenant, deployment).await?;
        let from = match *from {
            Begin::Line(line) => line,
            Begin::End(lines) => found.next_line.saturating_sub(lines.into()),
        };
        let (lines, next) = self
            .read_lines(found.job, from, limit.clamp(1, MAX_LINES))
            .await?;
        let end = match found.growth {
            Growth::Over if next >= found.next_line => LogEnd::Complete,
            _ => LogEnd::Open,
        };
        Ok(LogPage { lines, next, end })
    }

    /// The job first and its log after it, so that all that was appended before the job's end is seen.
    async fn find_log(&self, tenant: &Tenant, deployment: DeploymentId) -> Result<Found> {
        let mut reader = self.main().read().await?;
        let row = optional!(
            reader.conn(),
            (Uuid, String),
            "SELECT log, status FROM deployments WHERE id = $1 AND team_id = $2",
            deployment.uuid(),
            tenant.team().uuid()
        )?;
        drop(reader);
        let (job, status) = row.ok_or(StoreError::NotFound(Resource::Deployment))?;
        let job = JobId::from(job);
        let status: JobState = status
            .parse()
            .map_err(|error| StoreError::Damaged(format!("{error}")))?;
        let mut log = self.log_row(job).await?;
        if status.is_terminal() && log.is_none_or(|log| log.state == LogState::Open) {
            self.end_log(job).await?;
            log = self.log_row(job).await?;
        }
        let growth = if status.is_terminal() {
            Growth::Over
        } else {
            Growth::Possible
        };
        let next_line = log.map_or(0, |log| log.position.next_line);
        Ok(Found {
            job,
            next_line,
            growth,
        })
    }

    async fn log_row(&self, job: JobId) -> Result<Option<LogRow>> {
        let mut reader = self.telemetry().read().await?;
        row::read(reader.conn(), job).await
    }

    /// At most so many lines from a number on, and the number behind them.
    pub(super) async fn read_lines(
        &self,
        job: JobId,
        from: u64,
        limit: u32,
    ) -> Result<(Vec<(u64, LogLine)>, u64)> {
        let until = from.saturating_add(limit.into());
        let mut page = Filling::new(from, limit as usize);
        let mut reader = self.telemetry().read().await?;
        loop {
            let reached = page.next;
            let chunks = chunk::between(reader.conn(), job, reached, until).await?;
            let is_last = chunks.len() < chunk::BATCH as usize;
            for chunk in &chunks {
                if page.take(chunk.numbered()) == Room::None {
                    return Ok((page.lines, page.next));
                }
            }
            // Without progress there is nothing more, whatever the number of chunks says.
            if is_last || page.next == reached {
                return Ok((page.lines, page.next));
            }
        }
    }
}

/// A page under way.
struct Filling {
    lines: Vec<(u64, LogLine)>,
    next: u64,
    limit: usize,
    text: usize,
}

/// Whether a page takes more lines.
#[derive(PartialEq, Eq)]
enum Room {
    Some,
    None,
}

impl Filling {
    const fn new(from: u64, limit: usize) -> Self {
        Self {
            lines: Vec::new(),
            next: from,
            limit,
            text: 0,
        }
    }

    fn take(&mut self, lines: Vec<(u64, LogLine)>) -> Room {
        let wanted = self.next;
        for (number, line) in lines.into_iter().filter(|(number, _)| *number >= wanted) {
            if self.lines.len() == self.limit || self.text >= MAX_TEXT {
                return Room::None;
            }
            self.text += line.text.len();
            self.next = number + 1;
            self.lines.push((number, line));
        }
        Room::Some
    }
}
