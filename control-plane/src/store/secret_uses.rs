//! Which deployment was given which value of which secret.
//!
//! What a job is given is settled when it is claimed, in the transaction that claims it, and stays so
//! until it is queued again: an agent that restarts in the middle gets the very same values.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use towline_shared::ids::{DeploymentId, JobId, ProjectId};
use towline_shared::spec::Secret;
use utoipa::ToSchema;
use uuid::Uuid;

use super::db::{Tx, all, execute};
use super::deployments::Named;
use super::jobs::JobRow;
use super::secrets::place;
use super::{Result, Store, StoreError, Tenant};

/// A deployment that runs with a former value of a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct OutdatedUse {
    /// The deployment.
    #[schema(value_type = Uuid)]
    pub deployment_id: DeploymentId,
    /// Where it runs.
    pub target: Named,
    /// The version of the secret that it was given.
    pub version: i64,
}

#[derive(sqlx::FromRow)]
struct UseRow {
    secret_id: Uuid,
    version: i64,
    deployment_id: Uuid,
    target_id: Uuid,
    target_name: String,
}

#[derive(sqlx::FromRow)]
struct Given {
    secret_id: Uuid,
    key: String,
    version: i64,
    value_encrypted: Vec<u8>,
    key_version: i64,
}

/// Whether a secret is for a deployment: by the scope of what that is, and that of pipelines for what is made of a commit.
macro_rules! is_for {
    ($secret:literal) => {
        concat!(
            $secret,
            ".environment IN ('', COALESCE(d.environment, '')) AND (",
            $secret,
            ".scope = CASE d.kind WHEN 'build' THEN 'build' ELSE 'deploy' END OR (",
            $secret,
            ".scope = 'pipeline' AND r.source IS NOT NULL))"
        )
    };
}

/// How near a secret is to what a deployment asks for: its scope first, then its environment.
macro_rules! nearness {
    ($secret:literal) => {
        concat!(
            "(CASE ",
            $secret,
            ".scope WHEN 'pipeline' THEN 0 ELSE 2 END + CASE ",
            $secret,
            ".environment WHEN '' THEN 0 ELSE 1 END)"
        )
    };
}

/// Of each name the nearest.
const GIVE: &str = concat!(
    "INSERT INTO deployment_secrets (deployment_id, secret_id, key, scope, environment, version, created_at)
     SELECT d.id, s.id, s.key, s.scope, s.environment, s.version, $2
     FROM deployments d LEFT JOIN releases r ON r.id = d.release_id JOIN secrets s ON s.project_id = d.project_id
     WHERE d.id = $1 AND ",
    is_for!("s"),
    " AND NOT EXISTS (SELECT 1 FROM secrets n WHERE n.project_id = s.project_id AND n.key = s.key AND ",
    is_for!("n"),
    " AND ",
    nearness!("n"),
    " > ",
    nearness!("s"),
    ")"
);

/// The values as they were when the job was claimed.
const GIVEN: &str = "SELECT u.secret_id, u.key, u.version, s.value_encrypted, s.key_version
     FROM jobs j JOIN deployment_secrets u ON u.deployment_id = j.deployment_id
     JOIN secrets s ON s.id = u.secret_id AND s.version = u.version WHERE j.id = $1
     UNION ALL
     SELECT u.secret_id, u.key, u.version, v.value_encrypted, v.key_version
     FROM jobs j JOIN deployment_secrets u ON u.deployment_id = j.deployment_id
     JOIN secret_versions v ON v.secret_id = u.secret_id AND v.version = u.version WHERE j.id = $1
     ORDER BY 2";

/// The names of a deployment's secrets that the build for it is not given.
const WITHHELD: &str = "SELECT DISTINCT s.key FROM jobs j JOIN deployments d ON d.id = j.deployment_id
     JOIN secrets s ON s.project_id = d.project_id
     WHERE j.id = $1 AND j.builds_for IS NOT NULL AND s.scope = 'deploy' AND s.environment IN ('', COALESCE(d.environment, ''))";

/// What stands for the value of a secret that a build is not given: the compose file may insist that there is one.
const NO_VALUE: &str = "not-given-to-builds";

/// What runs on a target is what last succeeded there, and what is under way; it is looked for target
/// by target, so that the number of former deployments does not matter.
const OUTDATED: &str = "SELECT u.secret_id, u.version, d.id AS deployment_id, t.id AS target_id, t.name AS target_name
     FROM deployment_targets t
     JOIN deployments d ON d.id = (SELECT x.id FROM deployments x
        WHERE x.project_id = $1 AND x.target_id = t.id AND x.status = 'succeeded' AND x.kind NOT IN ('build', 'preview') ORDER BY x.id DESC LIMIT 1)
     JOIN deployment_secrets u ON u.deployment_id = d.id
     JOIN secrets s ON s.id = u.secret_id AND s.version > u.version
     WHERE t.team_id = $2 AND d.kind = 'deploy'
     UNION ALL
     SELECT u.secret_id, u.version, d.id AS deployment_id, t.id AS target_id, t.name AS target_name
     FROM deployments d JOIN deployment_targets t ON t.id = d.target_id
     JOIN deployment_secrets u ON u.deployment_id = d.id
     JOIN secrets s ON s.id = u.secret_id AND s.version > u.version
     WHERE d.project_id = $1 AND d.kind = 'deploy' AND d.status IN ('offered', 'accepted', 'running', 'unknown')
     ORDER BY 5, 3";

