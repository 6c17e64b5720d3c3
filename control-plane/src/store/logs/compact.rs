//! Compaction: when a job has ended, its log's small chunks become large ones, and the file gives
//! back the space.

use towline_shared::ids::JobId;
use uuid::Uuid;

use super::super::db::{Db, all, execute, local_now, one};
use super::super::{Result, Store, counted, stored};
use super::chunk::{self, BATCH};
use super::merge::{Merge, Merger};

/// Logs of one run; the next run goes on.
const LOGS_PER_RUN: i64 = 64;
/// Fewer free pages are left for what comes next: 1 MiB.
const WORTHWHILE_PAGES: u64 = 256;
/// Some 4 MiB at a time, so that no append waits long.
const GIVE_BACK_PAGES: &str = "PRAGMA incremental_vacuum(1024)";

/// What became of a merge.
#[derive(PartialEq, Eq)]
pub(super) enum Replaced {
    Done,
    /// Another server is at the same log.
    Overtaken,
}

impl Store {
    /// Ends the logs of jobs that have ended, and merges their small chunks. Gives the number of logs
    /// that were compacted. It can die anywhere and be repeated: each merge is a transaction.
    pub async fn compact_logs(&self) -> Result<u64> {
        self.end_finished_logs().await?;
        let mut compacted = 0;
        for job in self.logs_to_compact().await? {
            compacted += self.compact_log(job).await?;
        }
        self.give_back_space().await?;
        Ok(compacted)
    }

    async fn logs_to_compact(&self) -> Result<Vec<JobId>> {
        let mut reader = self.telemetry().read().await?;
        let sql = "SELECT id FROM logs WHERE state = 'ended' ORDER BY updated_at LIMIT $1";
        let ids = all!(reader.conn(), (Uuid,), sql, LOGS_PER_RUN)?;
        Ok(ids.into_iter().map(|(id,)| id.into()).collect())
    }

    /// Compacts an ended log; gives 1 if it did so to the end.
    async fn compact_log(&self, job: JobId) -> Result<u64> {
        let mut merger = Merger::default();
        let mut from = 0;
        loop {
            let mut reader = self.telemetry().read().await?;
            let chunks = chunk::between(reader.conn(), job, from, u64::MAX).await?;
            drop(reader);
            for chunk in &chunks {
                from = chunk.end();
                if self.replace(job, merger.push(chunk)).await? == Replaced::Overtaken {
                    return Ok(0);
                }
            }
            if chunks.len() < BATCH as usize {
                break;
            }
        }
        if self.replace(job, merger.finish()).await? == Replaced::Overtaken {
            return Ok(0);
        }
        self.mark_compacted(job).await
    }

    pub(super) async fn replace(&self, job: JobId, merge: Option<Merge>) -> Result<Replaced> {
        let Some(merge) = merge else {
            return Ok(Replaced::Done);
        };
        let mut tx = self.telemetry().begin().await?;
        let deleted = execute!(
            tx.conn(),
            "DELETE FROM log_chunks WHERE job_id = $1 AND first_line >= $2 AND first_line < $3",
            job.uuid(),
            stored(merge.by.first_line),
            stored(merge.by.end())
        )?;
        if deleted != merge.replaced {
            return Ok(Replaced::Overtaken);
        }
        chunk::insert(&mut tx, job, &merge.by).await?;
        tx.commit().await?;
        Ok(Replaced::Done)
    }

    async fn mark_compacted(&self, job: JobId) -> Result<u64> {
        let mut tx = self.telemetry().begin().await?;
        let sql = "UPDATE logs SET state = 'compacted', updated_at = $2 WHERE id = $1 AND state = 'ended'";
        let marked = execute!(tx.conn(), sql, job.uuid(), local_now())?;
        tx.commit().await?;
        Ok(marked)
    }

    /// PostgreSQL vacuums by itself.
    async fn give_back_space(&self) -> Result<()> {
        if matches!(self.telemetry(), Db::Postgres(_)) {
            return Ok(());
        }
        let mut free = self.free_pages().await?;
        let mut before = u64::MAX;
        // A file without free pages, or one that cannot shrink, ends it.
        while (WORTHWHILE_PAGES..before).contains(&free) {
            let mut tx = self.telemetry().begin().await?;
            execute!(tx.conn(), GIVE_BACK_PAGES)?;
            tx.commit().await?;
            (before, free) = (free, self.free_pages().await?);
        }
        Ok(())
    }

    async fn free_pages(&self) -> Result<u64> {
        let mut reader = self.telemetry().read().await?;
        let (pages,) = one!(reader.conn(), (i64,), "PRAGMA freelist_count")?;
        Ok(counted(pages))
    }
}
