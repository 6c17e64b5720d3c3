//! Refused deployments are written down, too.

use serde_json::json;
use towline_shared::ids::ProjectId;

use super::OpsError;
use crate::store::audit;
use crate::store::{Store, StoreError, Tenant};

/// Writes a refusal into the team's audit chain, and hands the result on. What the caller merely
/// mistyped, and what failed by itself, is no refusal.
pub(super) async fn note<T>(
    store: &Store,
    tenant: &Tenant,
    project: ProjectId,
    result: Result<T, OpsError>,
) -> Result<T, OpsError> {
    if let Err(error) = &result
        && is_refusal(error)
    {
        let mut tx = store.main().begin().await?;
        let now = tx.now().await?;
        let subject = ("project", project.uuid());
        let mut detail = json!({ "why": error.to_string() });
        if let Some(push) = tenant.push() {
            detail["push"] = json!(push);
        }
        audit::append_of(&mut tx, tenant, "deployment.refuse", subject, detail, now).await?;
        tx.commit().await?;
    }
    result
}

const fn is_refusal(error: &OpsError) -> bool {
    matches!(
        error,
        OpsError::Refused { .. }
            | OpsError::Unread { .. }
            | OpsError::Findings(_)
            | OpsError::KeyReused
            | OpsError::Vetoed { .. }
            | OpsError::PluginUnavailable { .. }
            | OpsError::Store(StoreError::Conflict { .. } | StoreError::QuotaExceeded(_))
    )
}
