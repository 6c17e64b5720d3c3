//! Nothing is created in a namespace that is not there, or goes.

use serde_json::Value;

use crate::{
    api::prepare::Task,
    document::{items, number, text},
    kinds::{Kind, Scope},
    refusal::{Answer, Refusal},
    state::State,
};

/// Refuses a creation that the namespace does not take.
pub(crate) fn takes(state: &State, task: &Task, name: &str) -> Answer<()> {
    if task.kind.scope == Scope::Cluster {
        return Ok(());
    }
    let namespace = &task.namespace;
    let Some(there) = state.store.get("namespaces", "", namespace) else {
        let message = format!("namespaces {namespace:?} not found");
        return Err(Refusal::about(
            404,
            "NotFound",
            "",
            "namespaces",
            namespace,
            message,
        ));
    };
    if text(&there, "metadata/deletionTimestamp").is_empty() {
        return Ok(());
    }
    let why = format!(
        "unable to create new content in namespace {namespace} because it is being terminated"
    );
    let message = format!("namespace {namespace} is being terminated");
    Err(Refusal::forbidden(&task.kind, name, &why).because(
        "NamespaceTerminating",
        &message,
        "metadata.namespace",
    ))
}

/// Whether something beside finalizers holds an object that is to go.
pub(crate) fn lives_on(kind: &Kind, object: &Value) -> bool {
    match kind.kind.as_str() {
        "Namespace" => !items(object, "spec/finalizers").is_empty(),
        "Pod" => number(object, "metadata/deletionGracePeriodSeconds").unwrap_or(0) > 0,
        _ => false,
    }
}
