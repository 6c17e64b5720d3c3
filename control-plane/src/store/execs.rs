//! What people do at once to what runs, as it is written down: before it is done.

use serde_json::Value;
use towline_shared::ids::{ProjectId, TargetId};
use uuid::Uuid;

use super::db::local_now;
use super::{Result, Store, Tenant, audit};

impl Store {
    /// Writes down that somebody runs a command in a container.
    pub async fn note_exec(&self, tenant: &Tenant, target: TargetId, detail: Value) -> Result<()> {
        let subject = ("target", target.uuid());
        self.note(tenant, "container.exec", subject, detail).await
    }

    /// Writes down that somebody does something to what a project has in a cluster.
    pub async fn note_cluster_action(
        &self,
        tenant: &Tenant,
        project: ProjectId,
        action: &str,
        detail: Value,
    ) -> Result<()> {
        let subject = ("project", project.uuid());
        self.note(tenant, action, subject, detail).await
    }

    async fn note(
        &self,
        tenant: &Tenant,
        action: &str,
        subject: (&str, Uuid),
        detail: Value,
    ) -> Result<()> {
        let mut tx = self.main().begin().await?;
        audit::append_of(&mut tx, tenant, action, subject, detail, local_now()).await?;
        tx.commit().await
    }
}
