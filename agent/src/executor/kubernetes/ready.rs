//! Whether an object does what it is there for, by what the cluster tells of it.
//!
//! The rules are those of `kubectl rollout status` and `kubectl wait`, by kind; of a kind that is not known here a
//! condition `Ready` counts.

use serde_json::Value;

/// Whether an object does what it is there for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    Ready,
    /// Not yet; what is missing.
    Waiting(String),
    /// It will not; why.
    Failed(String),
}

use Readiness::{Failed, Ready, Waiting};

/// Asks for a wait for what nobody waits for otherwise: an address of an Ingress or of a Service.
const WAIT: &str = "towline.io/wait";

/// Judges an object as the cluster has it.
pub(super) fn judge(object: &Value) -> Readiness {
    let kind = object
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if number(object, "/status/observedGeneration").is_some_and(|seen| {
        number(object, "/metadata/generation").is_some_and(|generation| seen < generation)
    }) {
        return Waiting("the cluster has not seen the change yet".to_owned());
    }
    match kind {
        "Deployment" => deployment(object),
        "StatefulSet" => stateful_set(object),
        "DaemonSet" => daemon_set(object),
        "ReplicaSet" => counted(
            wanted_replicas(object),
            number(object, "/status/availableReplicas").unwrap_or(0),
        ),
        "Job" => job(object),
        "Pod" => pod(object),
        "PersistentVolumeClaim" => claim(object),
        "CustomResourceDefinition" => definition(object),
        "Namespace" => match text(object, "/status/phase") {
            "Terminating" => Failed("it is being deleted; wait until it is gone".to_owned()),
            _ => Ready,
        },
        "APIService" => by_condition(object, "Available"),
        "Ingress" | "Service" => address(object),
        // What these say of themselves is about their pods.
        "HorizontalPodAutoscaler" | "PodDisruptionBudget" | "CronJob" | "Node" => Ready,
        _ => by_condition(object, "Ready"),
    }
}

fn deployment(object: &Value) -> Readiness {
    if let Some(progress) = condition(object, "Progressing")
        && text(progress, "/reason") == "ProgressDeadlineExceeded"
    {
        return Failed(format!(
            "it makes no progress: {}",
            text(progress, "/message")
        ));
    }
    if !is_seen(object) {
        return unseen();
    }
    if object.pointer("/spec/paused") == Some(&Value::Bool(true)) {
        return Ready;
    }
    let wanted = wanted_replicas(object);
    let status = |field: &str| number(object, &format!("/status/{field}")).unwrap_or(0);
    let (updated, all, available) = (
        status("updatedReplicas"),
        status("replicas"),
        status("availableReplicas"),
    );
    if updated < wanted {
        return Waiting(format!("{updated} of {wanted} pods are of this release"));
    }
    if all > updated {
        return Waiting(format!(
            "{} pods of the release before are to end",
            all - updated
        ));
    }
    if available < updated {
        return Waiting(format!("{available} of {updated} pods are available"));
    }
    Ready
}

fn stateful_set(object: &Value) -> Readiness {
    if text(object, "/spec/updateStrategy/type") == "OnDelete" {
        return Ready;
    }
    if !is_seen(object) {
        return unseen();
    }
    let wanted = wanted_replicas(object);
    let status = |field: &str| number(object, &format!("/status/{field}")).unwrap_or(0);
    if status("readyReplicas") < wanted {
        return Waiting(format!(
            "{} of {wanted} pods are ready",
            status("readyReplicas")
        ));
    }
    let partition = number(object, "/spec/updateStrategy/rollingUpdate/partition").unwrap_or(0);
    if partition > 0 {
        let due = (wanted - partition).max(0);
        return match status("updatedReplicas") {
            updated if updated < due => {
                Waiting(format!("{updated} of {due} pods are of this release"))
            }
            _ => Ready,
        };
    }
    if text(object, "/status/updateRevision") != text(object, "/status/currentRevision") {
        let updated = status("updatedReplicas");
        return Waiting(format!("{updated} of {wanted} pods are of this release"));
    }
    Ready
}

fn daemon_set(object: &Value) -> Readiness {
    if text(object, "/spec/updateStrategy/type") == "OnDelete" {
        return Ready;
    }
    if !is_seen(object) {
        return unseen();
    }
    let status = |field: &str| number(object, &format!("/status/{field}")).unwrap_or(0);
    let wanted = status("desiredNumberScheduled");
    let updated = status("updatedNumberScheduled");
    if updated < wanted {
        return Waiting(format!(
            "{updated} of {wanted} nodes have a pod of this release"
        ));
    }
    counted(wanted, status("numberAvailable"))
}

