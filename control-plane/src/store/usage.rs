//! What a team has used, counted by UTC days.
//!
//! A counter belongs to a team, a project, a metric and a day. It rises in the transaction that uses
//! what it counts, so that what is refused or taken back counts nothing and what is repeated counts
//! once. It outlives its project: deleting one gives nothing back.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::Serialize;
use towline_shared::ids::DeploymentId;
use utoipa::ToSchema;
use uuid::Uuid;

use super::db::{Tx, all, execute, now, one, optional};
use super::plans::{self, Plan};
use super::{Result, Store, Tenant, counted, stored};

/// How long counters are kept: thirteen months, so that a month has its like of the year before.
pub(super) const KEPT_FOR: TimeDelta = TimeDelta::days(400);

pub(super) const ADD: &str = "INSERT INTO usage_metrics
        (id, team_id, user_id, project_id, metric_type, count, period_start, period_end, created_at, updated_at)
     SELECT $1, d.team_id, t.owner_id, d.project_id, $3, $4, $5, $6, $7, $7
     FROM deployments d JOIN teams t ON t.id = d.team_id WHERE d.id = $2
     ON CONFLICT (team_id, period_start, metric_type, project_id)
     DO UPDATE SET count = usage_metrics.count + excluded.count, updated_at = excluded.updated_at";
pub(super) const USED: &str = "SELECT CAST(COALESCE(SUM(count), 0) AS BIGINT) FROM usage_metrics
     WHERE team_id = $1 AND period_start = $2 AND metric_type = $3";
/// One row a day, from the day before `$2` backwards.
pub(super) const DAYS: &str = "SELECT period_start,
        CAST(SUM(CASE WHEN metric_type = 'deployments' THEN count ELSE 0 END) AS BIGINT) AS deployments,
        CAST(SUM(CASE WHEN metric_type = 'builds' THEN count ELSE 0 END) AS BIGINT) AS builds,
        CAST(SUM(CASE WHEN metric_type = 'build_seconds' THEN count ELSE 0 END) AS BIGINT) AS build_seconds,
        CAST(SUM(CASE WHEN metric_type = 'log_bytes' THEN count ELSE 0 END) AS BIGINT) AS log_bytes
     FROM usage_metrics WHERE team_id = $1 AND period_start < $2 AND period_start >= $3
     GROUP BY period_start ORDER BY period_start DESC LIMIT $4";
pub(super) const FORGET: &str = "DELETE FROM usage_metrics WHERE period_end < $1";

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Metric {
    /// Deployments that were queued; removals are none.
    Deployments,
    /// Times that an agent began to build a deployment's images.
    Builds,
    /// How long that took, in seconds; a second that was begun is one.
    BuildSeconds,
    /// Bytes of the logs of jobs that have ended, as they are stored.
    LogBytes,
}

impl Metric {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Deployments => "deployments",
            Self::Builds => "builds",
            Self::BuildSeconds => "build_seconds",
            Self::LogBytes => "log_bytes",
        }
    }
}

/// A day in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Day(NaiveDate);

impl Day {
    pub(crate) fn of(at: DateTime<Utc>) -> Self {
        Self(at.date_naive())
    }

    /// Its first moment.
    pub(crate) fn start(self) -> DateTime<Utc> {
        self.0.and_time(chrono::NaiveTime::MIN).and_utc()
    }

    /// The first moment after it.
    pub(crate) fn end(self) -> DateTime<Utc> {
        self.start() + TimeDelta::days(1)
    }
}

/// Counts what a deployment uses. On PostgreSQL the counter's row stays locked until the commit: to be
/// called late, before the audit.
pub(crate) async fn add(
    tx: &mut Tx,
    deployment: DeploymentId,
    metric: Metric,
    count: u64,
    now: DateTime<Utc>,
) -> Result<()> {
    if count == 0 {
        return Ok(());
    }
    let day = Day::of(now);
    execute!(
        tx.conn(),
        ADD,
        Uuid::now_v7(),
        deployment.uuid(),
        metric.as_str(),
        stored(count),
        day.start(),
        day.end(),
        now
    )?;
    Ok(())
}

