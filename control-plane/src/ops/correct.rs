//! Taking back what others have changed in a cluster: what came up there last is deployed again, and takes its fields back
//! from whoever holds them.

use towline_shared::cluster::Conflicts;
use towline_shared::ids::ProjectId;

use super::OpsError;
use super::cluster::find_cluster;
use super::rollback::{NewRollback, RolledBack, rollback};
use crate::domain::cluster::Insistence;
use crate::domain::rollback::present;
use crate::egress::Egress;
use crate::store::{Store, Tenant};

/// Queues it, if the team's plugins let it. The same idempotency key gives the same deployment.
pub async fn correct(
    store: &Store,
    egress: &Egress,
    tenant: &Tenant,
    (project, target): (ProjectId, Option<&str>),
    idempotency_key: Option<&str>,
) -> Result<RolledBack, OpsError> {
    let target = find_cluster(store, tenant, project, target).await?.target;
    let (_, past) = store.past_of(tenant, project, target.id).await?;
    let Some(present) = present(&past) else {
        return Err(OpsError::Refused {
            message: format!("nothing of the project runs on {}", target.name),
            remedy: "deploy it there".to_owned(),
            field: Some("target"),
        });
    };
    let again = NewRollback {
        project,
        target: Some(target.id.to_string()),
        to: Some(present.uuid()),
        settle_ms: None,
        deadline_s: None,
        insistence: Insistence {
            conflicts: Conflicts::Force,
            ..Insistence::default()
        },
    };
    rollback(store, egress, tenant, again, idempotency_key).await
}
