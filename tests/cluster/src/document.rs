//! Reading and writing JSON documents by path.
//!
//! A path is names with `/` between them, `spec/template/spec`; no name in it may have one itself, as keys of labels may.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

static NOTHING: Value = Value::Null;

/// What stands at the path, or null.
pub(crate) fn at<'v>(value: &'v Value, path: &str) -> &'v Value {
    let mut here = value;
    for name in path.split('/') {
        match here.get(name) {
            Some(next) => here = next,
            None => return &NOTHING,
        }
    }
    here
}

/// The text at the path, or an empty one.
pub(crate) fn text<'v>(value: &'v Value, path: &str) -> &'v str {
    at(value, path).as_str().unwrap_or_default()
}

/// The number at the path.
pub(crate) fn number(value: &Value, path: &str) -> Option<i64> {
    at(value, path).as_i64()
}

/// The list at the path, or an empty one.
pub(crate) fn items<'v>(value: &'v Value, path: &str) -> &'v [Value] {
    at(value, path).as_array().map_or(&[], Vec::as_slice)
}

/// The map of texts at the path: labels, annotations, selectors.
pub(crate) fn texts(value: &Value, path: &str) -> BTreeMap<String, String> {
    let entries = at(value, path).as_object().into_iter().flatten();
    entries
        .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
        .collect()
}

/// An annotation or nothing.
pub(crate) fn annotation<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    at(value, "metadata/annotations").get(name)?.as_str()
}

/// The place at the path, made of maps as far as it is not there.
pub(crate) fn place<'v>(value: &'v mut Value, path: &str) -> &'v mut Value {
    let mut here = value;
    for name in path.split('/') {
        here = object(here).entry(name).or_insert(Value::Null);
    }
    here
}

/// The value as a map; it becomes one if it is none.
pub(crate) fn object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("it was just made one"),
    }
}

/// The list at the path, made if it is not there.
pub(crate) fn list<'v>(value: &'v mut Value, path: &str) -> &'v mut Vec<Value> {
    let here = place(value, path);
    if !here.is_array() {
        *here = Value::Array(Vec::new());
    }
    match here {
        Value::Array(list) => list,
        _ => unreachable!("it was just made one"),
    }
}

/// Sets what stands at the path.
pub(crate) fn put(value: &mut Value, path: &str, new: impl Into<Value>) {
    *place(value, path) = new.into();
}

/// Sets what stands at the path unless something does.
pub(crate) fn put_default(value: &mut Value, path: &str, new: impl Into<Value>) {
    if at(value, path).is_null() {
        put(value, path, new);
    }
}

/// Sets what stands at the path as another document has it, absence included.
pub(crate) fn carry(value: &mut Value, path: &str, from: &Value) {
    match at(from, path) {
        Value::Null => drop(take(value, path)),
        there => put(value, path, there.clone()),
    }
}

/// Removes what stands at the path.
pub(crate) fn take(value: &mut Value, path: &str) -> Option<Value> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let holder = if folder.is_empty() {
        value
    } else {
        let mut here = value;
        for name in folder.split('/') {
            here = here.get_mut(name)?;
        }
        here
    };
    holder.as_object_mut()?.remove(name)
}

/// Removes fields that are null, as the typed decoding of the API does.
pub(crate) fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(without_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(without_nulls),
        _ => {}
    }
}
