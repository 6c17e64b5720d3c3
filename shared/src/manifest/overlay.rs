//! What an environment's overlay makes of the objects.
//!
//! An object of an overlay that is among the manifests is merged into it: mappings key by key, where a null takes the key
//! away; lists whose items all have a `name` item by name; everything else is replaced. With `$patch: delete` the object
//! goes. Others are added.

use serde_json::{Map, Value};

use super::{Manifest, ObjectName, Reading};

/// The key that says what becomes of the object.
const PATCH: &str = "$patch";

/// Lays objects over those of a reading.
pub(super) fn lay_over(reading: &mut Reading, over: Vec<Manifest>) {
    for mut manifest in over {
        let patch = manifest
            .object
            .as_object_mut()
            .and_then(|fields| fields.remove(PATCH));
        let found = reading
            .objects
            .iter()
            .position(|under| is_same(&under.name, &manifest.name));
        match (found, patch.as_ref().and_then(Value::as_str)) {
            (Some(at), Some("delete")) => {
                reading.objects.remove(at);
            }
            (Some(at), _) => merge(&mut reading.objects[at].object, manifest.object),
            (None, Some("delete")) => {}
            (None, _) => reading.objects.push(manifest),
        }
    }
}

/// An overlay need not repeat the namespace.
fn is_same(under: &ObjectName, over: &ObjectName) -> bool {
    (&under.group, &under.kind, &under.name) == (&over.group, &over.kind, &over.name)
        && (over.namespace.is_none() || over.namespace == under.namespace)
}

fn merge(under: &mut Value, over: Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => merge_fields(under, over),
        (Value::Array(under), Value::Array(over)) if are_named(under) && are_named(&over) => {
            merge_named(under, over);
        }
        (under, over) => *under = over,
    }
}

fn merge_fields(under: &mut Map<String, Value>, over: Map<String, Value>) {
    for (key, value) in over {
        match under.get_mut(&key) {
            _ if value.is_null() => {
                under.remove(&key);
            }
            Some(before) => merge(before, value),
            None => {
                under.insert(key, value);
            }
        }
    }
}

fn merge_named(under: &mut Vec<Value>, over: Vec<Value>) {
    for mut item in over {
        let deletes = item
            .as_object_mut()
            .and_then(|fields| fields.remove(PATCH))
            .is_some_and(|patch| patch == "delete");
        let at = under
            .iter()
            .position(|before| before.get("name") == item.get("name"));
        match at {
            Some(at) if deletes => {
                under.remove(at);
            }
            Some(at) => merge(&mut under[at], item),
            None if deletes => {}
            None => under.push(item),
        }
    }
}

fn are_named(items: &[Value]) -> bool {
    !items.is_empty()
        && items
            .iter()
            .all(|item| item.get("name").is_some_and(Value::is_string))
}
