//! Services, configuration, claims, and bindings.

use serde_json::{Value, json};

use crate::{
    document::{at, items, text},
    kinds::validation::{immutable, pods::port, words},
    refusal::Cause,
};

/// The most bytes of a ConfigMap's or Secret's values.
const VALUES: usize = 1024 * 1024;
const FIXED: &str = "field is immutable when `immutable` is set";

pub(super) fn service(object: &Value, live: Option<&Value>, causes: &mut Vec<Cause>) {
    let ports = items(object, "spec/ports");
    let kinds = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    let kind = text(object, "spec/type");
    if !kinds.contains(&kind) {
        causes.push(Cause::unsupported("spec.type", &json!(kind), &kinds));
    }
    if ports.is_empty() && kind != "ExternalName" && text(object, "spec/clusterIP") != "None" {
        causes.push(Cause::required("spec.ports", ""));
    }
    for (place, entry) in ports.iter().enumerate() {
        let path = format!("spec.ports[{place}]");
        port(entry, "port", &path, causes);
        let name = text(entry, "name");
        if name.is_empty() && ports.len() > 1 {
            causes.push(Cause::required(&format!("{path}.name"), ""));
        }
        let same = ports[..place]
            .iter()
            .any(|there| there["port"] == entry["port"] && there["protocol"] == entry["protocol"]);
        if same {
            let shown = json!({"port": entry["port"], "protocol": entry["protocol"]});
            causes.push(Cause::duplicate(&path, &shown));
        }
    }
    if let Some(live) = live
        && kind != "ExternalName"
        && text(live, "spec/type") != "ExternalName"
        && at(object, "spec/clusterIP") != at(live, "spec/clusterIP")
    {
        let shown = at(object, "spec/clusterIPs");
        causes.push(Cause::invalid(
            "spec.clusterIPs[0]",
            shown,
            "may not change once set",
        ));
    }
}

fn values(object: &Value, causes: &mut Vec<Cause>) -> usize {
    let mut size = 0;
    for field in ["data", "binaryData"] {
        for (key, value) in at(object, field).as_object().into_iter().flatten() {
            size += key.len() + value.as_str().map_or(0, str::len);
            for fault in words::config_key(key) {
                causes.push(Cause::invalid(
                    &format!("{field}[{key}]"),
                    &json!(key),
                    &fault,
                ));
            }
        }
    }
    size
}

fn fixed(object: &Value, live: Option<&Value>, fields: &[&str], causes: &mut Vec<Cause>) {
    let Some(live) = live.filter(|live| live["immutable"] == true) else {
        return;
    };
    if object["immutable"] != true {
        causes.push(Cause::forbidden("immutable", FIXED));
    }
    for field in fields {
        if at(object, field) != at(live, field) {
            causes.push(Cause::forbidden(field, FIXED));
        }
    }
}

pub(super) fn config_map(object: &Value, live: Option<&Value>, causes: &mut Vec<Cause>) {
    if values(object, causes) > VALUES {
        causes.push(Cause::too_long("[]", VALUES));
    }
    fixed(object, live, &["data", "binaryData"], causes);
}

pub(super) fn secret(object: &Value, live: Option<&Value>, causes: &mut Vec<Cause>) {
    // Values are base64 here.
    if values(object, causes) / 4 * 3 > VALUES {
        causes.push(Cause::too_long("data", VALUES));
    }
    let needed: &[&str] = match text(object, "type") {
        "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
        _ => &[],
    };
    for key in needed {
        if at(object, "data").get(key).is_none() {
            causes.push(Cause::required(&format!("data[{key}]"), ""));
        }
    }
    immutable(object, live, "type", causes);
    fixed(object, live, &["data"], causes);
}

pub(super) fn claim(object: &Value, live: Option<&Value>, causes: &mut Vec<Cause>) {
    if items(object, "spec/accessModes").is_empty() {
        causes.push(Cause::required(
            "spec.accessModes",
            "at least 1 access mode is required",
        ));
    }
    if at(object, "spec/resources/requests/storage").is_null() {
        causes.push(Cause::required("spec.resources[storage]", ""));
    }
    let Some(live) = live else { return };
    let spec = |claim: &Value| {
        let mut spec = claim["spec"].clone();
        spec["resources"] = Value::Null;
        spec["volumeAttributesClassName"] = Value::Null;
        spec
    };
    if spec(object) != spec(live) {
        let why = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        causes.push(Cause::forbidden("spec", why));
    }
}

pub(super) fn ingress(object: &Value, causes: &mut Vec<Cause>) {
    if items(object, "spec/rules").is_empty() && at(object, "spec/defaultBackend").is_null() {
        let why = "either `defaultBackend` or `rules` must be specified";
        causes.push(Cause::invalid("spec", at(object, "spec"), why));
    }
    for (rule_at, rule) in items(object, "spec/rules").iter().enumerate() {
        for (path_at, path) in items(rule, "http/paths").iter().enumerate() {
            let field = format!("spec.rules[{rule_at}].http.paths[{path_at}]");
            if text(path, "pathType").is_empty() {
                let why = "pathType must be specified";
                causes.push(Cause::required(&format!("{field}.pathType"), why));
            }
            if at(path, "backend/service").is_null() && at(path, "backend/resource").is_null() {
                causes.push(Cause::required(&format!("{field}.backend"), ""));
            }
        }
    }
}

pub(super) fn binding(object: &Value, live: Option<&Value>, causes: &mut Vec<Cause>) {
    let Some(live) = live else { return };
    if object["roleRef"] != live["roleRef"] {
        causes.push(Cause::invalid(
            "roleRef",
            &object["roleRef"],
            "cannot change roleRef",
        ));
    }
}
