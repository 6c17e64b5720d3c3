//! Cancelling a deployment: final at once before an agent has accepted it, an intent afterwards.

use towline_shared::ids::{DeploymentId, JobId};

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
    cancel_job(store, tenant, deployment.job).await?;
    if let Some(build) = deployment.build_id {
        // Nobody waits for it any more. Should this process end in between, it is built in vain.
        let build = store.deployment_row(tenant, build).await?;
        cancel_job(store, tenant, build.job).await?;
    }
    Ok(store.deployment(tenant, id).await?)
}

async fn cancel_job(store: &Store, tenant: &Tenant, job: JobId) -> Result<(), OpsError> {
    let mut tx = store.main().begin().await?;
    let row = jobs::lock(&mut tx, job).await?;
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
    Ok(())
}
