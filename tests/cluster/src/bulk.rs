//! Thousands of pods in a moment, which nothing simulates.

use serde_json::json;

use crate::{
    api::prepare::now,
    refusal::{Answer, Refusal},
    state::State,
};

/// The annotation of pods that stay as they are.
pub(crate) const STILL: &str = "towline.test/still";

/// Makes `count` pods that run, `bulk-0` and so on.
pub(crate) fn pods(state: &mut State, namespace: &str, count: usize) -> Answer<()> {
    if state.store.get("namespaces", "", namespace).is_none() {
        return Err(Refusal::bad_request(format!(
            "there is no namespace {namespace:?}"
        )));
    }
    for at in 0..count {
        let name = format!("bulk-{at}");
        let time = now();
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": name, "namespace": namespace, "uid": format!("b0000000-0000-4000-8000-{at:012}"),
                "creationTimestamp": time, "labels": {"app": "bulk"}, "annotations": {STILL: "true"},
            },
            "spec": {
                "containers": [{"name": "main", "image": "bulk:1", "imagePullPolicy": "IfNotPresent", "resources": {},
                    "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}],
                "nodeName": "node-1", "restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler",
                "serviceAccountName": "default", "serviceAccount": "default", "terminationGracePeriodSeconds": 30, "securityContext": {},
            },
            "status": {
                "phase": "Running", "podIP": "10.244.0.9", "startTime": time, "qosClass": "BestEffort",
                "conditions": [{"type": "Ready", "status": "True", "lastProbeTime": null, "lastTransitionTime": time}],
                "containerStatuses": [{"name": "main", "ready": true, "started": true, "restartCount": 0, "image": "bulk:1",
                    "imageID": "", "state": {"running": {"startedAt": time}}, "lastState": {}}],
            },
        });
        state.store.write("pods", pod);
    }
    Ok(())
}
