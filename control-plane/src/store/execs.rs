//! Commands that people run in containers, as they are written down.

use serde_json::Value;
use towline_shared::ids::TargetId;

use super::db::local_now;
use super::{Result, Store, Tenant, audit};

impl Store {
    /// Writes down that somebody runs a command in a container: before it is run.
    pub async fn note_exec(&self, tenant: &Tenant, target: TargetId, detail: Value) -> Result<()> {
        let mut tx = self.main().begin().await?;
        let subject = ("target", target.uuid());
        audit::append_of(
            &mut tx,
            tenant,
            "container.exec",
            subject,
            detail,
            local_now(),
        )
        .await?;
        tx.commit().await
    }
}