fn job(object: &Value) -> Readiness {
    if let Some(failed) = condition(object, "Failed").filter(|failed| is_true(failed)) {
        return Failed(format!(
            "{}: {}",
            text(failed, "/reason"),
            text(failed, "/message")
        ));
    }
    let is_done = condition(object, "Complete").is_some_and(is_true);
    if is_done || object.pointer("/spec/suspend") == Some(&Value::Bool(true)) {
        return Ready;
    }
    let wanted = number(object, "/spec/completions").unwrap_or(1);
    let done = number(object, "/status/succeeded").unwrap_or(0);
    Waiting(format!("{done} of {wanted} pods have completed"))
}

fn pod(object: &Value) -> Readiness {
    match text(object, "/status/phase") {
        "Succeeded" => Ready,
        "Failed" => Failed(format!(
            "its containers have failed {}",
            text(object, "/status/message")
        )),
        _ if condition(object, "Ready").is_some_and(is_true) => Ready,
        "" => Waiting("it is not scheduled yet".to_owned()),
        phase => Waiting(format!("it is {phase}")),
    }
}

fn claim(object: &Value) -> Readiness {
    match text(object, "/status/phase") {
        "Bound" => Ready,
        "Lost" => Failed("the volume that it was bound to is gone".to_owned()),
        _ => Waiting("it is not bound to a volume".to_owned()),
    }
}

fn definition(object: &Value) -> Readiness {
    if let Some(names) = condition(object, "NamesAccepted")
        && text(names, "/status") == "False"
    {
        return Failed(text(names, "/message").to_owned());
    }
    if condition(object, "Established").is_some_and(is_true) {
        Ready
    } else {
        Waiting("the cluster does not serve it yet".to_owned())
    }
}

fn address(object: &Value) -> Readiness {
    let asked = object
        .pointer("/metadata/annotations")
        .and_then(|annotations| annotations.get(WAIT));
    let is_balanced =
        text(object, "/kind") == "Ingress" || text(object, "/spec/type") == "LoadBalancer";
    if asked.is_none_or(|asked| asked != "true") || !is_balanced {
        return Ready;
    }
    let addresses = object.pointer("/status/loadBalancer/ingress");
    match addresses.and_then(Value::as_array) {
        Some(addresses) if !addresses.is_empty() => Ready,
        _ => Waiting("it has no address yet".to_owned()),
    }
}

/// Of a kind that has no such condition, nothing is waited for.
fn by_condition(object: &Value, name: &str) -> Readiness {
    match condition(object, name) {
        None => Ready,
        Some(condition) if is_true(condition) => Ready,
        Some(condition) => {
            let (reason, message) = (text(condition, "/reason"), text(condition, "/message"));
            Waiting(format!(
                "{name} is {}: {reason} {message}",
                text(condition, "/status")
            ))
        }
    }
}

fn counted(wanted: i64, available: i64) -> Readiness {
    if available < wanted {
        return Waiting(format!("{available} of {wanted} pods are available"));
    }
    Ready
}

/// Whether its controller has looked at it at all.
fn is_seen(object: &Value) -> bool {
    number(object, "/status/observedGeneration").is_some()
}

fn unseen() -> Readiness {
    Waiting("the cluster has not seen it yet".to_owned())
}

fn wanted_replicas(object: &Value) -> i64 {
    number(object, "/spec/replicas").unwrap_or(1)
}

fn condition<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    conditions
        .iter()
        .find(|condition| condition.get("type").is_some_and(|kind| kind == name))
}

fn is_true(condition: &Value) -> bool {
    text(condition, "/status") == "True"
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    let found = object.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default()
}

