//! Whether an object in a cluster is as a release wants it.
//!
//! What a release does not say is the cluster's: defaults, what controllers write, what webhooks add. So an object is as
//! it should be when all that the release says stands in it. Lists of named things are compared by name, others item by
//! item, as lists that are merged and lists that are replaced are told apart by nothing else here; where that is wrong the
//! cluster is asked what applying would do, and says that it does nothing.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// By what items of a list are told apart, the first that all of them have.
const KEYS: [&str; 7] = [
    "name",
    "containerPort",
    "mountPath",
    "devicePath",
    "ip",
    "topologyKey",
    "uid",
];
/// What the cluster writes into metadata by itself.
const OF_THE_CLUSTER: [&str; 6] = [
    "managedFields",
    "resourceVersion",
    "generation",
    "uid",
    "creationTimestamp",
    "selfLink",
];

/// A digest of an object, the same whatever the order of its keys.
pub(super) fn digest(value: &Value) -> String {
    let mut hasher = Sha256::new();
    feed(&mut hasher, value);
    let bytes: [u8; 32] = hasher.finalize().into();
    let half = std::array::from_fn(|index| bytes[index]);
    format!("{:032x}", u128::from_be_bytes(half))
}

fn feed(hasher: &mut Sha256, value: &Value) {
    match value {
        Value::Object(fields) => {
            let mut keys: Vec<&String> = fields.keys().collect();
            keys.sort_unstable();
            hasher.update(format!("{{{}", keys.len()));
            for key in keys {
                feed(hasher, &Value::String(key.clone()));
                feed(hasher, &fields[key]);
            }
        }
        Value::Array(items) => {
            hasher.update(format!("[{}", items.len()));
            for item in items {
                feed(hasher, item);
            }
        }
        Value::String(text) => {
            hasher.update(format!("\"{}:", text.len()));
            hasher.update(text);
        }
        other => hasher.update(format!("{other};")),
    }
}

/// Whether all that is wanted stands in what there is.
pub(super) fn holds(there: &Value, wanted: &Value) -> bool {
    let mut differing = 0;
    differ(there, wanted, "", &mut |_| differing += 1);
    differing == 0
}

/// The fields in which what there is differs from what is wanted.
pub(super) fn differing(there: &Value, wanted: &Value) -> Vec<String> {
    let mut fields = Vec::new();
    differ(there, wanted, "", &mut |at| fields.push(at.to_owned()));
    fields
}

fn differ(there: &Value, wanted: &Value, at: &str, tell: &mut dyn FnMut(&str)) {
    match (there, wanted) {
        (Value::Object(there), Value::Object(wanted)) => {
            for (key, wanted) in wanted {
                let at = if at.is_empty() {
                    key.clone()
                } else {
                    format!("{at}.{key}")
                };
                match there.get(key) {
                    Some(there) => differ(there, wanted, &at, tell),
                    None if is_nothing(wanted) => {}
                    None => tell(&at),
                }
            }
        }
        (Value::Array(there), Value::Array(wanted)) => differ_items(there, wanted, at, tell),
        (Value::Number(there), Value::Number(wanted)) if there.as_f64() == wanted.as_f64() => {}
        (there, wanted) if there == wanted => {}
        _ => tell(at),
    }
}

fn differ_items(there: &[Value], wanted: &[Value], at: &str, tell: &mut dyn FnMut(&str)) {
    let Some(key) = key_of(wanted).filter(|key| all_have(there, key)) else {
        if there.len() != wanted.len() {
            return tell(at);
        }
        for (index, (there, wanted)) in there.iter().zip(wanted).enumerate() {
            differ(there, wanted, &format!("{at}[{index}]"), tell);
        }
        return;
    };
    for wanted in wanted {
        let named = there.iter().find(|there| there[key] == wanted[key]);
        let name = wanted[key]
            .as_str()
            .map_or_else(|| wanted[key].to_string(), str::to_owned);
        let at = format!("{at}[{name}]");
        match named {
            Some(there) => differ(there, wanted, &at, tell),
            None => tell(&at),
        }
    }
}

/// By what the items of a list are told apart, if they are.
pub(super) fn key_of(items: &[Value]) -> Option<&'static str> {
    KEYS.into_iter()
        .find(|key| !items.is_empty() && all_have(items, key))
}

fn all_have(items: &[Value], key: &str) -> bool {
    items.iter().all(|item| item.get(key).is_some())
}

/// What the cluster does not store.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.values().all(is_nothing),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// An object without what the cluster writes by itself: two that are the same then differ in nothing that anybody wants.
pub(super) fn bare(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
        if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
            for key in OF_THE_CLUSTER {
                metadata.remove(key);
            }
        }
    }
    object
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_cluster_adds_is_its_own() {
        let wanted = json!({"spec": {"replicas": 2, "template": {"spec": {"containers": [{"name": "app", "image": "a:1", "resources": {}}]}}}, "extra": null});
        let there = json!({"spec": {"replicas": 2.0, "paused": false, "template": {"spec": {"dnsPolicy": "ClusterFirst",
            "containers": [{"name": "injected", "image": "x"}, {"name": "app", "image": "a:1", "imagePullPolicy": "Always"}]}}}});
        assert!(holds(&there, &wanted));
    }

    #[test]
    fn what_differs_is_named() {
        let wanted = json!({"spec": {"replicas": 2, "list": [1, 2], "containers": [{"name": "app", "image": "a:2"}, {"name": "new"}]}});
        let there = json!({"spec": {"replicas": 3, "list": [1], "containers": [{"name": "app", "image": "a:1"}]}});
        assert_eq!(
            differing(&there, &wanted),
            [
                "spec.containers[app].image",
                "spec.containers[new]",
                "spec.list",
                "spec.replicas"
            ]
        );
    }

    #[test]
    fn a_digest_does_not_know_the_order_of_keys_and_knows_everything_else() {
        let one: Value = serde_json::from_str(r#"{"a": 1, "b": [1, "2"]}"#).unwrap_or_default();
        let other: Value = serde_json::from_str(r#"{"b": [1, "2"], "a": 1}"#).unwrap_or_default();
        assert_eq!(digest(&one), digest(&other));
        let table = [
            json!({"a": 1, "b": [1, 2]}),
            json!({"a": 1, "b": ["1", "2"]}),
            json!({"a": 1}),
            json!({"ab": 1}),
            json!(null),
        ];
        for different in table {
            assert_ne!(digest(&one), digest(&different), "{different}");
        }
        assert_ne!(digest(&json!(["ab", "c"])), digest(&json!(["a", "bc"])));
    }

    #[test]
    fn two_that_differ_only_in_what_the_cluster_writes_are_bare_the_same() {
        let one = json!({"metadata": {"name": "a", "resourceVersion": "1", "managedFields": []}, "status": {"x": 1}});
        let other = json!({"metadata": {"name": "a", "resourceVersion": "2", "uid": "u"}});
        assert_eq!(bare(&one), bare(&other));
    }
}
