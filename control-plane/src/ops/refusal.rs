//! Refused deployments are written down, too.

use serde_json::json;
use towline_shared::ids::ProjectId;

use super::OpsError;
use crate::store::audit::{self, Entry};
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
        let entry = Entry {
            chain: tenant.team().uuid(),
            team: Some(tenant.team()),
            actor: tenant.actor(),
            action: "deployment.refuse",
            subject: ("project", Some(project.uuid())),
            detail: json!({ "why": error.to_string() }),
        };
        audit::append(&mut tx, &entry, now).await?;
        tx.commit().await?;
    }
    result
}

const fn is_refusal(error: &OpsError) -> bool {
    matches!(
        error,
        OpsError::Refused { .. }
            | OpsError::Findings(_)
            | OpsError::KeyReused
            | OpsError::Store(StoreError::Conflict { .. })
    )
}
