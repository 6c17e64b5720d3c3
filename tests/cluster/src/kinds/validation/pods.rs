//! Pods and their templates.

use serde_json::{Value, json};

use crate::{
    document::{at, items, number, text},
    kinds::validation::words,
    refusal::Cause,
};

const UPDATES: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

pub(super) fn pod(object: &Value, live: Option<&Value>, causes: &mut Vec<Cause>) {
    spec(at(object, "spec"), "spec", causes);
    let Some(live) = live else { return };
    let fixed = |pod: &Value| {
        let mut spec = pod["spec"].clone();
        for list in ["containers", "initContainers"] {
            for container in spec
                .get_mut(list)
                .and_then(Value::as_array_mut)
                .into_iter()
                .flatten()
            {
                container["image"] = Value::Null;
            }
        }
        for field in [
            "activeDeadlineSeconds",
            "tolerations",
            "terminationGracePeriodSeconds",
        ] {
            spec[field] = Value::Null;
        }
        spec
    };
    if fixed(object) != fixed(live) {
        causes.push(Cause::forbidden("spec", UPDATES));
    }
}

/// A pod's specification below `path`.
pub(super) fn spec(spec: &Value, path: &str, causes: &mut Vec<Cause>) {
    let containers = items(spec, "containers");
    if containers.is_empty() {
        causes.push(Cause::required(&format!("{path}.containers"), ""));
    }
    let policy = text(spec, "restartPolicy");
    let policies = ["Always", "OnFailure", "Never"];
    if !policies.contains(&policy) {
        causes.push(Cause::unsupported(
            &format!("{path}.restartPolicy"),
            &json!(policy),
            &policies,
        ));
    }
    let policies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    if !policies.contains(&text(spec, "dnsPolicy")) {
        causes.push(Cause::unsupported(
            &format!("{path}.dnsPolicy"),
            at(spec, "dnsPolicy"),
            &policies,
        ));
    }
    let volumes: Vec<&str> = items(spec, "volumes")
        .iter()
        .map(|volume| text(volume, "name"))
        .collect();
    unique(items(spec, "volumes"), &format!("{path}.volumes"), causes);
    for list in ["initContainers", "containers"] {
        let below = format!("{path}.{list}");
        unique(items(spec, list), &below, causes);
        for (place, container) in items(spec, list).iter().enumerate() {
            self::container(container, &format!("{below}[{place}]"), &volumes, causes);
        }
    }
}

/// Names of a list: there, well made, and each once.
fn unique(list: &[Value], path: &str, causes: &mut Vec<Cause>) {
    let mut seen: Vec<&str> = Vec::new();
    for (place, item) in list.iter().enumerate() {
        let (name, field) = (text(item, "name"), format!("{path}[{place}].name"));
        if name.is_empty() {
            causes.push(Cause::required(&field, ""));
            continue;
        }
        for fault in words::label(name) {
            causes.push(Cause::invalid(&field, &json!(name), &fault));
        }
        if seen.contains(&name) {
            causes.push(Cause::duplicate(&field, &json!(name)));
        }
        seen.push(name);
    }
}

fn container(container: &Value, path: &str, volumes: &[&str], causes: &mut Vec<Cause>) {
    let image = text(container, "image");
    if image.is_empty() {
        causes.push(Cause::required(&format!("{path}.image"), ""));
    } else if image.trim() != image {
        let why = "must not have leading or trailing whitespace";
        causes.push(Cause::invalid(&format!("{path}.image"), &json!(image), why));
    }
    let policies = ["Always", "IfNotPresent", "Never"];
    if !policies.contains(&text(container, "imagePullPolicy")) {
        let field = format!("{path}.imagePullPolicy");
        causes.push(Cause::unsupported(
            &field,
            at(container, "imagePullPolicy"),
            &policies,
        ));
    }
    for (place, entry) in items(container, "ports").iter().enumerate() {
        port(
            entry,
            "containerPort",
            &format!("{path}.ports[{place}]"),
            causes,
        );
    }
    for (place, variable) in items(container, "env").iter().enumerate() {
        let field = format!("{path}.env[{place}]");
        if text(variable, "name").is_empty() {
            causes.push(Cause::required(&format!("{field}.name"), ""));
        }
        if !text(variable, "value").is_empty() && at(variable, "valueFrom").is_object() {
            let why = "may not be specified when `value` is not empty";
            causes.push(Cause::invalid(
                &format!("{field}.valueFrom"),
                &json!(""),
                why,
            ));
        }
    }
    for (place, mount) in items(container, "volumeMounts").iter().enumerate() {
        let field = format!("{path}.volumeMounts[{place}]");
        let name = text(mount, "name");
        if name.is_empty() {
            causes.push(Cause::required(&format!("{field}.name"), ""));
        } else if !volumes.contains(&name) {
            causes.push(Cause::not_found(&format!("{field}.name"), &json!(name)));
        }
        if text(mount, "mountPath").is_empty() {
            causes.push(Cause::required(&format!("{field}.mountPath"), ""));
        }
    }
}

/// A port's number.
pub(super) fn port(entry: &Value, name: &str, path: &str, causes: &mut Vec<Cause>) {
    let field = format!("{path}.{name}");
    match number(entry, name) {
        None | Some(0) if name == "containerPort" => causes.push(Cause::required(&field, "")),
        Some(1..=65535) => {}
        port => {
            let why = "must be between 1 and 65535, inclusive";
            causes.push(Cause::invalid(&field, &json!(port.unwrap_or(0)), why));
        }
    }
    let protocols = ["TCP", "UDP", "SCTP"];
    let protocol = text(entry, "protocol");
    if !protocol.is_empty() && !protocols.contains(&protocol) {
        causes.push(Cause::unsupported(
            &format!("{path}.protocol"),
            &json!(protocol),
            &protocols,
        ));
    }
}
