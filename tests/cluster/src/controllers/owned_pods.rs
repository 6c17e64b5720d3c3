//! What all makers of pods share: making one, counting them, and choosing which to end.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{
    controllers::desk::Desk,
    document::{at, items, object, place, put, text},
    kinds::Kind,
    refusal::Answer,
    store::key_of,
};

/// Letters of a hash, as of the names that the server makes up.
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Ten letters that tell templates apart.
pub(super) fn hash(template: &Value) -> String {
    let digest = Sha256::digest(template.to_string());
    let letters = digest.iter().take(10);
    letters
        .map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]))
        .collect()
}

/// That this object belongs to its maker, and ends with it.
pub(super) fn owner_reference(kind: &Kind, owner: &Value) -> Value {
    json!([{
        "apiVersion": kind.api_version(), "kind": kind.kind, "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"],
        "controller": true, "blockOwnerDeletion": true,
    }])
}

/// A pod of its maker's template, not yet named.
pub(super) fn of_template(kind: &Kind, owner: &Value) -> Value {
    let template = at(owner, "spec/template");
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": template["metadata"].clone(), "spec": template["spec"].clone(),
    });
    put(
        &mut pod,
        "metadata/namespace",
        text(owner, "metadata/namespace"),
    );
    put(
        &mut pod,
        "metadata/ownerReferences",
        owner_reference(kind, owner),
    );
    pod
}

/// Sets a label.
pub(super) fn label(document: &mut Value, key: &str, value: &str) {
    object(place(document, "metadata/labels")).insert(key.to_owned(), value.into());
}

/// Makes the pod and says so, or why not.
pub(super) fn make(desk: &mut Desk, owner: &Value, source: &str, pod: Value) -> Answer<()> {
    let made = desk.create("pods", pod);
    match made {
        Ok(pod) => {
            let message = format!("Created pod: {}", text(&pod, "metadata/name"));
            desk.event(owner, ("SuccessfulCreate", "Normal"), source, &message);
            Ok(())
        }
        Err(refusal) => {
            let message = format!("Error creating: {}", refusal.message);
            desk.event(owner, ("FailedCreate", "Warning"), source, &message);
            Err(refusal)
        }
    }
}

pub(super) fn is_going(pod: &Value) -> bool {
    !text(pod, "metadata/deletionTimestamp").is_empty()
}

pub(super) fn is_over(pod: &Value) -> bool {
    ["Succeeded", "Failed"].contains(&text(pod, "status/phase"))
}

/// When the pod became ready, if it is.
fn ready_since(pod: &Value) -> Option<DateTime<Utc>> {
    let conditions = items(pod, "status/conditions").iter();
    let mut ready =
        conditions.filter(|there| there["type"] == "Ready" && there["status"] == "True");
    let time = text(ready.next()?, "lastTransitionTime");
    DateTime::parse_from_rfc3339(time)
        .ok()
        .map(|time| time.to_utc())
}

pub(super) fn is_ready(pod: &Value) -> bool {
    ready_since(pod).is_some() && !is_going(pod)
}

/// Whether the pod is ready for so many seconds.
pub(super) fn is_available(pod: &Value, seconds: i64) -> bool {
    !is_going(pod)
        && ready_since(pod).is_some_and(|since| (Utc::now() - since).num_seconds() >= seconds)
}

/// The pods of an owner that count: neither going nor over.
pub(super) fn active(desk: &Desk, owner: &Value) -> Vec<Arc<Value>> {
    let mut pods = desk.owned("pods", owner);
    pods.retain(|pod| !is_going(pod) && !is_over(pod));
    pods
}

/// Ends so many, those first that are not ready, then the newest.
pub(super) fn end_some(
    desk: &mut Desk,
    owner: &Value,
    source: &str,
    mut pods: Vec<Arc<Value>>,
    count: usize,
) {
    pods.sort_by_key(|pod| {
        let scheduled = !text(pod, "spec/nodeName").is_empty();
        let created = text(pod, "metadata/creationTimestamp").to_owned();
        (is_ready(pod), scheduled, std::cmp::Reverse(created))
    });
    for pod in pods.into_iter().take(count) {
        desk.delete("pods", &key_of(&pod));
        let message = format!("Deleted pod: {}", text(&pod, "metadata/name"));
        desk.event(owner, ("SuccessfulDelete", "Normal"), source, &message);
    }
}