/// Former values that nobody needs: neither is one of the newest ($2), nor does something run with it.
const FORGET: &str = "DELETE FROM secret_versions WHERE secret_id = $1 AND version <= $2
     AND NOT EXISTS (SELECT 1 FROM deployment_secrets u JOIN deployments d ON d.id = u.deployment_id
        WHERE u.secret_id = secret_versions.secret_id AND u.version = secret_versions.version
            AND (d.status IN ('offered', 'accepted', 'running', 'unknown') OR (d.status = 'succeeded'
                AND NOT EXISTS (SELECT 1 FROM deployments n WHERE n.project_id = d.project_id
                    AND n.target_id = d.target_id AND n.status = 'succeeded' AND n.kind NOT IN ('build', 'preview') AND n.id > d.id))))";

impl Store {
    /// All that the agent needs which does a job: the values that it was given, and by what its source is read.
    pub(super) async fn job_secrets(&self, job: JobId) -> Result<Vec<Secret>> {
        let (mut secrets, withheld, source) = tokio::try_join!(
            self.given_secrets(job),
            Box::pin(self.withheld_secrets(job)),
            Box::pin(self.source_secret(job))
        )?;
        for name in withheld {
            if !secrets.iter().any(|given| given.name == name) {
                let value = NO_VALUE.to_owned();
                secrets.push(Secret { name, value });
            }
        }
        secrets.extend(source);
        Ok(secrets)
    }

    async fn withheld_secrets(&self, job: JobId) -> Result<Vec<String>> {
        let mut reader = self.main().read().await?;
        let rows = all!(reader.conn(), (String,), WITHHELD, job.uuid())?;
        Ok(rows.into_iter().map(|(name,)| name).collect())
    }

    /// The values that a job was given.
    async fn given_secrets(&self, job: JobId) -> Result<Vec<Secret>> {
        let mut reader = self.main().read().await?;
        let rows = all!(reader.conn(), Given, GIVEN, job.uuid())?;
        drop(reader);
        let mut secrets = Vec::with_capacity(rows.len());
        for row in rows {
            secrets.push(self.open_given(row).await?);
        }
        Ok(secrets)
    }

    async fn open_given(&self, row: Given) -> Result<Secret> {
        let value = self
            .unseal(
                place(row.secret_id, row.version),
                row.key_version,
                &row.value_encrypted,
            )
            .await?;
        let value = std::str::from_utf8(&value)
            .map_err(|_| StoreError::Damaged(format!("the secret {} is no text", row.key)))?;
        Ok(Secret {
            name: row.key,
            value: value.to_owned(),
        })
    }

    /// What of a project runs with former values, by secret.
    pub(super) async fn outdated_uses(
        &self,
        tenant: &Tenant,
        project: ProjectId,
    ) -> Result<HashMap<Uuid, Vec<OutdatedUse>>> {
        let mut reader = self.main().read().await?;
        let (project, team) = (project.uuid(), tenant.team().uuid());
        let rows = all!(reader.conn(), UseRow, OUTDATED, project, team)?;
        let mut uses: HashMap<Uuid, Vec<OutdatedUse>> = HashMap::new();
        for row in rows {
            uses.entry(row.secret_id).or_default().push(OutdatedUse {
                deployment_id: row.deployment_id.into(),
                target: Named {
                    id: row.target_id,
                    name: row.target_name,
                },
                version: row.version,
            });
        }
        Ok(uses)
    }
}

/// Settles what a job is given that is claimed now, as it was before.
pub(super) async fn give(tx: &mut Tx, job: &JobRow, now: DateTime<Utc>) -> Result<()> {
    let deployment = job.deployment_id;
    if job.fence_epoch > 0 {
        // What it was given when it was claimed before.
        let sql = "DELETE FROM deployment_secrets WHERE deployment_id = $1";
        execute!(tx.conn(), sql, deployment)?;
    }
    execute!(tx.conn(), GIVE, deployment, now)?;
    Ok(())
}

/// Forgets the former values of a secret up to a version, but for those that something runs with.
pub(super) async fn forget(tx: &mut Tx, secret: Uuid, up_to: i64) -> Result<()> {
    execute!(tx.conn(), FORGET, secret, up_to)?;
    Ok(())
}
