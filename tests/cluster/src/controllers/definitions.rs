//! Definitions of custom resources: accepted and established a moment after they come, and their resources served.

use serde_json::json;

use crate::{
    api::prepare::now,
    controllers::desk::Desk,
    document::{at, items, put, text},
    kinds::custom::kinds_of,
};

const RESOURCE: &str = "customresourcedefinitions.apiextensions.k8s.io";

pub(super) fn look(desk: &mut Desk, name: &str) {
    let Some(definition) = desk.get(RESOURCE, &(String::new(), name.to_owned())) else {
        desk.state.kinds.replace_custom(name, Vec::new());
        return;
    };
    if !text(&definition, "metadata/deletionTimestamp").is_empty() {
        return;
    }
    desk.state.kinds.replace_custom(name, kinds_of(&definition));
    let is_established = items(&definition, "status/conditions")
        .iter()
        .any(|condition| condition["type"] == "Established" && condition["status"] == "True");
    let accepted = at(&definition, "status/acceptedNames") == at(&definition, "spec/names");
    if is_established && accepted {
        return;
    }
    let time = now();
    let mut established = (*definition).clone();
    let stored: Vec<_> = items(&definition, "spec/versions")
        .iter()
        .filter(|version| version["storage"] == true)
        .map(|version| version["name"].clone())
        .collect();
    put(
        &mut established,
        "status",
        json!({
            "acceptedNames": definition["spec"]["names"], "storedVersions": stored,
            "conditions": [
                {"type": "NamesAccepted", "status": "True", "reason": "NoConflicts", "message": "no conflicts found", "lastTransitionTime": time},
                {"type": "Established", "status": "True", "reason": "InitialNamesAccepted", "message": "the initial names have been accepted", "lastTransitionTime": time},
            ],
        }),
    );
    desk.put_status(RESOURCE, "kube-apiserver", established);
}
