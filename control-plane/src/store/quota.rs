//! What a team's plan allows. The check and the row it guards are one transaction. Where there is a limit,
//! the team's row stays locked until the commit: two racers at the limit come one after the other.
//! Unlimited plans lock nothing.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use towline_shared::ids::{TeamId, UserId};

use super::db::{Tx, one};
use super::members::lock_team;
use super::plans::{self, Plan};
use super::usage::{self, Day, Metric};
use super::{Result, StoreError, counted, teams};

/// A refusal: the plan allows no more of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaExceeded {
    /// The name of the plan.
    pub plan: String,
    /// What is limited.
    pub quota: Quota,
    /// How many the plan allows.
    pub limit: u64,
    /// How many there are.
    pub used: u64,
    /// When the count begins anew; never by itself for projects.
    pub resets_at: Option<DateTime<Utc>>,
}

/// What a plan limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quota {
    /// The projects of a team.
    Projects,
    /// The deployments of a team on a UTC day.
    DeploymentsPerDay,
    /// The teams that belong to a person.
    Teams,
}

impl fmt::Display for QuotaExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            plan, limit, used, ..
        } = self;
        match self.quota {
            Quota::Projects => write!(
                f,
                "the plan {plan} allows {limit} projects, and there are {used}"
            ),
            Quota::Teams => write!(
                f,
                "the plan {plan} allows {limit} teams of a person, and there are {used}"
            ),
            Quota::DeploymentsPerDay => write!(
                f,
                "the plan {plan} allows {limit} deployments per day, and there were {used} today"
            ),
        }
    }
}

impl std::error::Error for QuotaExceeded {}

impl QuotaExceeded {
    /// What to do.
    pub fn remedy(&self) -> String {
        match self.resets_at {
            None => "delete one that is not used any more, or change the plan".to_owned(),
            Some(_) if self.limit == 0 => "change the plan".to_owned(),
            Some(at) => format!(
                "ask again at {} or later, or change the plan",
                at.to_rfc3339_opts(SecondsFormat::Secs, true)
            ),
        }
    }
}

/// Another one is allowed, and with it most of what the plan allows is used, or all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Nearing {
    quota: Quota,
    limit: u64,
    used: u64,
    /// When the count begins anew.
    pub(crate) resets_at: Option<DateTime<Utc>>,
}

impl fmt::Display for Nearing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, used, .. } = self;
        match self.quota {
            Quota::Projects => {
                write!(
                    f,
                    "{used} of the {limit} projects that the plan allows are there"
                )
            }
            Quota::Teams => write!(
                f,
                "{used} of the {limit} teams that the plan allows are there"
            ),
            Quota::DeploymentsPerDay => write!(
                f,
                "{used} of the {limit} deployments that the plan allows today are used"
            ),
        }
    }
}

/// Refuses another project beyond the plan of the team's owner.
pub(crate) async fn check_projects(tx: &mut Tx, team: TeamId) -> Result<Option<Nearing>> {
    let plan = plans::of_team(tx.conn(), team).await?;
    let Some(limit) = plan.max_projects else {
        return Ok(None);
    };
    lock_team(tx, team).await?;
    let (used,) = one!(tx.conn(), (i64,), plans::PROJECTS, team.uuid())?;
    allow(&plan, Quota::Projects, limit, counted(used), None)
}

/// Refuses another deployment of this UTC day beyond the plan of the team's owner.
pub(crate) async fn check_deployments(
    tx: &mut Tx,
    team: TeamId,
    now: DateTime<Utc>,
) -> Result<Option<Nearing>> {
    let plan = plans::of_team(tx.conn(), team).await?;
    let Some(limit) = plan.max_deployments_per_day else {
        return Ok(None);
    };
    lock_team(tx, team).await?;
    let today = Day::of(now);
    let used = usage::used(tx, team.uuid(), Metric::Deployments, today).await?;
    let resets_at = Some(today.end());
    allow(&plan, Quota::DeploymentsPerDay, limit, used, resets_at)
}

/// Refuses another team beyond the plan of the person whose it would be.
pub(super) async fn check_teams(tx: &mut Tx, owner: UserId) -> Result<()> {
    let plan = plans::of_person(tx.conn(), owner).await?;
    let Some(limit) = plan.max_teams else {
        return Ok(());
    };
    let used = teams::count_of(tx, owner).await?;
    allow(&plan, Quota::Teams, limit, counted(used), None)?;
    Ok(())
}

fn allow(
    plan: &Plan,
    quota: Quota,
    limit: i64,
    used: u64,
    resets_at: Option<DateTime<Utc>>,
) -> Result<Option<Nearing>> {
    let limit = counted(limit);
    if used < limit {
        let used = used + 1;
        let nearing = Nearing {
            quota,
            limit,
            used,
            resets_at,
        };
        return Ok(Some(nearing).filter(|_| is_near(used, limit)));
    }
    Err(StoreError::QuotaExceeded(QuotaExceeded {
        plan: plan.name.clone(),
        quota,
        limit,
        used,
        resets_at,
    }))
}

/// People are told twice: at four fifths, rounded up, and at the last one. Of a limit below five they need no warning.
const fn is_near(used: u64, limit: u64) -> bool {
    limit >= 5 && (used == limit || used == (limit * 4).div_ceil(5))
}

#[cfg(test)]
mod tests {
    use super::is_near;

    #[test]
    fn a_limit_is_near_twice() {
        for (limit, near) in [
            (0, vec![]),
            (4, vec![]),
            (5, vec![4, 5]),
            (10, vec![8, 10]),
            (50, vec![40, 50]),
            (51, vec![41, 51]),
        ] {
            let found: Vec<u64> = (1..=limit).filter(|used| is_near(*used, limit)).collect();
            assert_eq!(found, near, "{limit}");
        }
    }
}
