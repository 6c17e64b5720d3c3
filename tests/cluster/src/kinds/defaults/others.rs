//! Of all that makes no pods.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::document::{
    at, carry, items, list, number, object as as_map, place, put, put_default, take, text,
};

pub(super) fn service(object: &mut Value, live: Option<&Value>) {
    put_default(object, "spec/type", "ClusterIP");
    put_default(object, "spec/sessionAffinity", "None");
    let kind = text(object, "spec/type").to_owned();
    if kind == "ExternalName" {
        return;
    }
    put_default(object, "spec/internalTrafficPolicy", "Cluster");
    if let Some(live) = live.filter(|_| text(object, "spec/clusterIP").is_empty()) {
        carry(object, "spec/clusterIP", live);
        carry(object, "spec/clusterIPs", live);
    }
    if text(object, "spec/clusterIP").is_empty() {
        let address = format!("10.96.{}.{}", fastrand::u8(1..), fastrand::u8(1..255));
        put(object, "spec/clusterIP", address);
    }
    let address = text(object, "spec/clusterIP").to_owned();
    put_default(object, "spec/clusterIPs", json!([address]));
    put_default(object, "spec/ipFamilies", json!(["IPv4"]));
    put_default(object, "spec/ipFamilyPolicy", "SingleStack");
    let opens_nodes = matches!(kind.as_str(), "NodePort" | "LoadBalancer");
    if opens_nodes {
        put_default(object, "spec/externalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        put_default(object, "spec/allocateLoadBalancerNodePorts", true);
    }
    if text(object, "spec/sessionAffinity") == "ClientIP" {
        put_default(
            object,
            "spec/sessionAffinityConfig/clientIP/timeoutSeconds",
            10800,
        );
    }
    if !at(object, "spec/ports").is_array() {
        return;
    }
    for entry in list(object, "spec/ports") {
        put_default(entry, "protocol", "TCP");
        let own = at(entry, "port").clone();
        put_default(entry, "targetPort", own);
        if opens_nodes {
            let before = live.and_then(|live| same_port(live, entry));
            let node_port = before.unwrap_or_else(|| fastrand::i64(30000..32768));
            put_default(entry, "nodePort", node_port);
        }
    }
    put_default(object, "status/loadBalancer", json!({}));
}

fn same_port(live: &Value, entry: &Value) -> Option<i64> {
    let mut ports = items(live, "spec/ports").iter();
    let found = ports
        .find(|there| there["port"] == entry["port"] && there["protocol"] == entry["protocol"]);
    number(found?, "nodePort")
}

pub(super) fn namespace(object: &mut Value) {
    put_default(object, "spec/finalizers", json!(["kubernetes"]));
    put_default(object, "status/phase", "Active");
    let name = text(object, "metadata/name").to_owned();
    let labels = place(object, "metadata/labels");
    as_map(labels).insert("kubernetes.io/metadata.name".to_owned(), name.into());
}

pub(super) fn secret(object: &mut Value) {
    put_default(object, "type", "Opaque");
    let Some(Value::Object(plain)) = take(object, "stringData") else {
        return;
    };
    let data = as_map(place(object, "data"));
    for (name, value) in plain {
        let encoded = STANDARD.encode(value.as_str().unwrap_or_default());
        data.insert(name, encoded.into());
    }
}

pub(super) fn claim(object: &mut Value) {
    put_default(object, "spec/volumeMode", "Filesystem");
    put_default(object, "status/phase", "Pending");
}

pub(super) fn autoscaler(object: &mut Value) {
    put_default(object, "spec/minReplicas", 1);
    put_default(
        object,
        "spec/metrics",
        json!([{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]),
    );
}

pub(super) fn storage_class(object: &mut Value) {
    put_default(object, "reclaimPolicy", "Delete");
    put_default(object, "volumeBindingMode", "Immediate");
}

pub(super) fn definition(object: &mut Value) {
    put_default(object, "spec/conversion/strategy", "None");
    let kind = text(object, "spec/names/kind").to_owned();
    put_default(object, "spec/names/singular", kind.to_lowercase());
    put_default(object, "spec/names/listKind", format!("{kind}List"));
}

pub(super) fn webhooks(object: &mut Value) {
    if !at(object, "webhooks").is_array() {
        return;
    }
    for webhook in list(object, "webhooks") {
        put_default(webhook, "failurePolicy", "Fail");
        put_default(webhook, "matchPolicy", "Equivalent");
        put_default(webhook, "timeoutSeconds", 10);
        put_default(webhook, "namespaceSelector", json!({}));
        put_default(webhook, "objectSelector", json!({}));
        if at(webhook, "clientConfig/service").is_object() {
            put_default(webhook, "clientConfig/service/port", 443);
        }
        if at(webhook, "rules").is_array() {
            for rule in list(webhook, "rules") {
                put_default(rule, "scope", "*");
            }
        }
    }
}

pub(super) fn binding(object: &mut Value) {
    put_default(object, "roleRef/apiGroup", "rbac.authorization.k8s.io");
    if !at(object, "subjects").is_array() {
        return;
    }
    for subject in list(object, "subjects") {
        if text(subject, "kind") != "ServiceAccount" {
            put_default(subject, "apiGroup", "rbac.authorization.k8s.io");
        }
    }
}

pub(super) fn network_policy(object: &mut Value) {
    let mut types = vec!["Ingress"];
    if !items(object, "spec/egress").is_empty() {
        types.push("Egress");
    }
    put_default(object, "spec/policyTypes", json!(types));
    for direction in ["spec/ingress", "spec/egress"] {
        if at(object, direction).is_array() {
            for rule in list(object, direction) {
                if at(rule, "ports").is_array() {
                    for port in list(rule, "ports") {
                        put_default(port, "protocol", "TCP");
                    }
                }
            }
        }
    }
}

/// Numbers of quantities are texts.
pub(super) fn quota(object: &mut Value) {
    if let Some(hard) = place(object, "spec")
        .get_mut("hard")
        .and_then(Value::as_object_mut)
    {
        for limit in hard.values_mut().filter(|limit| limit.is_number()) {
            *limit = limit.to_string().into();
        }
    }
}
