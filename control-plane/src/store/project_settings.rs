//! What people decide of a project beside its files.

use serde_json::json;
use towline_shared::ids::ProjectId;
use towline_shared::spec::MAX_KEPT_RELEASES;

use super::db::{execute, local_now};
use super::{Project, Result, Store, StoreError, Tenant, audit, projects};

impl Store {
    /// Says for how many of its last releases a project's hosts keep images; they follow at its next deployment.
    pub async fn keep_releases(
        &self,
        tenant: &Tenant,
        project: ProjectId,
        kept: u16,
    ) -> Result<Project> {
        if !(1..=MAX_KEPT_RELEASES).contains(&kept) {
            return Err(StoreError::Invalid {
                field: "keep_releases",
                message: format!("a host keeps the images of 1 to {MAX_KEPT_RELEASES} releases"),
                remedy: "give a number between those; 1 keeps what runs alone, so that going back needs its images \
                         from a registry, or built again"
                    .to_owned(),
            });
        }
        let mut tx = self.main().begin().await?;
        projects::lock(&mut tx, tenant, project).await?;
        let now = local_now();
        execute!(
            tx.conn(),
            "UPDATE projects SET keep_releases = $2, updated_at = $3 WHERE id = $1",
            project.uuid(),
            i64::from(kept),
            now
        )?;
        let (subject, detail) = (
            ("project", project.uuid()),
            json!({ "keep_releases": kept }),
        );
        audit::append_of(&mut tx, tenant, "project.change", subject, detail, now).await?;
        tx.commit().await?;
        self.project(tenant, project).await
    }
}
