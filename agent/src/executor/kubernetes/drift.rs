//! Whether what a project has in a cluster is as it was applied.
//!
//! What was applied is kept beside the inventory. What differs by our own comparison is asked of the cluster by a dry run: it
//! alone knows whether `1000m` and `1` are the same. Values are not told, as they may be secret.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::Value;
use towline_shared::cluster::{
    ClusterDrift, Drift, DriftedObject, MAX_DRIFTED, MAX_DRIFTED_FIELDS,
};
use towline_shared::ids::ProjectId;

use super::api::{Api, Force, HAND, MANAGER, Run, text};
use super::at::{At, Kind};
use super::cluster::Cluster;
use super::compare::{bare, differing};
use super::error::ApiError;
use super::inventory::Inventory;
use super::kept;
use super::labels::{self, PART};

/// Compares all that a project has.
pub(super) async fn of_project(
    cluster: &Cluster,
    project: ProjectId,
) -> Result<ClusterDrift, ApiError> {
    let api = cluster.api().await?;
    let selector = format!("{},{PART}=inventory", labels::of_project(project));
    let mut drift = ClusterDrift::default();
    for namespace in cluster.namespaces() {
        let inventories = api
            .list(&Kind::config_map(), namespace.as_deref(), &selector)
            .await?;
        for object in inventories {
            let Ok(inventory) = Inventory::read(&object) else {
                continue;
            };
            let home = text(&object, "/metadata/namespace");
            compare(cluster, &api, project, (&home, &inventory), &mut drift).await?;
        }
    }
    Ok(drift)
}

async fn compare(
    cluster: &Cluster,
    api: &Api,
    project: ProjectId,
    (home, inventory): (&str, &Inventory),
    drift: &mut ClusterDrift,
) -> Result<(), ApiError> {
    // While a job is at work nothing is as it was.
    if inventory.release.is_empty() {
        return Ok(());
    }
    let Some((release, objects)) = kept::read(api, home, project).await? else {
        return Ok(());
    };
    drift.release = release;
    let mut collections: BTreeMap<String, (Arc<Kind>, Option<String>)> = BTreeMap::new();
    let mut applied = Vec::new();
    for object in objects {
        let (version, kind) = (text(&object, "/apiVersion"), text(&object, "/kind"));
        let Some(kind) = cluster.kind(&version, &kind).await? else {
            continue;
        };
        let namespace = Some(text(&object, "/metadata/namespace")).filter(|name| !name.is_empty());
        let at = At {
            kind: Arc::clone(&kind),
            namespace: namespace.clone(),
            name: text(&object, "/metadata/name"),
        };
        let path = kind.collection(namespace.as_deref());
        collections.insert(path, (kind, namespace));
        applied.push((at, object));
    }
    let mut live = HashMap::new();
    for (kind, namespace) in collections.values() {
        let selector = labels::of_project(project);
        for object in api.list(kind, namespace.as_deref(), &selector).await? {
            let name = text(&object, "/metadata/name");
            live.insert((kind.collection(namespace.as_deref()), name), object);
        }
    }
    for (at, object) in applied {
        drift.compared = drift.compared.saturating_add(1);
        let path = at.kind.collection(at.namespace.as_deref());
        // One whose labels somebody has taken is in no list of ours.
        let there = match live.remove(&(path, at.name.clone())) {
            Some(there) => Some(there),
            None => api.get(&at).await?,
        };
        if let Some(drifted) = one(api, &at, &object, there).await?
            && drift.drifted.len() < MAX_DRIFTED
        {
            drift.drifted.push(drifted);
        }
    }
    Ok(())
}

async fn one(
    api: &Api,
    at: &At,
    applied: &Value,
    there: Option<Value>,
) -> Result<Option<DriftedObject>, ApiError> {
    let told = |drift, fields, managers| DriftedObject {
        object: at.to_string(),
        namespace: at.namespace.clone().unwrap_or_default(),
        drift,
        fields,
        managers,
    };
    let Some(there) = there else {
        return Ok(Some(told(Drift::Gone, Vec::new(), Vec::new())));
    };
    let mut fields = differing(&there, applied);
    if fields.is_empty() {
        return Ok(None);
    }
    match api.apply(at, applied, Run::Dry, Force::Yes).await {
        Ok(would_be) if bare(&would_be) == bare(&there) => return Ok(None),
        Err(error) if error.is_outage() => return Err(error),
        // What cannot be applied any more differs all the same.
        Ok(_) | Err(_) => {}
    }
    fields.truncate(MAX_DRIFTED_FIELDS);
    Ok(Some(told(Drift::Changed, fields, managers(&there))))
}

/// Who has set anything of an object beside us and what the cluster itself reports.
fn managers(object: &Value) -> Vec<String> {
    let entries = object
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array);
    let others = entries.into_iter().flatten().filter(|entry| {
        let is_release = text(entry, "/manager") == MANAGER;
        !is_release && text(entry, "/subresource") != "status"
    });
    let mut names: Vec<String> = others
        .map(|entry| match text(entry, "/manager").as_str() {
            HAND => "an action of Towline".to_owned(),
            name => name.to_owned(),
        })
        .collect();
    names.sort();
    names.dedup();
    names.truncate(MAX_DRIFTED_FIELDS);
    names
}
