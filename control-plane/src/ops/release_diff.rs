//! Comparing two releases, or two deployments of them.

use std::collections::BTreeMap;

use towline_shared::ids::{DeploymentId, ProjectId, ReleaseId};
use uuid::Uuid;

use super::OpsError;
use crate::domain::release_diff::{ReleaseDiff, Side, compare};
use crate::store::{Resource, Store, StoreError, Tenant};

/// What differs between two releases of a project; each is named by its id, or by that of a deployment of it, which
/// tells which images it ran.
pub async fn diff_releases(
    store: &Store,
    tenant: &Tenant,
    project: ProjectId,
    (from, to): (Uuid, Uuid),
) -> Result<ReleaseDiff, OpsError> {
    let from = side(store, tenant, project, from).await?;
    let to = side(store, tenant, project, to).await?;
    // Long texts take their time, and nobody else's.
    let compared = tokio::task::spawn_blocking(move || compare(&from, &to));
    let compared = compared
        .await
        .map_err(|error| StoreError::Damaged(error.to_string()))?;
    Ok(compared)
}

async fn side(
    store: &Store,
    tenant: &Tenant,
    project: ProjectId,
    id: Uuid,
) -> Result<Side, OpsError> {
    let (release, ran) = match store.deployment_row(tenant, id.into()).await {
        Ok(found) if found.project.id == project.uuid() => {
            let release = found
                .release_id
                .ok_or(StoreError::NotFound(Resource::Release))?;
            (release, Some(found))
        }
        Ok(_) | Err(StoreError::NotFound(_)) => {
            let release = ReleaseId::from(id);
            store.shown_release(tenant, project, release).await?;
            let last: Option<DeploymentId> = store.last_run_of(tenant, release, None).await?;
            let ran = match last {
                Some(last) => Some(store.deployment_row(tenant, last).await?),
                None => None,
            };
            (release, ran)
        }
        Err(error) => return Err(error.into()),
    };
    let secrets = match &ran {
        Some(ran) => store.secrets_given(tenant, ran.id).await?,
        None => BTreeMap::new(),
    };
    Ok(Side {
        files: store.release(project, release).await?.files,
        images: ran.map_or_else(Vec::new, |ran| {
            ran.images.into_iter().map(Into::into).collect()
        }),
        secrets,
    })
}
