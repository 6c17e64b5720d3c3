//! What people decide of a project beside its files.

use serde_json::json;
use towline_shared::ids::ProjectId;
use towline_shared::spec::MAX_KEPT_RELEASES;

use super::db::{execute, local_now};
use super::{Project, Result, Store, StoreError, Tenant, audit, projects};
use crate::domain::cluster::check_namespace;

/// What is to change of a project; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProjectChange {
    /// For how many of its last releases its hosts keep images.
    pub keep_releases: Option<u16>,
    /// In which namespace of a cluster its objects are that name none; empty: in the agent's own choice.
    pub namespace: Option<String>,
}

impl ProjectChange {
    fn check(&self) -> Result<()> {
        if *self == Self::default() {
            return Err(StoreError::Invalid {
                field: "keep_releases",
                message: "nothing is to change".to_owned(),
                remedy: "say `keep_releases`, or `namespace`, or both".to_owned(),
            });
        }
        if let Some(namespace) = self.namespace.as_deref().filter(|name| !name.is_empty()) {
            check_namespace(namespace)?;
        }
        if let Some(kept) = self.keep_releases
            && !(1..=MAX_KEPT_RELEASES).contains(&kept)
        {
            return Err(StoreError::Invalid {
                field: "keep_releases",
                message: format!("a host keeps the images of 1 to {MAX_KEPT_RELEASES} releases"),
                remedy: "give a number between those; 1 keeps what runs alone, so that going back needs its images \
                         from a registry, or built again"
                    .to_owned(),
            });
        }
        Ok(())
    }
}

impl Store {
    /// Changes what is decided of a project; its targets follow at its next deployment.
    pub async fn change_project(
        &self,
        tenant: &Tenant,
        project: ProjectId,
        change: ProjectChange,
    ) -> Result<Project> {
        change.check()?;
        let mut tx = self.main().begin().await?;
        projects::lock(&mut tx, tenant, project).await?;
        let now = local_now();
        let mut detail = json!({});
        if let Some(kept) = change.keep_releases {
            let sql = "UPDATE projects SET keep_releases = $2, updated_at = $3 WHERE id = $1";
            execute!(tx.conn(), sql, project.uuid(), i64::from(kept), now)?;
            detail["keep_releases"] = kept.into();
        }
        if let Some(namespace) = change.namespace {
            let namespace = Some(namespace).filter(|name| !name.is_empty());
            let sql = "UPDATE projects SET namespace = $2, updated_at = $3 WHERE id = $1";
            execute!(tx.conn(), sql, project.uuid(), namespace.as_deref(), now)?;
            detail["namespace"] = namespace.into();
        }
        let subject = ("project", project.uuid());
        audit::append_of(&mut tx, tenant, "project.change", subject, detail, now).await?;
        tx.commit().await?;
        self.project(tenant, project).await
    }
}
