//! Deployments: a ReplicaSet for each template, and the way from one to the next.

mod progress;

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    controllers::{
        desk::Desk,
        owned_pods::{hash, label, owner_reference},
        replica_sets,
    },
    document::{annotation, at, number, object, place, put, text},
    store::{Key, key_of},
};

pub(super) const RESOURCE: &str = "deployments.apps";
const SOURCE: &str = "deployment-controller";
const MANAGER: &str = "kube-controller-manager";
const REVISION: &str = "deployment.kubernetes.io/revision";

pub(super) fn look(desk: &mut Desk, key: &Key) {
    let Some(deployment) = desk.get(RESOURCE, key) else {
        return;
    };
    if !text(&deployment, "metadata/deletionTimestamp").is_empty() {
        return;
    }
    let sets = desk.owned(replica_sets::RESOURCE, &deployment);
    let new = sets
        .iter()
        .find(|set| has_template(set, &deployment))
        .cloned();
    let old: Vec<Arc<Value>> = sets
        .iter()
        .filter(|set| !has_template(set, &deployment))
        .cloned()
        .collect();
    let paused = deployment["spec"]["paused"] == true;
    let new = match new {
        Some(new) => Some(new),
        None if paused => None,
        None => make(desk, &deployment, &old),
    };
    if let Some(new) = &new {
        number_revision(desk, &deployment, new, &old);
        if !paused {
            roll(desk, &deployment, new, &old);
            forget(desk, &deployment, &old);
        }
    }
    progress::tell(desk, key);
}

fn template_of(set: &Value) -> Value {
    let mut template = at(set, "spec/template").clone();
    if let Some(labels) = place(&mut template, "metadata/labels").as_object_mut() {
        labels.remove("pod-template-hash");
    }
    template
}

pub(super) fn has_template(set: &Value, deployment: &Value) -> bool {
    template_of(set) == template_of(deployment)
}

fn revision(document: &Value) -> i64 {
    annotation(document, REVISION)
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

fn make(desk: &mut Desk, deployment: &Arc<Value>, old: &[Arc<Value>]) -> Option<Arc<Value>> {
    let kind = desk.state.kinds.of_resource(RESOURCE)?;
    let hash = hash(at(deployment, "spec/template"));
    let name = format!("{}-{hash}", text(deployment, "metadata/name"));
    let mut set = json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {
            "name": name, "namespace": deployment["metadata"]["namespace"],
            "labels": deployment["spec"]["template"]["metadata"]["labels"],
            "ownerReferences": owner_reference(&kind, deployment),
        },
        "spec": {
            "replicas": 0, "selector": deployment["spec"]["selector"], "template": deployment["spec"]["template"],
        },
    });
    if let Some(seconds) = number(deployment, "spec/minReadySeconds") {
        put(&mut set, "spec/minReadySeconds", seconds);
    }
    label(&mut set, "pod-template-hash", &hash);
    label(place(&mut set, "spec/template"), "pod-template-hash", &hash);
    let labels = place(&mut set, "spec/selector/matchLabels");
    object(labels).insert("pod-template-hash".to_owned(), hash.into());
    let highest = old.iter().map(|set| revision(set)).max().unwrap_or(0);
    annotate(&mut set, deployment, highest + 1);
    desk.create(replica_sets::RESOURCE, set).ok()
}

fn annotate(set: &mut Value, deployment: &Value, revision: i64) {
    let annotations = object(place(set, "metadata/annotations"));
    annotations.insert(REVISION.to_owned(), revision.to_string().into());
    for name in ["desired-replicas", "max-replicas"] {
        let wanted = number(deployment, "spec/replicas").unwrap_or(1);
        let surge = if name == "max-replicas" {
            bounds(deployment).0
        } else {
            0
        };
        let key = format!("deployment.kubernetes.io/{name}");
        annotations.insert(key, (wanted + surge).to_string().into());
    }
}

/// The deployment has its newest set's revision; a set that comes back gets the next one.
fn number_revision(desk: &mut Desk, deployment: &Arc<Value>, new: &Arc<Value>, old: &[Arc<Value>]) {
    let highest = old.iter().map(|set| revision(set)).max().unwrap_or(0);
    let current = revision(new).max(if revision(new) <= highest {
        highest + 1
    } else {
        0
    });
    if revision(new) != current
        && let Some(set) = desk.get(replica_sets::RESOURCE, &key_of(new))
    {
        let mut set = (*set).clone();
        annotate(&mut set, deployment, current);
        desk.put(replica_sets::RESOURCE, MANAGER, set);
    }
    if revision(deployment) != current {
        let mut numbered = (**deployment).clone();
        let annotations = object(place(&mut numbered, "metadata/annotations"));
        annotations.insert(REVISION.to_owned(), current.to_string().into());
        desk.put(RESOURCE, MANAGER, numbered);
    }
}

