//! Which hook at a forge tells a project's hook of pushes, where Towline has installed it.

use serde_json::json;
use towline_shared::ids::{IntegrationId, ProjectId, PushHookId};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::db::{execute, local_now, optional};
use super::{Resource, Result, Store, StoreError, Tenant, audit, projects};
use crate::domain::forge::Forge;
use crate::domain::integration::RepositoryPath;

/// What it takes to install a project's hook, and where it is installed.
#[derive(Debug)]
pub struct PushInstallation {
    /// The hook.
    pub hook: PushHookId,
    /// Who is to tell.
    pub forge: Forge,
    /// What the forge is to sign with.
    pub secret: Zeroizing<String>,
    /// By what the project's source is read, and what it is called there.
    pub source: Option<(IntegrationId, RepositoryPath)>,
    /// Where it is installed, and as which hook of the forge.
    pub installed: Option<InstalledHook>,
}

/// A hook at a forge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstalledHook {
    /// By which integration it was installed.
    pub integration: IntegrationId,
    /// In which repository.
    pub repository: RepositoryPath,
    /// The forge's own id of it.
    pub forge_hook: String,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    integration_id: Option<Uuid>,
    repository: Option<String>,
    forge_hook: Option<String>,
    source_integration: Option<Uuid>,
    source_repository: Option<String>,
}

impl Store {
    /// What it takes to install the hook of a project.
    pub async fn push_installation(
        &self,
        tenant: &Tenant,
        project: ProjectId,
    ) -> Result<PushInstallation> {
        self.project(tenant, project).await?;
        let mut reader = self.main().read().await?;
        let row = optional!(
            reader.conn(),
            Row,
            "SELECT h.id, h.integration_id, h.repository, h.forge_hook, s.integration_id AS source_integration,
                s.repository AS source_repository
             FROM push_hooks h JOIN projects p ON p.id = h.project_id
             LEFT JOIN project_sources s ON s.project_id = h.project_id
             WHERE h.project_id = $1 AND p.team_id = $2",
            project.uuid(),
            tenant.team().uuid()
        )?;
        drop(reader);
        let absent = || StoreError::NotFound(Resource::PushHook);
        let row = row.ok_or_else(absent)?;
        let hook = PushHookId::from(row.id);
        let known = self.push_secret(hook).await?.ok_or_else(absent)?;
        let named = |id: Option<Uuid>, name: Option<String>| {
            let (id, name) = id.zip(name)?;
            Some((IntegrationId::from(id), RepositoryPath::stored(name)))
        };
        let installed = named(row.integration_id, row.repository).zip(row.forge_hook);
        Ok(PushInstallation {
            hook,
            forge: known.forge,
            secret: known.secret,
            source: named(row.source_integration, row.source_repository),
            installed: installed.map(|((integration, repository), forge_hook)| InstalledHook {
                integration,
                repository,
                forge_hook,
            }),
        })
    }

    /// Writes down where the hook of a project is installed, or that it is nowhere any more.
    pub async fn note_push_installation(
        &self,
        tenant: &Tenant,
        project: ProjectId,
        installed: Option<&InstalledHook>,
    ) -> Result<()> {
        let mut tx = self.main().begin().await?;
        projects::lock(&mut tx, tenant, project).await?;
        let now = local_now();
        let written = execute!(
            tx.conn(),
            "UPDATE push_hooks SET integration_id = $2, repository = $3, forge_hook = $4, updated_at = $5
             WHERE project_id = $1",
            project.uuid(),
            installed.map(|one| one.integration.uuid()),
            installed.map(|one| one.repository.as_str()),
            installed.map(|one| one.forge_hook.as_str()),
            now
        )?;
        if written == 0 {
            return Err(StoreError::NotFound(Resource::PushHook));
        }
        let (action, detail) = match installed {
            Some(one) => (
                "push_hook.install",
                json!({ "integration": one.integration, "repository": one.repository, "forge_hook": one.forge_hook }),
            ),
            None => ("push_hook.uninstall", json!({})),
        };
        let subject = ("project", project.uuid());
        audit::append_of(&mut tx, tenant, action, subject, detail, now).await?;
        tx.commit().await
    }
}
