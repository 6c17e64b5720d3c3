//! Rolling up: ten seconds to minutes, minutes to hours.
//!
//! A watermark per resolution says up to where all is done. It moves after the rows of an interval
//! are written, and an interval rolled up twice gives the same rows: so a crash, or two servers at
//! once, change nothing.

use towline_shared::ids::AgentId;
use uuid::Uuid;

use super::super::db::{all, execute, one, optional};
use super::super::{Result, Store};
use super::average::Average;
use super::resolution::Resolution;
use super::{encoding, record};

/// How long an interval waits for late samples, in seconds: a minute for a clock that is behind, and
/// some for the way.
const GRACE: i64 = 90;
/// Agents whose rows are written by one transaction.
const AGENTS: i64 = 50;

/// One agent's row in the making.
struct Rolled {
    owner: (Uuid, Uuid),
    sample: Vec<u8>,
}

impl Store {
    /// Rolls up what is complete and deletes what has outlived its time. Gives the number of rows written.
    pub async fn rollup_metrics(&self) -> Result<u64> {
        self.rollup_at(self.now().await?.timestamp()).await
    }

    pub(super) async fn rollup_at(&self, now: i64) -> Result<u64> {
        self.take_back_watermarks(now).await?;
        let mut rows = self.roll_up(Resolution::Minute, now - GRACE).await?;
        if let Some(until) = self.rolled_up_until(Resolution::Minute).await? {
            rows += self.roll_up(Resolution::Hour, until).await?;
        }
        self.prune_metrics_at(now).await?;
        Ok(rows)
    }

    /// A clock that was ahead for a while leaves watermarks in the future, behind which nothing would
    /// be rolled up until then. What is done twice gives the same.
    async fn take_back_watermarks(&self, now: i64) -> Result<()> {
        for resolution in [Resolution::Minute, Resolution::Hour] {
            let done = self.rolled_up_until(resolution).await?;
            if done.is_none_or(|done| done <= now) {
                continue;
            }
            tracing::warn!("the clock was ahead; measurements are rolled up again");
            let mut tx = self.telemetry().begin().await?;
            execute!(
                tx.conn(),
                "UPDATE metric_rollups SET done_until = $2 WHERE resolution_s = $1 AND done_until > $2",
                resolution.seconds(),
                Resolution::Hour.start_of(now - Resolution::Hour.seconds())
            )?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Up to where a resolution's rows are complete, Unix seconds; nothing before the first.
    pub(super) async fn rolled_up_until(&self, to: Resolution) -> Result<Option<i64>> {
        let mut reader = self.telemetry().read().await?;
        let sql = "SELECT done_until FROM metric_rollups WHERE resolution_s = $1";
        let row = optional!(reader.conn(), (i64,), sql, to.seconds())?;
        Ok(row.map(|(until,)| until))
    }

    /// Does all intervals of `to` that end by `ready`.
    async fn roll_up(&self, to: Resolution, ready: i64) -> Result<u64> {
        let Some(finer) = to.finer() else {
            return Ok(0);
        };
        let done = self.rolled_up_until(to).await?;
        let ready = to.start_of(ready);
        let mut from = done.unwrap_or(0);
        let mut rows = 0;
        while let Some(first) = self.first_row(finer, from).await? {
            let start = to.start_of(first);
            from = start + to.seconds();
            if from > ready {
                break;
            }
            rows += self.roll_up_interval(finer, to, start).await?;
            self.note_rolled_up(to, from).await?;
        }
        if done.is_none_or(|done| done < ready) {
            self.note_rolled_up(to, ready).await?;
        }
        Ok(rows)
    }

    /// When the first row from a moment on is, Unix seconds.
    pub(super) async fn first_row(&self, resolution: Resolution, from: i64) -> Result<Option<i64>> {
        let mut reader = self.telemetry().read().await?;
        let sql = "SELECT MIN(at) FROM cluster_metrics WHERE resolution_s = $1 AND at >= $2";
        let (at,) = one!(
            reader.conn(),
            (Option<i64>,),
            sql,
            resolution.seconds(),
            from
        )?;
        Ok(at)
    }

    async fn roll_up_interval(&self, finer: Resolution, to: Resolution, start: i64) -> Result<u64> {
        let mut after = Uuid::nil();
        let mut rows = 0;
        loop {
            let agents = self.agents_in(finer, start, to.seconds(), after).await?;
            let Some(last) = agents.last() else {
                return Ok(rows);
            };
            after = *last;
            let mut rolled = Vec::with_capacity(agents.len());
            for agent in agents {
                rolled.extend(self.roll_up_agent(agent, finer, to, start).await?);
            }
            rows += rolled.len() as u64;
            let mut tx = self.telemetry().begin().await?;
            for row in rolled {
                record::write_row(&mut tx, row.owner, to, start, &row.sample).await?;
            }
            tx.commit().await?;
        }
    }

    async fn agents_in(
        &self,
        resolution: Resolution,
        start: i64,
        length: i64,
        after: Uuid,
    ) -> Result<Vec<Uuid>> {
        let mut reader = self.telemetry().read().await?;
        let agents = all!(
            reader.conn(),
            (Uuid,),
            "SELECT DISTINCT agent_id FROM cluster_metrics
             WHERE resolution_s = $1 AND at >= $2 AND at < $3 AND agent_id > $4 ORDER BY agent_id LIMIT $5",
            resolution.seconds(),
            start,
            start + length,
            after,
            AGENTS
        )?;
        Ok(agents.into_iter().map(|(agent,)| agent).collect())
    }

    async fn roll_up_agent(
        &self,
        agent: Uuid,
        finer: Resolution,
        to: Resolution,
        start: i64,
    ) -> Result<Option<Rolled>> {
        let mut reader = self.telemetry().read().await?;
        let rows = all!(
            reader.conn(),
            (Uuid, Vec<u8>),
            "SELECT team_id, sample FROM cluster_metrics
             WHERE agent_id = $1 AND resolution_s = $2 AND at >= $3 AND at < $4 ORDER BY at",
            agent,
            finer.seconds(),
            start,
            start + to.seconds()
        )?;
        let Some((team, _)) = rows.last() else {
            return Ok(None);
        };
        let owner = (agent, *team);
        let mut average = Average::default();
        for (_, sample) in &rows {
            match encoding::decode(sample) {
                Ok(sample) => average.add(sample, finer.seconds()),
                Err(error) => {
                    tracing::warn!(agent = %AgentId::from(agent), %error, "a sample was left out");
                }
            }
        }
        let Some(sample) = average.finish(start) else {
            return Ok(None);
        };
        let sample = encoding::encode(&sample)?;
        Ok(Some(Rolled { owner, sample }))
    }

    async fn note_rolled_up(&self, to: Resolution, until: i64) -> Result<()> {
        let mut tx = self.telemetry().begin().await?;
        execute!(
            tx.conn(),
            "INSERT INTO metric_rollups (resolution_s, done_until) VALUES ($1, $2)
             ON CONFLICT (resolution_s) DO UPDATE SET done_until = excluded.done_until
                WHERE metric_rollups.done_until < excluded.done_until",
            to.seconds(),
            until
        )?;
        tx.commit().await
    }
}
