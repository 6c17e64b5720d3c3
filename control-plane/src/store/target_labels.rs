//! What targets are for, in words of the team.

use serde_json::json;
use towline_shared::ids::TargetId;

use super::db::{execute, local_now};
use super::{Resource, Result, Store, StoreError, Target, Tenant, audit};
use crate::domain::target_labels::check_labels;

impl Store {
    /// Gives a target these labels in place of those that it has.
    pub async fn set_target_labels(
        &self,
        tenant: &Tenant,
        target: TargetId,
        labels: Vec<String>,
    ) -> Result<Target> {
        let labels = check_labels(labels)?;
        let mut tx = self.main().begin().await?;
        let now = local_now();
        let written = execute!(
            tx.conn(),
            "UPDATE deployment_targets SET labels = $3, updated_at = $4 WHERE id = $1 AND team_id = $2",
            target.uuid(),
            tenant.team().uuid(),
            sqlx::types::Json(&labels),
            now
        )?;
        if written == 0 {
            return Err(StoreError::NotFound(Resource::Target));
        }
        let subject = ("target", target.uuid());
        let detail = json!({ "labels": labels });
        audit::append_of(&mut tx, tenant, "target.label", subject, detail, now).await?;
        tx.commit().await?;
        self.target(tenant, target).await
    }
}
