//! Cancelling a deployment: final at once before an agent has accepted it, an intent afterwards.

use towline_shared::ids::DeploymentId;

use super::OpsError;
use crate::job::Event;
use crate::store::jobs::{self, Detail};
use crate::store::{Deployment, Resource, Store, StoreError, Tenant};

/// Asks for a deployment to stop; gives it as it is then. One that has ended stays as it is.
pub async fn cancel(
    store: &Store,
    tenant: &Tenant,
    id: DeploymentId,
) -> Result<Deployment, OpsError> {
    let deployment = store.deployment_row(tenant, id).await?;
    let mut tx = store.main().begin().await?;
    let row = jobs::lock(&mut tx, deployment.job).await?;
    let row = row.ok_or(StoreError::NotFound(Resource::Deployment))?;
    let now = tx.now().await?;
    let moved = jobs::apply(
        &mut tx,
        &row,
        Event::CancelRequested,
        tenant.actor(),
        Detail::None,
        now,
    )
    .await?;
    tx.commit().await?;
    store.announce(&moved);
    Ok(store.deployment(tenant, id).await?)
}
