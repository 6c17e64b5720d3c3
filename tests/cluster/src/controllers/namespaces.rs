//! Namespaces: what each begins with, and how they end.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    controllers::desk::Desk,
    document::{items, put, text},
    store::{Key, key_of},
};

/// Completes a new one, empties and ends one that goes.
pub(super) fn look(desk: &mut Desk, name: &str) {
    let Some(namespace) = desk.get("namespaces", &(String::new(), name.to_owned())) else {
        return;
    };
    if text(&namespace, "metadata/deletionTimestamp").is_empty() {
        begin(desk, name);
    } else {
        end(desk, &namespace, name);
    }
}

fn begin(desk: &mut Desk, name: &str) {
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": name}});
    let authority = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kube-root-ca.crt", "namespace": name},
        "data": {"ca.crt": desk.state.authority},
    });
    // Those that are there already are refused.
    let _ = desk.create("serviceaccounts", account);
    let _ = desk.create("configmaps", authority);
}

fn end(desk: &mut Desk, namespace: &Arc<Value>, name: &str) {
    let mut left = Vec::new();
    for resource in desk.state.store.resources() {
        let Some(kind) = desk.state.kinds.of_resource(&resource) else {
            continue;
        };
        if !kind.is_namespaced() {
            continue;
        }
        let here: Vec<Arc<Value>> = desk.state.store.list(&resource, name).cloned().collect();
        for object in here {
            if text(&object, "metadata/deletionTimestamp").is_empty() {
                desk.delete(&resource, &key_of(&object));
            }
            if desk.get(&resource, &key_of(&object)).is_some() {
                left.push((resource.clone(), object));
            }
        }
    }
    if left.is_empty() {
        let mut last = (**namespace).clone();
        put(&mut last, "spec/finalizers", json!([]));
        desk.finish_namespace(last);
    } else {
        tell(desk, namespace, &left);
        let key: Key = (String::new(), name.to_owned());
        desk.look_again("namespaces", &key, std::time::Duration::from_millis(100));
    }
}

/// Says in the status what is still there, and what holds it.
fn tell(desk: &mut Desk, namespace: &Arc<Value>, left: &[(String, Arc<Value>)]) {
    let time = crate::api::prepare::now();
    let held: Vec<&str> = left
        .iter()
        .flat_map(|(_, object)| items(object, "metadata/finalizers"))
        .filter_map(Value::as_str)
        .collect();
    let mut resources: Vec<&String> = left.iter().map(|(resource, _)| resource).collect();
    resources.dedup();
    let counted: Vec<String> = resources
        .into_iter()
        .map(|resource| {
            let count = left.iter().filter(|(there, _)| there == resource).count();
            format!("{resource} has {count} resource instances")
        })
        .collect();
    let condition = |kind: &str, is: bool, reason: &str, message: &str| {
        let status = if is { "True" } else { "False" };
        json!({"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": time})
    };
    let remaining = format!("Some resources are remaining: {}", counted.join(", "));
    let finalizers = format!(
        "Some content in the namespace has finalizers remaining: {} in {} resource instances",
        held.first().unwrap_or(&""),
        held.len()
    );
    let conditions = json!([
        condition(
            "NamespaceDeletionDiscoveryFailure",
            false,
            "ResourcesDiscovered",
            "All resources successfully discovered"
        ),
        condition(
            "NamespaceDeletionGroupVersionParsingFailure",
            false,
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed"
        ),
        condition(
            "NamespaceDeletionContentFailure",
            false,
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization"
        ),
        condition(
            "NamespaceContentRemaining",
            true,
            "SomeResourcesRemain",
            &remaining
        ),
        condition(
            "NamespaceFinalizersRemaining",
            !held.is_empty(),
            if held.is_empty() {
                "ContentHasNoFinalizers"
            } else {
                "SomeFinalizersRemain"
            },
            if held.is_empty() {
                "All content-preserving finalizers finished"
            } else {
                &finalizers
            }
        ),
    ]);
    let before = items(namespace, "status/conditions");
    let said = |list: &[Value]| -> Vec<String> {
        list.iter()
            .map(|entry| text(entry, "message").to_owned())
            .collect()
    };
    let now = conditions.as_array().map_or(&[][..], Vec::as_slice);
    if said(before) != said(now) {
        let mut told = (**namespace).clone();
        put(&mut told, "status/conditions", conditions);
        desk.put_status("namespaces", "kube-controller-manager", told);
    }
}
