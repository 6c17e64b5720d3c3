//! Of pods and their templates.

use serde_json::{Value, json};

use crate::document::{at, list, place, put, put_default, text};

pub(super) fn pod(object: &mut Value) {
    spec(place(object, "spec"));
    put_default(object, "spec/enableServiceLinks", true);
    let guaranteed = quality(object);
    put_default(object, "status/phase", "Pending");
    put_default(object, "status/qosClass", guaranteed);
    put_default(
        object,
        "spec/tolerations",
        json!([
            {"effect": "NoExecute", "key": "node.kubernetes.io/not-ready", "operator": "Exists", "tolerationSeconds": 300},
            {"effect": "NoExecute", "key": "node.kubernetes.io/unreachable", "operator": "Exists", "tolerationSeconds": 300}
        ]),
    );
    put_default(object, "spec/preemptionPolicy", "PreemptLowerPriority");
    put_default(object, "spec/priority", 0);
}

/// The class by which a node would choose what it ends first.
fn quality(pod: &Value) -> &'static str {
    let containers = at(pod, "spec/containers").as_array();
    let mut classes = containers.into_iter().flatten().map(|container| {
        let requests = at(container, "resources/requests");
        let limits = at(container, "resources/limits");
        let is_full = |map: &Value| !map["cpu"].is_null() && !map["memory"].is_null();
        match (requests.is_object(), limits.is_object()) {
            (false, false) => "BestEffort",
            _ if is_full(limits) && (requests == limits || !requests.is_object()) => "Guaranteed",
            _ => "Burstable",
        }
    });
    let first = classes.next().unwrap_or("BestEffort");
    if classes.all(|class| class == first) {
        first
    } else {
        "Burstable"
    }
}

pub(super) fn template(object: &mut Value, path: &str) {
    let template = place(object, path);
    put_default(template, "metadata/creationTimestamp", Value::Null);
    if let Some(metadata) = template.get_mut("metadata").and_then(Value::as_object_mut) {
        // A time that is null is not there, for whoever compares.
        metadata.retain(|_, value| !value.is_null());
        if metadata.is_empty() {
            drop(crate::document::take(template, "metadata"));
        }
    }
    spec(place(template, "spec"));
}

fn spec(spec: &mut Value) {
    put_default(spec, "restartPolicy", "Always");
    put_default(spec, "dnsPolicy", "ClusterFirst");
    put_default(spec, "schedulerName", "default-scheduler");
    put_default(spec, "terminationGracePeriodSeconds", 30);
    put_default(spec, "securityContext", json!({}));
    if !text(spec, "serviceAccountName").is_empty() {
        let name = text(spec, "serviceAccountName").to_owned();
        put(spec, "serviceAccount", name);
    }
    for name in ["containers", "initContainers"] {
        if at(spec, name).is_array() {
            list(spec, name).iter_mut().for_each(container);
        }
    }
    if at(spec, "volumes").is_array() {
        list(spec, "volumes").iter_mut().for_each(volume);
    }
}

fn container(container: &mut Value) {
    let image = text(container, "image").to_owned();
    let policy = match image.rsplit('/').next().unwrap_or_default() {
        last if image.contains('@') || (last.contains(':') && !last.ends_with(":latest")) => {
            "IfNotPresent"
        }
        _ => "Always",
    };
    put_default(container, "imagePullPolicy", policy);
    put_default(container, "terminationMessagePath", "/dev/termination-log");
    put_default(container, "terminationMessagePolicy", "File");
    put_default(container, "resources", json!({}));
    let limits = at(container, "resources/limits").clone();
    for (name, limit) in limits.as_object().into_iter().flatten() {
        if at(container, "resources/requests").get(name).is_none() {
            let requests = place(container, "resources/requests");
            crate::document::object(requests).insert(name.clone(), limit.clone());
        }
    }
    if at(container, "ports").is_array() {
        for port in list(container, "ports") {
            put_default(port, "protocol", "TCP");
        }
    }
    if at(container, "env").is_array() {
        for variable in list(container, "env") {
            if at(variable, "valueFrom/fieldRef").is_object() {
                put_default(variable, "valueFrom/fieldRef/apiVersion", "v1");
            }
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if at(container, name).is_object() {
            probe(place(container, name));
        }
    }
    for name in ["lifecycle/postStart", "lifecycle/preStop"] {
        let path = format!("{name}/httpGet");
        if at(container, &path).is_object() {
            request(place(container, &path));
        }
    }
}

fn request(get: &mut Value) {
    put_default(get, "path", "/");
    put_default(get, "scheme", "HTTP");
}

fn probe(probe: &mut Value) {
    put_default(probe, "timeoutSeconds", 1);
    put_default(probe, "periodSeconds", 10);
    put_default(probe, "successThreshold", 1);
    put_default(probe, "failureThreshold", 3);
    if at(probe, "httpGet").is_object() {
        request(place(probe, "httpGet"));
    }
    if at(probe, "grpc").is_object() {
        put_default(probe, "grpc/service", "");
    }
}

fn volume(volume: &mut Value) {
    for (source, mode) in [
        ("configMap", 420),
        ("secret", 420),
        ("downwardAPI", 420),
        ("projected", 420),
    ] {
        if at(volume, source).is_object() {
            put_default(volume, &format!("{source}/defaultMode"), mode);
        }
    }
    if at(volume, "hostPath").is_object() {
        put_default(volume, "hostPath/type", "");
    }
    let sources = volume.as_object().map_or(0, serde_json::Map::len);
    if sources == 1 {
        put(volume, "emptyDir", json!({}));
    }
}
