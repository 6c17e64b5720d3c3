//! Builds of images, as the steps of jobs tell of them: how many, and how long.

use chrono::{DateTime, Utc};
use towline_shared::outcome::Step;

use super::db::{Tx, execute};
use super::jobs::JobRow;
use super::usage::{self, Metric};
use super::{Result, plugin_events};
use crate::domain::plugin::Hook;

/// The agent of a locked job has come to a step: a build begins, goes on, or has ended.
pub(super) async fn come_to(
    tx: &mut Tx,
    row: &JobRow,
    step: Step,
    now: DateTime<Utc>,
) -> Result<()> {
    match (step, row.building_since) {
        (Step::Building, None) => {
            mark(tx, row, Some(now)).await?;
            usage::add(tx, row.deployment(), Metric::Builds, 1, now).await
        }
        // The step is told again.
        (Step::Building, Some(_)) => Ok(()),
        (
            Step::Preparing
            | Step::Cloning
            | Step::Applying
            | Step::Verifying
            | Step::Removing
            | Step::Publishing
            | Step::Receiving
            | Step::Pruning,
            _,
        ) => {
            end(tx, row, now).await?;
            tell_of_end(tx, row, Some(Hook::AfterBuild), now).await
        }
    }
}

/// The build of a locked job has ended, if there was one: with its step, or with the attempt.
pub(super) async fn end(tx: &mut Tx, row: &JobRow, now: DateTime<Utc>) -> Result<()> {
    let Some(since) = row.building_since else {
        return Ok(());
    };
    mark(tx, row, None).await?;
    let seconds = begun_seconds(since, now);
    usage::add(tx, row.deployment(), Metric::BuildSeconds, seconds, now).await
}

/// Tells plugins of the build of a locked job, if there was one.
pub(super) async fn tell_of_end(
    tx: &mut Tx,
    row: &JobRow,
    hook: Option<Hook>,
    now: DateTime<Utc>,
) -> Result<()> {
    let (Some(hook), Some(_)) = (hook, row.building_since) else {
        return Ok(());
    };
    plugin_events::deployment(tx, row.team_id.into(), row.asked_for(), hook, now).await
}

/// A second that was begun is one. A clock that was set back has measured nothing.
fn begun_seconds(since: DateTime<Utc>, now: DateTime<Utc>) -> u64 {
    let passed = (now - since).num_microseconds().unwrap_or(0);
    u64::try_from(passed).unwrap_or(0).div_ceil(1_000_000)
}

async fn mark(tx: &mut Tx, row: &JobRow, since: Option<DateTime<Utc>>) -> Result<()> {
    let sql = "UPDATE jobs SET building_since = $2 WHERE id = $1";
    execute!(tx.conn(), sql, row.id, since)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn a_second_that_was_begun_is_one() {
        let table = [
            (-5_000_000, 0),
            (0, 0),
            (1, 1),
            (1_000_000, 1),
            (1_000_001, 2),
        ];
        for (microseconds, seconds) in table {
            let since = DateTime::UNIX_EPOCH;
            let now = since + TimeDelta::microseconds(microseconds);
            assert_eq!(begun_seconds(since, now), seconds, "{microseconds}");
        }
    }
}