/// What a team has used of a metric on a day.
pub(super) async fn used(tx: &mut Tx, team: Uuid, metric: Metric, day: Day) -> Result<u64> {
    let (used,) = one!(tx.conn(), (i64,), USED, team, day.start(), metric.as_str())?;
    Ok(counted(used))
}

/// What a team uses, beside what its plan allows.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Usage {
    /// The plan of the team's owner, with its limits.
    pub plan: Plan,
    /// How many projects there are; at most the plan's `max_projects`.
    pub projects: u64,
    /// Today; its `deployments` are at most the plan's `max_deployments_per_day`.
    pub current: UsagePeriod,
    /// The days before on which something was used, newest first.
    pub items: Vec<UsagePeriod>,
    /// Give this as `cursor` for the next page; absent on the last one.
    pub next_cursor: Option<NaiveDate>,
}

/// What was used on a UTC day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct UsagePeriod {
    /// Its first moment.
    pub period_start: DateTime<Utc>,
    /// The first moment after it, when the daily quota begins anew.
    pub period_end: DateTime<Utc>,
    /// Deployments that were queued. Removals do not count, nor do refused ones.
    pub deployments: u64,
    /// How often an agent began to build images.
    pub builds: u64,
    /// How long it built, in seconds; counted on the day of a build's end.
    pub build_seconds: u64,
    /// Bytes of the logs of deployments that ended, compressed as they are stored.
    pub log_bytes: u64,
}

/// Which of the past days are wanted.
#[derive(Clone, Copy, Debug)]
pub struct PastDays {
    /// How many at most.
    pub limit: u32,
    /// Days before this one only.
    pub before: Option<NaiveDate>,
}

#[derive(sqlx::FromRow)]
struct Row {
    period_start: DateTime<Utc>,
    deployments: i64,
    builds: i64,
    build_seconds: i64,
    log_bytes: i64,
}

impl UsagePeriod {
    fn none(day: Day) -> Self {
        Self {
            period_start: day.start(),
            period_end: day.end(),
            deployments: 0,
            builds: 0,
            build_seconds: 0,
            log_bytes: 0,
        }
    }
}

impl From<Row> for UsagePeriod {
    fn from(row: Row) -> Self {
        Self {
            deployments: counted(row.deployments),
            builds: counted(row.builds),
            build_seconds: counted(row.build_seconds),
            log_bytes: counted(row.log_bytes),
            ..Self::none(Day::of(row.period_start))
        }
    }
}

impl Store {
    /// What the team uses today and has used before, beside its plan.
    pub async fn usage(&self, tenant: &Tenant, past: PastDays) -> Result<Usage> {
        let team = tenant.team().uuid();
        let mut reader = self.main().read().await?;
        let today = Day::of(now(reader.conn()).await?);
        let plan = plans::of_team(reader.conn(), tenant.team()).await?;
        let (projects,) = one!(reader.conn(), (i64,), plans::PROJECTS, team)?;
        let (start, end) = (today.start(), today.end());
        let current = optional!(reader.conn(), Row, DAYS, team, end, start, 1_i64)?;
        let before = past.before.map_or(start, |day| Day(day).start().min(start));
        let limit = past.limit as usize;
        let rows = all!(
            reader.conn(),
            Row,
            DAYS,
            team,
            before,
            DateTime::UNIX_EPOCH,
            i64::from(past.limit) + 1
        )?;
        let has_more = rows.len() > limit;
        let items: Vec<UsagePeriod> = rows.into_iter().take(limit).map(Into::into).collect();
        let last = items.last().filter(|_| has_more);
        Ok(Usage {
            plan,
            projects: counted(projects),
            current: current.map_or_else(|| UsagePeriod::none(today), Into::into),
            next_cursor: last.map(|period| period.period_start.date_naive()),
            items,
        })
    }
}
