//! Names, labels and annotations.

use serde_json::{Value, json};

use crate::{
    document::{items, text, texts},
    kinds::{Kind, validation::words},
    refusal::Cause,
};

/// The most bytes of all annotations.
const ANNOTATIONS: usize = 256 * 1024;

pub(super) fn check(kind: &Kind, object: &Value, live: Option<&Value>, causes: &mut Vec<Cause>) {
    if live.is_none() {
        name(kind, text(object, "metadata/name"), causes);
    }
    labels(object, "metadata/labels", causes);
    let annotations = texts(object, "metadata/annotations");
    for key in annotations.keys() {
        for fault in words::label_key(&key.to_lowercase()) {
            causes.push(Cause::invalid("metadata.annotations", &json!(key), &fault));
        }
    }
    let size: usize = annotations
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    if size > ANNOTATIONS {
        causes.push(Cause::too_long("metadata.annotations", ANNOTATIONS));
    }
    if let Some(live) = live.filter(|live| !text(live, "metadata/deletionTimestamp").is_empty()) {
        let before = items(live, "metadata/finalizers");
        let added: Vec<&Value> = items(object, "metadata/finalizers")
            .iter()
            .filter(|name| !before.contains(name))
            .collect();
        if !added.is_empty() {
            let why = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers {}",
                json!(added)
            );
            causes.push(Cause::forbidden("metadata.finalizers", &why));
        }
    }
}

fn name(kind: &Kind, name: &str, causes: &mut Vec<Cause>) {
    let faults = match (kind.group.as_str(), kind.kind.as_str()) {
        ("rbac.authorization.k8s.io", _) => Vec::new(),
        ("", "Service") => words::label_1035(name),
        ("", "Namespace") => words::label(name),
        _ => words::subdomain(name),
    };
    for fault in faults {
        causes.push(Cause::invalid("metadata.name", &json!(name), &fault));
    }
}

/// Labels at a path.
pub(super) fn labels(object: &Value, path: &str, causes: &mut Vec<Cause>) {
    let field = path.replace('/', ".");
    for (key, value) in texts(object, path) {
        for fault in words::label_key(&key) {
            causes.push(Cause::invalid(&field, &json!(key), &fault));
        }
        for fault in words::label_value(&value) {
            causes.push(Cause::invalid(&field, &json!(value), &fault));
        }
    }
}
