//! StatefulSets: pods with numbers, one after the other, each with claims of its own.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    controllers::{
        desk::Desk,
        owned_pods::{hash, is_available, is_going, is_over, is_ready, label, make, of_template},
    },
    document::{at, items, list, number, put, text, texts},
    kinds::Kind,
    store::{Key, key_of},
};

const RESOURCE: &str = "statefulsets.apps";
const SOURCE: &str = "statefulset-controller";
const REVISION: &str = "controller-revision-hash";

pub(super) fn look(desk: &mut Desk, key: &Key) {
    let Some(set) = desk.get(RESOURCE, key) else {
        return;
    };
    let Some(kind) = desk.state.kinds.of_resource(RESOURCE) else {
        return;
    };
    if text(&set, "metadata/deletionTimestamp").is_empty() {
        step(desk, &kind, &set);
    }
    tell(desk, &set);
}

fn update_revision(set: &Value) -> String {
    format!(
        "{}-{}",
        text(set, "metadata/name"),
        hash(at(set, "spec/template"))
    )
}

fn name_of(set: &Value, ordinal: i64) -> String {
    format!("{}-{ordinal}", text(set, "metadata/name"))
}

fn ordinal(pod: &Value) -> i64 {
    let name = text(pod, "metadata/name");
    name.rsplit('-')
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

fn step(desk: &mut Desk, kind: &Arc<Kind>, set: &Arc<Value>) {
    let wanted = number(set, "spec/replicas").unwrap_or(1);
    let parallel = text(set, "spec/podManagementPolicy") == "Parallel";
    let namespace = text(set, "metadata/namespace").to_owned();
    let seconds = number(set, "spec/minReadySeconds").unwrap_or(0);
    let first = number(set, "spec/ordinals/start").unwrap_or(0);
    for ordinal in first..first + wanted {
        let key = (namespace.clone(), name_of(set, ordinal));
        match desk.get("pods", &key) {
            None => {
                let pod = numbered(desk, kind, set, ordinal);
                let made = make(desk, set, SOURCE, pod);
                if made.is_err() || !parallel {
                    return;
                }
            }
            Some(pod) if is_over(&pod) => {
                desk.delete("pods", &key);
                return;
            }
            Some(pod) if !parallel && !is_available(&pod, seconds) => return,
            Some(_) => {}
        }
    }
    let mut pods = desk.owned("pods", set);
    pods.sort_by_key(|pod| std::cmp::Reverse(ordinal(pod)));
    if let Some(extra) = pods.iter().find(|pod| ordinal(pod) >= first + wanted) {
        if !is_going(extra) {
            desk.delete("pods", &key_of(extra));
        }
        return;
    }
    if text(set, "spec/updateStrategy/type") == "OnDelete" {
        return;
    }
    let partition = number(set, "spec/updateStrategy/rollingUpdate/partition").unwrap_or(0);
    let revision = update_revision(set);
    for pod in pods.iter().filter(|pod| ordinal(pod) >= partition) {
        if is_going(pod) {
            return;
        }
        if texts(pod, "metadata/labels").get(REVISION) != Some(&revision) {
            desk.delete("pods", &key_of(pod));
            return;
        }
        if !is_ready(pod) {
            return;
        }
    }
}

fn numbered(desk: &mut Desk, kind: &Arc<Kind>, set: &Value, ordinal: i64) -> Value {
    let name = name_of(set, ordinal);
    let namespace = text(set, "metadata/namespace").to_owned();
    let mut pod = of_template(kind, set);
    put(&mut pod, "metadata/name", name.clone());
    label(&mut pod, REVISION, &update_revision(set));
    label(&mut pod, "statefulset.kubernetes.io/pod-name", &name);
    label(
        &mut pod,
        "apps.kubernetes.io/pod-index",
        &ordinal.to_string(),
    );
    put(&mut pod, "spec/hostname", name.clone());
    if !text(set, "spec/serviceName").is_empty() {
        put(&mut pod, "spec/subdomain", text(set, "spec/serviceName"));
    }
    for template in items(set, "spec/volumeClaimTemplates") {
        let volume = text(template, "metadata/name");
        let claim_name = format!("{volume}-{name}");
        let mut claim = template.clone();
        put(&mut claim, "metadata/name", claim_name.clone());
        put(&mut claim, "metadata/namespace", namespace.clone());
        for (key, value) in texts(set, "spec/selector/matchLabels") {
            label(&mut claim, &key, &value);
        }
        let _ = crate::document::take(&mut claim, "status");
        if desk
            .get(
                "persistentvolumeclaims",
                &(namespace.clone(), claim_name.clone()),
            )
            .is_none()
        {
            let _ = desk.create("persistentvolumeclaims", claim);
        }
        let volumes = list(&mut pod, "spec/volumes");
        volumes.retain(|there| text(there, "name") != volume);
        volumes.push(json!({"name": volume, "persistentVolumeClaim": {"claimName": claim_name}}));
    }
    pod
}

fn tell(desk: &mut Desk, set: &Value) {
    let mut pods = desk.owned("pods", set);
    pods.retain(|pod| !is_over(pod));
    let revision = update_revision(set);
    let seconds = number(set, "spec/minReadySeconds").unwrap_or(0);
    let is_new = |pod: &Value| texts(pod, "metadata/labels").get(REVISION) == Some(&revision);
    let wanted = number(set, "spec/replicas").unwrap_or(1);
    let count = |meant: &dyn Fn(&Value) -> bool| {
        let count = pods.iter().filter(|pod| meant(pod)).count();
        i64::try_from(count).unwrap_or(0)
    };
    let updated = count(&|pod| is_new(pod) && !is_going(pod));
    let ready = count(&is_ready);
    let before = text(set, "status/currentRevision");
    let is_through = updated == wanted && ready == wanted && count(&|_| true) == wanted;
    let current = if before.is_empty() || is_through {
        revision.as_str()
    } else {
        before
    };
    let of_current = count(&|pod| {
        texts(pod, "metadata/labels")
            .get(REVISION)
            .map(String::as_str)
            == Some(current)
    });
    let mut status = json!({
        "observedGeneration": set["metadata"]["generation"], "replicas": pods.len(), "collisionCount": 0,
        "currentRevision": current, "updateRevision": revision,
        "availableReplicas": count(&|pod| is_available(pod, seconds)),
    });
    for (field, count) in [
        ("readyReplicas", ready),
        ("updatedReplicas", updated),
        ("currentReplicas", of_current),
    ] {
        if count > 0 {
            status[field] = count.into();
        }
    }
    let mut told = set.clone();
    put(&mut told, "status", status);
    if told != *set {
        desk.put_status(RESOURCE, "kube-controller-manager", told);
    }
}
