//! Reading samples: curves of a target, and the latest of all.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::FromRow;
use towline_shared::ids::{AgentId, TargetId};
use uuid::Uuid;

use super::super::db::{all, optional};
use super::super::{Resource, Result, Store, StoreError, Tenant};
use super::average::Average;
use super::plan::{Piece, Plan, RolledUp, Span};
use super::resolution::Resolution;
use super::{StoredSample, encoding};

/// Rows read by one statement.
const ROWS: i64 = 200;
/// The latest sample of an agent counts for so many seconds.
const LATEST_WITHIN: i64 = 300;
/// One whose moment lies further in the future comes from a clock that was ahead, in seconds.
const AHEAD: i64 = 60;

/// Samples of a target over a span of time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MetricsRange {
    /// The length of the interval that each sample stands for, in seconds.
    pub step_s: u32,
    /// In the order of time; intervals without a measurement are left out.
    pub samples: Vec<StoredSample>,
}

#[derive(FromRow)]
struct Row {
    agent_id: Uuid,
    at: i64,
    sample: Vec<u8>,
}

impl Store {
    /// Samples of a target from one moment up to another, every `step_s` seconds or more: as fine as
    /// asked for, as was kept for that time, and as a sensible answer has room for.
    pub async fn metrics_range(
        &self,
        tenant: &Tenant,
        target: TargetId,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        step_s: Option<u32>,
    ) -> Result<MetricsRange> {
        let agent = self.agent_of(tenant, target).await?;
        let span = span(from, to)?;
        let done = RolledUp {
            minutes: self.rolled_up_until(Resolution::Minute).await?.unwrap_or(0),
            hours: self.rolled_up_until(Resolution::Hour).await?.unwrap_or(0),
        };
        let now = self.now().await?.timestamp();
        let plan = Plan::new(span, step_s.map(i64::from), now, done);
        let samples = match agent {
            Some(agent) => self.read_plan(agent, &plan).await?,
            None => Vec::new(),
        };
        Ok(MetricsRange {
            step_s: u32::try_from(plan.step).unwrap_or(u32::MAX),
            samples,
        })
    }

    /// The latest sample of each of the team's agents that measured within the last five minutes.
    pub async fn metrics_latest(&self, tenant: &Tenant) -> Result<Vec<StoredSample>> {
        let now = self.now().await?.timestamp();
        let mut reader = self.telemetry().read().await?;
        let rows = all!(
            reader.conn(),
            Row,
            "SELECT m.agent_id, m.at, m.sample FROM cluster_metrics m JOIN
                (SELECT agent_id, MAX(at) AS at FROM cluster_metrics
                 WHERE team_id = $1 AND resolution_s = 10 AND at BETWEEN $2 AND $3 GROUP BY agent_id) latest
             ON m.agent_id = latest.agent_id AND m.at = latest.at
             WHERE m.resolution_s = 10 ORDER BY m.agent_id",
            tenant.team().uuid(),
            now - LATEST_WITHIN,
            now + AHEAD
        )?;
        rows.into_iter().map(StoredSample::try_from).collect()
    }

    /// The same of all agents of the installation.
    pub async fn metrics_latest_all(&self) -> Result<Vec<StoredSample>> {
        let now = self.now().await?.timestamp();
        let mut reader = self.telemetry().read().await?;
        let rows = all!(
            reader.conn(),
            Row,
            "SELECT m.agent_id, m.at, m.sample FROM cluster_metrics m JOIN
                (SELECT agent_id, MAX(at) AS at FROM cluster_metrics
                 WHERE resolution_s = 10 AND at BETWEEN $1 AND $2 GROUP BY agent_id) latest
             ON m.agent_id = latest.agent_id AND m.at = latest.at
             WHERE m.resolution_s = 10 ORDER BY m.agent_id",
            now - LATEST_WITHIN,
            now + AHEAD
        )?;
        rows.into_iter().map(StoredSample::try_from).collect()
    }

    async fn agent_of(&self, tenant: &Tenant, target: TargetId) -> Result<Option<AgentId>> {
        let mut reader = self.main().read().await?;
        let row = optional!(
            reader.conn(),
            (Option<Uuid>,),
            "SELECT agent_id FROM deployment_targets WHERE id = $1 AND team_id = $2",
            target.uuid(),
            tenant.team().uuid()
        )?;
        let (agent,) = row.ok_or(StoreError::NotFound(Resource::Target))?;
        Ok(agent.map(AgentId::from))
    }

    async fn read_plan(&self, agent: AgentId, plan: &Plan) -> Result<Vec<StoredSample>> {
        let mut curve = Curve::new(agent, plan.step);
        for piece in &plan.pieces {
            self.read_piece(&mut curve, *piece).await?;
        }
        curve.finish()
    }

    async fn read_piece(&self, curve: &mut Curve, mut piece: Piece) -> Result<()> {
        let mut reader = self.telemetry().read().await?;
        loop {
            let rows = all!(
                reader.conn(),
                Row,
                "SELECT agent_id, at, sample FROM cluster_metrics
                 WHERE agent_id = $1 AND resolution_s = $2 AND at >= $3 AND at < $4 ORDER BY at LIMIT $5",
                curve.agent.uuid(),
                piece.resolution.seconds(),
                piece.span.from,
                piece.span.to,
                ROWS
            )?;
            let Some(last) = rows.last() else {
                return Ok(());
            };
            piece.span.from = last.at + 1;
            for row in rows {
                curve.add(&row, piece.resolution)?;
            }
        }
    }
}

impl TryFrom<Row> for StoredSample {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            agent: row.agent_id.into(),
            at: moment(row.at)?,
            sample: encoding::decode(&row.sample)?,
        })
    }
}

/// Rows in the order of time, as samples of equal steps.
struct Curve {
    agent: AgentId,
    step: i64,
    at: i64,
    average: Average,
    samples: Vec<StoredSample>,
}

impl Curve {
    fn new(agent: AgentId, step: i64) -> Self {
        Self {
            agent,
            step,
            at: i64::MIN,
            average: Average::default(),
            samples: Vec::new(),
        }
    }

    fn add(&mut self, row: &Row, resolution: Resolution) -> Result<()> {
        let at = row.at - row.at.rem_euclid(self.step);
        if at != self.at {
            self.end_step()?;
            self.at = at;
        }
        self.average
            .add(encoding::decode(&row.sample)?, resolution.seconds());
        Ok(())
    }

    fn end_step(&mut self) -> Result<()> {
        if let Some(sample) = std::mem::take(&mut self.average).finish(self.at) {
            self.samples.push(StoredSample {
                agent: self.agent,
                at: moment(self.at)?,
                sample,
            });
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<StoredSample>> {
        self.end_step()?;
        Ok(self.samples)
    }
}

fn span(from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Span> {
    if from < to {
        // A part of a second counts.
        return Ok(Span {
            from: from.timestamp(),
            to: to.timestamp() + 1,
        });
    }
    Err(StoreError::Invalid {
        field: "to",
        message: "the span of time ends before it begins".to_owned(),
        remedy: "give a `to` that is later than `from`".to_owned(),
    })
}

fn moment(at: i64) -> Result<DateTime<Utc>> {
    DateTime::from_timestamp(at, 0)
        .ok_or_else(|| StoreError::Damaged(format!("{at} is no moment in Unix seconds")))
}
