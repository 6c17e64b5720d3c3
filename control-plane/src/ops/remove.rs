//! Taking a deployed project away from a target: a job like a deploy.

use serde_json::json;
use towline_shared::ids::ProjectId;
use towline_shared::spec::{Interruption, VolumeFate};

use super::judge::refuse_moved;
use super::submit::{Key, Submission, Wish, check_deadline, refuse_revoked, repeated, submit};
use super::{OpsError, refusal};
use crate::store::{Deployment, Store, Tenant};

/// A removal that somebody asks for.
#[derive(Clone, Debug)]
pub struct NewRemoval {
    /// The project.
    pub project: ProjectId,
    /// The target, by id or name.
    pub target: String,
    /// What happens to its named volumes.
    pub volumes: VolumeFate,
    /// How long it may take, in seconds.
    pub deadline_s: Option<u32>,
}

/// Queues a removal. The same idempotency key gives the same deployment.
pub async fn remove(
    store: &Store,
    tenant: &Tenant,
    new: NewRemoval,
    idempotency_key: Option<&str>,
) -> Result<Deployment, OpsError> {
    let project = new.project;
    let result = check_and_submit(store, tenant, new, idempotency_key).await;
    refusal::note(store, tenant, project, result).await
}

async fn check_and_submit(
    store: &Store,
    tenant: &Tenant,
    new: NewRemoval,
    idempotency_key: Option<&str>,
) -> Result<Deployment, OpsError> {
    let deadline_s = check_deadline(new.deadline_s)?;
    let request = json!(["remove", new.project, new.target, new.volumes, deadline_s]);
    let key = Key::of(idempotency_key, &request)?;
    if let Some(first) = repeated(store, tenant, key.as_ref()).await? {
        return Ok(first);
    }
    let project = store.project(tenant, new.project).await?;
    let servant = store.servant(tenant, &new.target).await?;
    refuse_revoked(&servant)?;
    refuse_moved(&servant)?;
    let submission = Submission {
        project: &project,
        servant: &servant,
        environment: None,
        work: Wish::Remove(new.volumes),
        deadline_s,
        interruption: Interruption::Resume,
        retry_of: None,
        rollback_of: None,
        builder: None,
        notes: Vec::new(),
        said: Vec::new(),
    };
    submit(store, tenant, submission, key).await
}
