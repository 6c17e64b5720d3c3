//! ReplicaSets: as many pods as they say.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    controllers::{
        desk::Desk,
        owned_pods::{active, end_some, is_available, is_ready, make, of_template},
        pods::condition,
    },
    document::{number, put, take, text},
    store::{Key, key_of},
};

pub(super) const RESOURCE: &str = "replicasets.apps";
const SOURCE: &str = "replicaset-controller";

pub(super) fn look(desk: &mut Desk, key: &Key) {
    let Some(set) = desk.get(RESOURCE, key) else {
        return;
    };
    let Some(kind) = desk.state.kinds.of_resource(RESOURCE) else {
        return;
    };
    let pods = active(desk, &set);
    let wanted = usize::try_from(number(&set, "spec/replicas").unwrap_or(1)).unwrap_or(0);
    let mut refused = None;
    if text(&set, "metadata/deletionTimestamp").is_empty() {
        for _ in pods.len()..wanted {
            let mut pod = of_template(&kind, &set);
            put(
                &mut pod,
                "metadata/generateName",
                format!("{}-", text(&set, "metadata/name")),
            );
            if let Err(refusal) = make(desk, &set, SOURCE, pod) {
                refused = Some(refusal.message);
                desk.look_again(RESOURCE, key, Duration::from_millis(500));
                break;
            }
        }
        if pods.len() > wanted {
            let count = pods.len() - wanted;
            end_some(desk, &set, SOURCE, pods, count);
        }
    }
    tell(desk, &set, refused);
}

fn tell(desk: &mut Desk, set: &Value, refused: Option<String>) {
    let pods = active(desk, set);
    let seconds = number(set, "spec/minReadySeconds").unwrap_or(0);
    let ready = pods.iter().filter(|pod| is_ready(pod)).count();
    let available = pods.iter().filter(|pod| is_available(pod, seconds)).count();
    if available < ready {
        desk.look_again(RESOURCE, &key_of(set), Duration::from_millis(500));
    }
    let mut told = set.clone();
    let mut status =
        json!({"replicas": pods.len(), "observedGeneration": set["metadata"]["generation"]});
    for (field, count) in [
        ("fullyLabeledReplicas", pods.len()),
        ("readyReplicas", ready),
        ("availableReplicas", available),
    ] {
        if count > 0 {
            status[field] = count.into();
        }
    }
    let conditions = take(&mut told, "status/conditions");
    put(&mut told, "status", status);
    if let Some(message) = refused {
        if let Some(conditions) = conditions {
            put(&mut told, "status/conditions", conditions);
        }
        condition(
            &mut told,
            "ReplicaFailure",
            "True",
            "FailedCreate",
            &message,
        );
    }
    if told != *set {
        desk.put_status(RESOURCE, "kube-controller-manager", told);
    }
}
