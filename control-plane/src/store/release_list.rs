//! The releases of a project, as people see them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::types::Json;
use towline_shared::ids::{ProjectId, ReleaseId};
use utoipa::ToSchema;
use uuid::Uuid;

use super::db::{all, optional};
use super::deployments::Image;
use super::page::{Listed, Page};
use super::{Resource, Result, Store, StoreError, Tenant, counted};
use crate::domain::hex::hex;

/// A release: files that were frozen, and what came of them.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Release {
    /// The release's id.
    #[schema(value_type = Uuid)]
    pub id: ReleaseId,
    /// The SHA-256 of its files, in hexadecimal digits: equal files are one release.
    pub digest: String,
    /// Which of the files is the compose file.
    pub compose_file: String,
    /// When it was first frozen.
    pub created_at: DateTime<Utc>,
    /// How many deployments were asked for with it.
    pub deployments: u64,
    /// When it first came up somewhere.
    pub first_deployed_at: Option<DateTime<Utc>>,
    /// When it last came up somewhere.
    pub last_deployed_at: Option<DateTime<Utc>>,
    /// The images that ran when it last came up. Another deployment of it may have run others: see there.
    pub images: Vec<Image>,
}

/// The columns of [`Row`], before the condition.
macro_rules! select_releases {
    ($rest:literal) => {
        concat!(
            "SELECT r.id, r.digest, r.compose_file, r.created_at,
                (SELECT COUNT(*) FROM deployments d WHERE d.release_id = r.id AND d.kind NOT IN ('build', 'preview')) AS deployments,
                (SELECT d.finished_at FROM deployments d WHERE d.release_id = r.id AND d.status = 'succeeded' AND d.kind NOT IN ('build', 'preview')
                    ORDER BY d.id LIMIT 1) AS first_deployed_at,
                (SELECT d.finished_at FROM deployments d WHERE d.release_id = r.id AND d.status = 'succeeded' AND d.kind NOT IN ('build', 'preview')
                    ORDER BY d.id DESC LIMIT 1) AS last_deployed_at,
                (SELECT d.images FROM deployments d WHERE d.release_id = r.id AND d.status = 'succeeded' AND d.kind NOT IN ('build', 'preview')
                    ORDER BY d.id DESC LIMIT 1) AS images
             FROM releases r JOIN projects p ON p.id = r.project_id
             WHERE r.project_id = $1 AND p.team_id = $2 AND ",
            $rest
        )
    };
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    digest: Vec<u8>,
    compose_file: String,
    created_at: DateTime<Utc>,
    deployments: i64,
    first_deployed_at: Option<DateTime<Utc>>,
    last_deployed_at: Option<DateTime<Utc>>,
    images: Option<Json<Vec<Image>>>,
}

impl From<Row> for Release {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.into(),
            digest: hex(&row.digest),
            compose_file: row.compose_file,
            created_at: row.created_at,
            deployments: counted(row.deployments),
            first_deployed_at: row.first_deployed_at,
            last_deployed_at: row.last_deployed_at,
            images: row.images.map(|Json(images)| images).unwrap_or_default(),
        }
    }
}

impl Store {
    /// The releases of a project, the newest first.
    pub async fn list_releases(
        &self,
        tenant: &Tenant,
        project: ProjectId,
        page: Page,
    ) -> Result<Listed<Release>> {
        self.project(tenant, project).await?;
        let mut reader = self.main().read().await?;
        let rows = all!(
            reader.conn(),
            Row,
            select_releases!("r.id < $3 ORDER BY r.id DESC LIMIT $4"),
            project.uuid(),
            tenant.team().uuid(),
            page.before(),
            page.fetch()
        )?;
        let releases = rows.into_iter().map(Release::from).collect();
        Ok(page.cut(releases, |release: &Release| release.id.uuid()))
    }

    /// One release of a project.
    pub async fn shown_release(
        &self,
        tenant: &Tenant,
        project: ProjectId,
        release: ReleaseId,
    ) -> Result<Release> {
        let mut reader = self.main().read().await?;
        let row = optional!(
            reader.conn(),
            Row,
            select_releases!("r.id = $3"),
            project.uuid(),
            tenant.team().uuid(),
            release.uuid()
        )?;
        row.map(Release::from)
            .ok_or(StoreError::NotFound(Resource::Release))
    }
}