/// How many more, and how many fewer, than wanted there may be.
fn bounds(deployment: &Value) -> (i64, i64) {
    let wanted = number(deployment, "spec/replicas").unwrap_or(1);
    if text(deployment, "spec/strategy/type") == "Recreate" {
        return (0, wanted);
    }
    let part = |field: &str, up: i64| {
        let value = at(deployment, &format!("spec/strategy/rollingUpdate/{field}"));
        match value.as_str().and_then(|text| text.strip_suffix('%')) {
            Some(percent) => (percent.parse::<i64>().unwrap_or(25) * wanted + up) / 100,
            None => value.as_i64().unwrap_or(0),
        }
    };
    let (surge, unavailable) = (part("maxSurge", 99), part("maxUnavailable", 0));
    if surge == 0 && unavailable == 0 {
        return (0, 1);
    }
    (surge, unavailable)
}

fn wanted_of(set: &Value) -> i64 {
    number(set, "spec/replicas").unwrap_or(0)
}

fn available_of(set: &Value) -> i64 {
    number(set, "status/availableReplicas").unwrap_or(0)
}

fn scale(desk: &mut Desk, deployment: &Value, set: &Arc<Value>, to: i64) {
    let from = wanted_of(set);
    if from == to {
        return;
    }
    let Some(set) = desk.get(replica_sets::RESOURCE, &key_of(set)) else {
        return;
    };
    let mut scaled = (*set).clone();
    put(&mut scaled, "spec/replicas", to);
    desk.put(replica_sets::RESOURCE, MANAGER, scaled);
    let direction = if to > from { "up" } else { "down" };
    let message = format!(
        "Scaled {direction} replica set {} from {from} to {to}",
        text(&set, "metadata/name")
    );
    desk.event(
        deployment,
        ("ScalingReplicaSet", "Normal"),
        SOURCE,
        &message,
    );
}

fn roll(desk: &mut Desk, deployment: &Arc<Value>, new: &Arc<Value>, old: &[Arc<Value>]) {
    let wanted = number(deployment, "spec/replicas").unwrap_or(1);
    let (surge, unavailable) = bounds(deployment);
    let of_old: i64 = old.iter().map(|set| wanted_of(set)).sum();
    if text(deployment, "spec/strategy/type") == "Recreate" {
        for set in old {
            scale(desk, deployment, set, 0);
        }
        let rest = old.iter().any(|set| !desk.owned("pods", set).is_empty());
        if of_old == 0 && !rest {
            scale(desk, deployment, new, wanted);
        }
        return;
    }
    let room = (wanted + surge - of_old).clamp(0, wanted);
    let target = if wanted_of(new) > wanted {
        wanted
    } else {
        room.max(wanted_of(new))
    };
    scale(desk, deployment, new, target);
    if of_old == 0 || target != wanted_of(new) {
        return;
    }
    let least = wanted - unavailable;
    let all = of_old + wanted_of(new);
    let new_unavailable = wanted_of(new) - available_of(new);
    let mut may_end = all - least - new_unavailable;
    if may_end <= 0 {
        return;
    }
    let mut left: Vec<i64> = old.iter().map(|set| wanted_of(set)).collect();
    for (at, set) in old.iter().enumerate() {
        let unhealthy = (wanted_of(set) - available_of(set)).clamp(0, may_end);
        left[at] -= unhealthy;
        may_end -= unhealthy;
    }
    let available: i64 = old.iter().map(|set| available_of(set)).sum::<i64>() + available_of(new);
    let mut spare = (available - least).max(0);
    for (at, _) in old.iter().enumerate() {
        let ended = left[at].min(spare);
        left[at] -= ended;
        spare -= ended;
    }
    for (set, to) in old.iter().zip(left) {
        scale(desk, deployment, set, to);
    }
}

/// Deletes what the history has no room for.
fn forget(desk: &mut Desk, deployment: &Value, old: &[Arc<Value>]) {
    let limit = number(deployment, "spec/revisionHistoryLimit").unwrap_or(10);
    let mut idle: Vec<&Arc<Value>> = old
        .iter()
        .filter(|set| wanted_of(set) == 0 && number(set, "status/replicas").unwrap_or(0) == 0)
        .collect();
    idle.sort_by_key(|set| revision(set));
    let over = idle
        .len()
        .saturating_sub(usize::try_from(limit).unwrap_or(10));
    for set in idle.into_iter().take(over) {
        desk.delete(replica_sets::RESOURCE, &key_of(set));
    }
}
