//! What has happened, queued for the plugins that are told of it, in the transaction in which it happens.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use towline_shared::ids::{DeploymentId, ProjectId, TeamId};
use uuid::Uuid;

use super::db::{Tx, all};
use super::plugins::has_hook;
use super::{DeploymentKind, Result, deployments, plugin_runs};
use crate::domain::plugin::Hook;
use crate::job::JobState;

/// The hook of a deployment that has ended so.
pub(super) const fn of_end(state: JobState) -> Option<Hook> {
    match state {
        JobState::Succeeded => Some(Hook::AfterDeploy),
        JobState::Failed => Some(Hook::FailedDeploy),
        _ => None,
    }
}

/// The hook of a build whose job has ended so before its step was over.
pub(super) const fn of_build_end(state: JobState) -> Option<Hook> {
    match state {
        JobState::Succeeded => Some(Hook::AfterBuild),
        JobState::Failed => Some(Hook::FailedBuild),
        _ => None,
    }
}

/// Tells of a deployment. That a project was taken away is none.
pub(super) async fn deployment(
    tx: &mut Tx,
    team: TeamId,
    id: DeploymentId,
    hook: Hook,
    now: DateTime<Utc>,
) -> Result<()> {
    let told = told(tx, team, hook).await?;
    if told.is_empty() {
        return Ok(());
    }
    let shown = deployments::in_transaction(tx, id).await?;
    if shown.kind != DeploymentKind::Deploy {
        return Ok(());
    }
    let project = shown.project.id.into();
    queue(tx, &told, hook, Some(project), json!(shown), now).await
}

/// Tells of a project that was made.
pub(super) async fn project_made(
    tx: &mut Tx,
    team: TeamId,
    project: ProjectId,
    name: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    let told = told(tx, team, Hook::AfterProject).await?;
    let data = json!({ "project": { "id": project, "name": name } });
    queue(tx, &told, Hook::AfterProject, Some(project), data, now).await
}

/// Tells of a project that was refused.
pub(super) async fn project_refused(
    tx: &mut Tx,
    team: TeamId,
    name: &str,
    why: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    let told = told(tx, team, Hook::FailedProject).await?;
    let data = json!({ "project": { "name": name }, "why": why });
    queue(tx, &told, Hook::FailedProject, None, data, now).await
}

/// Those that are switched on; they stay so until the commit, so that what is queued for one is seen by who switches it
/// off.
async fn told(tx: &mut Tx, team: TeamId, hook: Hook) -> Result<Vec<Uuid>> {
    let conn = tx.conn();
    let sql = conn.pick(
        "SELECT id, hooks FROM custom_plugins WHERE team_id = $1 AND state = 'enabled' ORDER BY id",
        "SELECT id, hooks FROM custom_plugins WHERE team_id = $1 AND state = 'enabled' ORDER BY id FOR SHARE",
    );
    let all = all!(conn, (Uuid, String), sql, team.uuid())?;
    let told = all.into_iter().filter(|(_, hooks)| has_hook(hooks, hook));
    Ok(told.map(|(id, _)| id).collect())
}

async fn queue(
    tx: &mut Tx,
    told: &[Uuid],
    hook: Hook,
    project: Option<ProjectId>,
    data: Value,
    now: DateTime<Utc>,
) -> Result<()> {
    let body = request(hook.as_str(), now, data);
    for plugin in told {
        plugin_runs::queue(tx, *plugin, hook.as_str(), project, &body, now).await?;
    }
    Ok(())
}

/// What a plugin is sent.
pub(crate) fn request(kind: &str, at: DateTime<Utc>, data: Value) -> String {
    let mut body = json!({ "type": kind, "timestamp": at });
    body["data"] = data;
    body.to_string()
}
