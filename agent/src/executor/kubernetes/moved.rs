//! What a project has in other namespaces than the one that it is deployed to now.

use serde_json::Value;
use towline_shared::spec::VolumeFate;

use super::api::{Api, text};
use super::at::{At, Kind};
use super::inventory::Inventory;
use super::job::Job;
use super::labels::{PART, Whose};
use super::many;
use super::prune::prune;
use crate::executor::stop::Stop;

/// A project's inventories in all namespaces that jobs may work in, with where they are.
pub(super) async fn inventories(job: &Job<'_>, api: &Api) -> Result<Vec<(String, Value)>, Stop> {
    let selector = format!("{},{PART}=inventory", job.owner.selector());
    let namespaces = job.cluster.namespaces();
    let kind = Kind::config_map();
    let mut lists = Vec::new();
    for namespace in &namespaces {
        let (kind, selector) = (&kind, &selector);
        lists.push(job.must(move || api.list(kind, namespace.as_deref(), selector)));
    }
    let lists = many::all(lists).await?;
    Ok(lists
        .into_iter()
        .flatten()
        .filter(|object| job.owner.judge(object) == Whose::Ours)
        .map(|object| (text(&object, "/metadata/namespace"), object))
        .collect())
}

/// Takes away what the project has where it was deployed to before.
pub(super) async fn clear(job: &Job<'_>, api: &Api) -> Result<(), Stop> {
    for (namespace, object) in inventories(job, api).await? {
        if namespace == job.namespace {
            continue;
        }
        job.note(&format!(
            "the project was in the namespace {namespace} before"
        ))
        .await;
        let Ok(inventory) = Inventory::read(&object) else {
            job.note("its inventory there cannot be read; what it had there stays")
                .await;
            continue;
        };
        let left = prune(job, api, &inventory.entries, VolumeFate::Keep).await?;
        if left.is_empty() {
            forget(job, api, &namespace, &object).await?;
        }
    }
    Ok(())
}

/// Deletes an inventory.
pub(super) async fn forget(
    job: &Job<'_>,
    api: &Api,
    namespace: &str,
    object: &Value,
) -> Result<(), Stop> {
    let at = At::new(
        Kind::config_map(),
        namespace,
        &text(object, "/metadata/name"),
    );
    let uid = text(object, "/metadata/uid");
    job.must(|| api.delete(&at, &uid)).await?;
    Ok(())
}
