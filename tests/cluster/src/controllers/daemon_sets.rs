//! DaemonSets: one pod on the one node.

use serde_json::json;

use crate::{
    controllers::{
        desk::Desk,
        owned_pods::{active, hash, is_available, is_ready, label, make, of_template},
    },
    document::{at, number, put, text, texts},
    store::{Key, key_of},
};

const RESOURCE: &str = "daemonsets.apps";
const SOURCE: &str = "daemonset-controller";
const REVISION: &str = "controller-revision-hash";

pub(super) fn look(desk: &mut Desk, key: &Key) {
    let (Some(set), Some(kind)) = (
        desk.get(RESOURCE, key),
        desk.state.kinds.of_resource(RESOURCE),
    ) else {
        return;
    };
    let revision = hash(at(&set, "spec/template"));
    let node = desk.get("nodes", &(String::new(), crate::NODE.to_owned()));
    let labels = node
        .map(|node| texts(&node, "metadata/labels"))
        .unwrap_or_default();
    let fits = texts(&set, "spec/template/spec/nodeSelector")
        .iter()
        .all(|(name, value)| labels.get(name) == Some(value));
    let pods = desk.owned("pods", &set);
    if text(&set, "metadata/deletionTimestamp").is_empty() {
        let old = pods
            .iter()
            .filter(|pod| texts(pod, "metadata/labels").get(REVISION) != Some(&revision));
        let old: Vec<_> = old.map(|pod| key_of(pod)).collect();
        if text(&set, "spec/updateStrategy/type") != "OnDelete" {
            for key in &old {
                desk.delete("pods", key);
            }
        }
        if pods.is_empty() && fits {
            let mut pod = of_template(&kind, &set);
            put(
                &mut pod,
                "metadata/generateName",
                format!("{}-", text(&set, "metadata/name")),
            );
            label(&mut pod, REVISION, &revision);
            label(
                &mut pod,
                "pod-template-generation",
                &number(&set, "metadata/generation").unwrap_or(1).to_string(),
            );
            let _ = make(desk, &set, SOURCE, pod);
        }
    }
    let pods = active(desk, &set);
    let seconds = number(&set, "spec/minReadySeconds").unwrap_or(0);
    let updated = pods
        .iter()
        .filter(|pod| texts(pod, "metadata/labels").get(REVISION) == Some(&revision));
    let updated = updated.count();
    let available = pods.iter().filter(|pod| is_available(pod, seconds)).count();
    let desired = usize::from(fits);
    let mut status = json!({
        "observedGeneration": set["metadata"]["generation"], "currentNumberScheduled": pods.len().min(desired),
        "desiredNumberScheduled": desired, "numberMisscheduled": 0,
        "numberReady": pods.iter().filter(|pod| is_ready(pod)).count(),
    });
    for (field, count) in [
        ("updatedNumberScheduled", updated),
        ("numberAvailable", available),
        ("numberUnavailable", desired.saturating_sub(available)),
    ] {
        if count > 0 {
            status[field] = count.into();
        }
    }
    let mut told = (*set).clone();
    put(&mut told, "status", status);
    if told != *set {
        desk.put_status(RESOURCE, "kube-controller-manager", told);
    }
}
