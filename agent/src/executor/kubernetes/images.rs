//! Which images run, as a later release pins them.

use std::collections::BTreeMap;

use serde_json::Value;
use towline_shared::spec::PinnedImage;

use super::api::text;
use super::survey::Planned;
use super::verify::owner_of;
use super::wanted::pod_spec;

/// The images of what a release runs, by workload and container, as far as its pods tell.
pub(super) fn of(planned: &[Planned], pods: &[Value]) -> Vec<PinnedImage> {
    let running = running(pods);
    let mut images = Vec::new();
    for plan in planned {
        let Some(spec) = pod_spec(&plan.wanted.object) else {
            continue;
        };
        let at = &plan.wanted.at;
        let containers = spec.get("containers").and_then(Value::as_array);
        for container in containers.into_iter().flatten() {
            let (name, reference) = (text(container, "/name"), text(container, "/image"));
            let namespace = at.namespace.clone().unwrap_or_default();
            let key = (
                namespace,
                at.kind.kind.clone(),
                at.name.clone(),
                name.clone(),
            );
            let Some(id) = running.get(&key) else {
                continue;
            };
            images.push(PinnedImage {
                service: format!("{at}/{name}"),
                reference,
                id: id.clone(),
                digests: digest(id).into_iter().collect(),
            });
        }
    }
    images
}

/// The id of the image of each container of each workload; of the newest pod, where they differ.
fn running(pods: &[Value]) -> BTreeMap<(String, String, String, String), String> {
    let mut pods: Vec<&Value> = pods.iter().collect();
    pods.sort_by_key(|pod| text(pod, "/metadata/creationTimestamp"));
    let mut found = BTreeMap::new();
    for pod in pods {
        let (kind, name) = workload(pod);
        let statuses = pod
            .pointer("/status/containerStatuses")
            .and_then(Value::as_array);
        for status in statuses.into_iter().flatten() {
            let id = text(status, "/imageID");
            if !id.is_empty() {
                let namespace = text(pod, "/metadata/namespace");
                let key = (namespace, kind.clone(), name.clone(), text(status, "/name"));
                found.insert(key, id);
            }
        }
    }
    found
}

/// The kind and name of what a pod belongs to, for people.
pub(super) fn workload(pod: &Value) -> (String, String) {
    let (kind, name) = owner_of(pod);
    match kind.as_str() {
        "" => ("Pod".to_owned(), text(pod, "/metadata/name")),
        // The name of its ReplicaSet is that of its Deployment with a digest of the pods' template.
        "ReplicaSet" => {
            let hash = text(pod, "/metadata/labels/pod-template-hash");
            match name.strip_suffix(&format!("-{hash}")) {
                Some(deployment) if !hash.is_empty() => {
                    ("Deployment".to_owned(), deployment.to_owned())
                }
                _ => (kind, name),
            }
        }
        _ => (kind, name),
    }
}

/// The reference of an image by its digest in a registry; nothing for one that only its node has.
fn digest(id: &str) -> Option<String> {
    let id = id.split_once("://").map_or(id, |(_, id)| id);
    id.contains('@').then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pods_are_known_by_what_they_belong_to() {
        let owned = |kind: &str, name: &str| {
            json!({"metadata": {"name": "p", "labels": {"pod-template-hash": "5d4f"},
                "ownerReferences": [{"kind": kind, "name": name, "controller": true}]}})
        };
        let table = [
            (owned("ReplicaSet", "web-5d4f"), ("Deployment", "web")),
            (owned("ReplicaSet", "own"), ("ReplicaSet", "own")),
            (owned("StatefulSet", "db"), ("StatefulSet", "db")),
            (json!({"metadata": {"name": "p"}}), ("Pod", "p")),
        ];
        for (pod, (kind, name)) in table {
            assert_eq!(workload(&pod), (kind.to_owned(), name.to_owned()), "{pod}");
        }
    }

    #[test]
    fn an_image_is_pinned_by_its_registry_s_digest() {
        assert_eq!(
            digest("docker-pullable://nginx@sha256:1").as_deref(),
            Some("nginx@sha256:1")
        );
        assert_eq!(
            digest("docker.io/library/nginx@sha256:1").as_deref(),
            Some("docker.io/library/nginx@sha256:1")
        );
        assert_eq!(digest("sha256:1"), None);
    }
}
