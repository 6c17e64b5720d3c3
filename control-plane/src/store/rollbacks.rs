//! What ran on a target, and with what: as a rollback needs it.

use std::collections::BTreeMap;

use sqlx::types::Json;
use towline_shared::ids::{DeploymentId, ProjectId, ReleaseId, TargetId};
use uuid::Uuid;

use super::db::{all, optional};
use super::deployments::{Image, Named};
use super::{Result, Store, Tenant};
use crate::domain::rollback::{Left, Past};

/// How far back the release before the present one is looked for.
const LOOKED_AT: i64 = 200;

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    kind: String,
    release_id: Option<Uuid>,
    images: Option<Json<Vec<Image>>>,
    rollback_of: Option<Uuid>,
}

impl From<Row> for Past {
    fn from(row: Row) -> Self {
        let images = row.images.map(|Json(images)| images).unwrap_or_default();
        let mut images: Vec<_> = images
            .into_iter()
            .map(|image| (image.service, image.id))
            .collect();
        images.sort();
        Self {
            id: row.id.into(),
            left: match row.kind.as_str() {
                "remove" => Left::Nothing,
                _ => Left::Release {
                    release: row.release_id.map(Into::into),
                    images,
                },
            },
            rollback_of: row.rollback_of.map(Into::into),
        }
    }
}

/// A secret that a deployment was given and that is another now.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct ChangedSecret {
    pub(crate) key: String,
    /// Empty for all environments.
    pub(crate) environment: String,
    /// What it was given.
    pub(crate) version: i64,
    /// What there is now; nothing when it is gone.
    pub(crate) present: Option<i64>,
}

impl Store {
    /// The targets on which something of a project has succeeded.
    pub(crate) async fn deployed_targets(
        &self,
        tenant: &Tenant,
        project: ProjectId,
    ) -> Result<Vec<Named>> {
        let mut reader = self.main().read().await?;
        let rows = all!(
            reader.conn(),
            (Uuid, String),
            "SELECT t.id, t.name FROM deployment_targets t WHERE t.team_id = $2 AND EXISTS (SELECT 1 FROM deployments d
                WHERE d.project_id = $1 AND d.target_id = t.id AND d.status = 'succeeded' AND d.kind NOT IN ('build', 'preview'))
             ORDER BY t.name",
            project.uuid(),
            tenant.team().uuid()
        )?;
        Ok(rows
            .into_iter()
            .map(|(id, name)| Named { id, name })
            .collect())
    }

    /// The newest deployment of a project that has begun on a target, and those that succeeded there, the newest first.
    pub(crate) async fn past_of(
        &self,
        tenant: &Tenant,
        project: ProjectId,
        target: TargetId,
    ) -> Result<(Option<DeploymentId>, Vec<Past>)> {
        let mut reader = self.main().read().await?;
        let (project, target, team) = (project.uuid(), target.uuid(), tenant.team().uuid());
        let last = optional!(
            reader.conn(),
            (Uuid,),
            "SELECT id FROM deployments WHERE project_id = $1 AND target_id = $2 AND team_id = $3
                AND started_at IS NOT NULL AND kind NOT IN ('build', 'preview') ORDER BY id DESC LIMIT 1",
            project,
            target,
            team
        )?;
        let rows = all!(
            reader.conn(),
            Row,
            "SELECT id, kind, release_id, images, rollback_of FROM deployments
             WHERE project_id = $1 AND target_id = $2 AND team_id = $3 AND status = 'succeeded' AND kind NOT IN ('build', 'preview')
             ORDER BY id DESC LIMIT $4",
            project,
            target,
            team,
            LOOKED_AT
        )?;
        let last = last.map(|(id,)| id.into());
        Ok((last, rows.into_iter().map(Past::from).collect()))
    }

    /// The newest deployment by which a release came up; on this target, if one is named.
    pub(crate) async fn last_run_of(
        &self,
        tenant: &Tenant,
        release: ReleaseId,
        target: Option<TargetId>,
    ) -> Result<Option<DeploymentId>> {
        let mut reader = self.main().read().await?;
        let row = optional!(
            reader.conn(),
            (Uuid,),
            "SELECT id FROM deployments WHERE release_id = $1 AND team_id = $2 AND status = 'succeeded' AND kind NOT IN ('build', 'preview')
                AND ($3 IS NULL OR target_id = $3) ORDER BY id DESC LIMIT 1",
            release.uuid(),
            tenant.team().uuid(),
            target.map(TargetId::uuid)
        )?;
        Ok(row.map(|(id,)| id.into()))
    }

    /// The secrets that a deployment was given, and that are gone or have changed since.
    pub(crate) async fn changed_secrets(
        &self,
        tenant: &Tenant,
        deployment: DeploymentId,
    ) -> Result<Vec<ChangedSecret>> {
        let mut reader = self.main().read().await?;
        Ok(all!(
            reader.conn(),
            ChangedSecret,
            "SELECT u.key, u.environment, u.version, s.version AS present FROM deployment_secrets u
             JOIN deployments d ON d.id = u.deployment_id LEFT JOIN secrets s ON s.id = u.secret_id
             WHERE u.deployment_id = $1 AND d.team_id = $2 AND (s.id IS NULL OR s.version <> u.version) ORDER BY u.key",
            deployment.uuid(),
            tenant.team().uuid()
        )?)
    }

    /// Which version of which secret a deployment was given.
    pub(crate) async fn secrets_given(
        &self,
        tenant: &Tenant,
        deployment: DeploymentId,
    ) -> Result<BTreeMap<String, i64>> {
        let mut reader = self.main().read().await?;
        let rows = all!(
            reader.conn(),
            (String, i64),
            "SELECT u.key, u.version FROM deployment_secrets u JOIN deployments d ON d.id = u.deployment_id
             WHERE u.deployment_id = $1 AND d.team_id = $2",
            deployment.uuid(),
            tenant.team().uuid()
        )?;
        Ok(rows.into_iter().collect())
    }
}