fn number(object: &Value, pointer: &str) -> Option<i64> {
    object.pointer(pointer)?.as_i64()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with(kind: &str, spec: &Value, status: &Value) -> Value {
        json!({"kind": kind, "metadata": {"generation": 2}, "spec": spec, "status": status})
    }

    #[test]
    fn each_kind_is_ready_when_it_does_what_it_is_for() {
        let up = json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2, "readyReplicas": 2, "updateRevision": "a", "currentRevision": "a"});
        let two = json!({"replicas": 2});
        let daemon = json!({"observedGeneration": 2, "desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 3});
        let condition =
            |name: &str, status: &str| json!({"conditions": [{"type": name, "status": status}]});
        let none = json!({});
        let table = [
            with("Deployment", &two, &up),
            with("StatefulSet", &two, &up),
            with("DaemonSet", &none, &daemon),
            with("Job", &none, &condition("Complete", "True")),
            with("Job", &json!({"suspend": true}), &none),
            with("Pod", &none, &condition("Ready", "True")),
            with("Pod", &none, &json!({"phase": "Succeeded"})),
            with("PersistentVolumeClaim", &none, &json!({"phase": "Bound"})),
            with(
                "CustomResourceDefinition",
                &none,
                &condition("Established", "True"),
            ),
            with("Namespace", &none, &json!({"phase": "Active"})),
            with("Widget", &none, &condition("Ready", "True")),
            with("Widget", &none, &none),
            with("Ingress", &none, &none),
            with("Service", &json!({"type": "LoadBalancer"}), &none),
            with("ConfigMap", &none, &none),
        ];
        for object in table {
            assert_eq!(judge(&object), Ready, "{object}");
        }
    }

    #[test]
    fn what_is_not_ready_says_what_is_missing() {
        let none = json!({});
        let two = json!({"replicas": 2});
        let table = [
            (with("Deployment", &two, &none), "not seen it"),
            (
                with("Deployment", &two, &json!({"observedGeneration": 1})),
                "not seen the change",
            ),
            (
                with(
                    "Deployment",
                    &two,
                    &json!({"observedGeneration": 2, "updatedReplicas": 1}),
                ),
                "1 of 2 pods are of this release",
            ),
            (
                with(
                    "Deployment",
                    &two,
                    &json!({"observedGeneration": 2, "updatedReplicas": 2, "replicas": 3}),
                ),
                "1 pods of the release before",
            ),
            (
                with(
                    "Deployment",
                    &two,
                    &json!({"observedGeneration": 2, "updatedReplicas": 2, "replicas": 2, "availableReplicas": 1}),
                ),
                "1 of 2 pods are available",
            ),
            (
                with(
                    "StatefulSet",
                    &two,
                    &json!({"observedGeneration": 2, "readyReplicas": 2, "updatedReplicas": 1, "updateRevision": "b", "currentRevision": "a"}),
                ),
                "1 of 2",
            ),
            (
                with(
                    "DaemonSet",
                    &none,
                    &json!({"observedGeneration": 2, "desiredNumberScheduled": 2, "updatedNumberScheduled": 2, "numberAvailable": 1}),
                ),
                "1 of 2 pods",
            ),
            (with("Job", &none, &none), "0 of 1"),
            (with("Pod", &none, &json!({"phase": "Pending"})), "Pending"),
            (
                with("PersistentVolumeClaim", &none, &json!({"phase": "Pending"})),
                "not bound",
            ),
            (
                with("CustomResourceDefinition", &none, &none),
                "does not serve",
            ),
            (
                with(
                    "Widget",
                    &none,
                    &json!({"conditions": [{"type": "Ready", "status": "False", "reason": "NoParts"}]}),
                ),
                "NoParts",
            ),
        ];
        for (object, words) in table {
            match judge(&object) {
                Waiting(what) => assert!(what.contains(words), "{what}: {object}"),
                other => panic!("{other:?}: {object}"),
            }
        }
        let mut balanced = with("Ingress", &none, &none);
        balanced["metadata"]["annotations"] = json!({WAIT: "true"});
        assert!(matches!(judge(&balanced), Waiting(_)));
        balanced["status"] = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}});
        assert_eq!(judge(&balanced), Ready);
    }

    #[test]
    fn what_will_not_be_ready_is_failed() {
        let none = json!({});
        let stuck = json!({"observedGeneration": 2, "conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out"}]});
        let table = [
            with("Deployment", &none, &stuck),
            with(
                "Job",
                &none,
                &json!({"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]}),
            ),
            with("Pod", &none, &json!({"phase": "Failed"})),
            with("PersistentVolumeClaim", &none, &json!({"phase": "Lost"})),
            with("Namespace", &none, &json!({"phase": "Terminating"})),
            with(
                "CustomResourceDefinition",
                &none,
                &json!({"conditions": [{"type": "NamesAccepted", "status": "False", "message": "taken"}]}),
            ),
        ];
        for object in table {
            assert!(matches!(judge(&object), Failed(_)), "{object}");
        }
    }
}
