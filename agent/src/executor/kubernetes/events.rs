//! What has happened to what a project has in a cluster.

use std::collections::HashSet;

use chrono::DateTime;
use serde_json::Value;
use towline_shared::cluster::{ClusterEvent, EventWeight};
use towline_shared::ids::ProjectId;
use towline_shared::preview::shortened;
use towline_shared::query::MAX_EVENTS;

use super::api::text;
use super::at::Kind;
use super::cluster::Cluster;
use super::error::ApiError;
use super::inventory::Inventory;
use super::labels;

/// The events of a project's objects and of the pods that they make, the latest first.
pub(super) async fn of_project(
    cluster: &Cluster,
    project: ProjectId,
) -> Result<Vec<ClusterEvent>, ApiError> {
    let api = cluster.api().await?;
    let selector = labels::of_project(project);
    let mut found = Vec::new();
    for namespace in cluster.namespaces() {
        let namespace = namespace.as_deref();
        let mut own = HashSet::new();
        for kind in [Kind::pod(), Kind::replica_set(), Kind::config_map()] {
            for object in api.list(&kind, namespace, &selector).await? {
                own.insert(name_of(&object));
                let listed = Inventory::read(&object).unwrap_or_default().entries;
                own.extend(
                    listed
                        .into_iter()
                        .map(|entry| (entry.namespace.unwrap_or_default(), entry.kind, entry.name)),
                );
            }
        }
        if own.is_empty() {
            continue;
        }
        let events = api.list(&Kind::event(), namespace, "").await?;
        found.extend(events.iter().filter_map(|event| event_of(event, &own)));
    }
    found.sort_by_key(|event: &ClusterEvent| std::cmp::Reverse(event.at_ms));
    found.truncate(MAX_EVENTS);
    Ok(found)
}

type Name = (String, String, String);

fn name_of(object: &Value) -> Name {
    (
        text(object, "/metadata/namespace"),
        text(object, "/kind"),
        text(object, "/metadata/name"),
    )
}

fn event_of(event: &Value, own: &HashSet<Name>) -> Option<ClusterEvent> {
    let about = |field: &str| text(event, &format!("/involvedObject/{field}"));
    let (namespace, kind, name) = (about("namespace"), about("kind"), about("name"));
    let object = format!("{kind}/{name}");
    if !own.contains(&(namespace.clone(), kind, name)) {
        return None;
    }
    let times = [
        "/lastTimestamp",
        "/eventTime",
        "/metadata/creationTimestamp",
    ];
    let at = times
        .iter()
        .find_map(|time| DateTime::parse_from_rfc3339(&text(event, time)).ok())?;
    let count = event.get("count").and_then(Value::as_u64).unwrap_or(1);
    Some(ClusterEvent {
        at_ms: at.timestamp_millis(),
        object,
        namespace,
        weight: match text(event, "/type").as_str() {
            "Warning" => EventWeight::Warning,
            _ => EventWeight::Normal,
        },
        reason: text(event, "/reason"),
        message: shortened(&text(event, "/message")),
        count: u32::try_from(count).unwrap_or(u32::MAX),
    })
}
