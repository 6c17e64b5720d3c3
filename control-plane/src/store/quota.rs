//! What a team's plan allows. The check and the row it guards are one transaction.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use towline_shared::ids::TeamId;

use super::db::{Tx, one, optional};
use super::{Result, StoreError};

const DAY: TimeDelta = TimeDelta::days(1);

/// Refuses another project beyond the plan of the team's owner.
pub(crate) async fn check_projects(tx: &mut Tx, team: TeamId) -> Result<()> {
    let limits = lock_limits(tx, team).await?;
    let Some(limit) = limits.projects else {
        return Ok(());
    };
    let (count,) = one!(
        tx.conn(),
        (i64,),
        "SELECT COUNT(*) FROM projects WHERE team_id = $1",
        team.uuid()
    )?;
    if count < limit {
        return Ok(());
    }
    Err(StoreError::Conflict {
        message: format!("the plan allows {limit} projects, and there are {count}"),
        remedy: "delete one that is not used any more, or change the plan".to_owned(),
    })
}

/// Refuses another deployment of a day beyond the plan of the team's owner.
pub(crate) async fn check_deployments(tx: &mut Tx, team: TeamId, now: DateTime<Utc>) -> Result<()> {
    let limits = lock_limits(tx, team).await?;
    let Some(limit) = limits.deployments_per_day else {
        return Ok(());
    };
    let refuse = |remedy: String| {
        Err(StoreError::Conflict {
            message: format!(
                "the plan allows {limit} deployments in 24 hours, and there were as many"
            ),
            remedy,
        })
    };
    if limit == 0 {
        return refuse("change the plan".to_owned());
    }
    // Of as many as are allowed the oldest: when it is a day old, there is room for another.
    let oldest = optional!(
        tx.conn(),
        (DateTime<Utc>,),
        "SELECT created_at FROM deployments WHERE team_id = $1 AND created_at > $2
         ORDER BY created_at DESC LIMIT 1 OFFSET $3",
        team.uuid(),
        now - DAY,
        limit - 1
    )?;
    match oldest {
        None => Ok(()),
        Some((oldest,)) => refuse(format!(
            "ask again at {} or later, or change the plan",
            (oldest + DAY).to_rfc3339_opts(SecondsFormat::Secs, true)
        )),
    }
}

struct Limits {
    projects: Option<i64>,
    deployments_per_day: Option<i64>,
}

/// Where there is a limit, the team's row stays locked until the commit: two racers at the limit
/// come one after the other. Unlimited plans lock nothing.
async fn lock_limits(tx: &mut Tx, team: TeamId) -> Result<Limits> {
    let (projects, deployments_per_day) = one!(
        tx.conn(),
        (Option<i64>, Option<i64>),
        "SELECT p.max_projects, p.max_deployments_per_day FROM teams t JOIN users u ON u.id = t.owner_id
         JOIN plans p ON p.id = u.plan_id WHERE t.id = $1",
        team.uuid()
    )?;
    if projects.is_some() || deployments_per_day.is_some() {
        let conn = tx.conn();
        let sql = conn.pick(
            "SELECT 1 FROM teams WHERE id = $1",
            "SELECT CAST(1 AS BIGINT) FROM teams WHERE id = $1 FOR NO KEY UPDATE",
        );
        one!(conn, (i64,), sql, team.uuid())?;
    }
    Ok(Limits {
        projects,
        deployments_per_day,
    })
}
