//! Taking a project away from a cluster.

use towline_shared::outcome::{FailureReason, Step};
use towline_shared::spec::{Remove, VolumeFate};

use super::guard::{self, Watch};
use super::inventory::{Damaged, Inventory};
use super::job::Job;
use super::kept;
use super::moved;
use super::prune::prune;
use crate::executor::stop::Stop;

/// Does a removal to its end.
pub(super) async fn run(job: &mut Job<'_>, remove: &Remove) -> Result<(), Stop> {
    let turn = job.cluster.turn(&job.owner.project.to_string());
    let _turn = job.bounded(turn.lock()).await?;
    job.task.progress.begin(Step::Preparing).await?;
    let api = job.must(|| job.cluster.api()).await?;
    job.open().await?;
    let inventories = moved::inventories(job, &api).await?;
    if inventories.is_empty() {
        job.note("nothing of the project is in the cluster").await;
        return Ok(());
    }
    job.task.progress.begin(Step::Removing).await?;
    for (namespace, object) in inventories {
        job.namespace.clone_from(&namespace);
        let inventory = Inventory::read(&object).map_err(|Damaged(what)| {
            let message = format!(
                "{what} in {namespace} cannot be read; delete it and what the project has by hand"
            );
            Stop::failed(FailureReason::ClusterRefused, message)
        })?;
        let mut inventory = guard::take(job, &api, inventory, &[]).await?;
        let _watch = Watch::start(
            api.clone(),
            Inventory::at(&job.owner, &namespace),
            job.task.attempt.fence,
            inventory.version.clone(),
            job.superseded.clone(),
        );
        inventory.entries = prune(job, &api, &inventory.entries, remove.volumes).await?;
        kept::forget(job, &api).await?;
        if inventory.entries.is_empty() || remove.volumes == VolumeFate::Delete {
            moved::forget(job, &api, &namespace, &object).await?;
        } else {
            guard::keep(job, &api, &mut inventory).await?;
        }
    }
    Ok(())
}
