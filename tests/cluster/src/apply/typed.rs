//! Whether a document has the shape of its kind.

use serde_json::Value;

use crate::{
    apply::{describe, field_set::keyed},
    kinds::{
        Kind,
        shape::{Field, Items, Shape},
    },
    refusal::{Answer, Refusal},
};

/// Refuses a configuration that the kind's shape does not have, as the real server's field manager does.
pub(super) fn check(kind: &Kind, configuration: &Value) -> Answer<()> {
    let mut faults = Vec::new();
    walk(&kind.shape, configuration, "", &mut faults);
    let said = match faults.as_slice() {
        [] => return Ok(()),
        [one] => one.clone(),
        several => {
            let lines: Vec<String> = several.iter().map(|fault| format!("  {fault}")).collect();
            format!("errors:\n{}", lines.join("\n"))
        }
    };
    let whose = describe(kind, configuration);
    let message = format!("failed to create typed patch object ({whose}): {said}");
    Err(Refusal::plain(500, "", message))
}

/// What is wrong with the document, each as `.path: what`.
pub(crate) fn untyped_faults(kind: &Kind, document: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    walk(&kind.shape, document, "", &mut faults);
    faults
}

fn walk(shape: &Shape, value: &Value, path: &str, faults: &mut Vec<String>) {
    if value.is_null() {
        return;
    }
    let expected = match (shape, value) {
        (Shape::Structure(..) | Shape::Map(..), Value::Object(map)) => {
            for (name, value) in map {
                let path = format!("{path}.{name}");
                match shape.field(name) {
                    Field::Declared(shape) | Field::Key(shape) => walk(shape, value, &path, faults),
                    Field::Undeclared => {
                        faults.push(format!("{path}: field not declared in schema"));
                    }
                }
            }
            return;
        }
        (Shape::List(item, items), Value::Array(list)) => {
            walk_list(item, items, list, path, faults);
            return;
        }
        (Shape::Structure(..) | Shape::Map(..), _) => "expected map",
        (Shape::List(..), _) => "expected list",
        (Shape::Text | Shape::Bytes | Shape::Time, value) if !value.is_string() => {
            "expected string"
        }
        (Shape::Integer | Shape::Number, value) if !value.is_number() => {
            "expected numeric (int or float)"
        }
        (Shape::Boolean, value) if !value.is_boolean() => "expected boolean",
        _ => return,
    };
    let got = kind_of(value);
    faults.push(format!("{path}: {expected}, got {got}"));
}

fn walk_list(item: &Shape, items: &Items, list: &[Value], path: &str, faults: &mut Vec<String>) {
    let mut seen: Vec<String> = Vec::new();
    for (at, value) in list.iter().enumerate() {
        let place = match items {
            Items::Atomic => format!("{path}[{at}]"),
            Items::Set => format!("{path}[={value}]"),
            Items::Keys(keys) => {
                let missing = keys
                    .iter()
                    .find(|key| value.get(*key).is_none() && *key != "protocol");
                if let Some(key) = missing {
                    faults.push(format!(
                        "{path}: element {at}: associative list with keys has an element that omits key field {key:?} (and doesn't have default value)"
                    ));
                    continue;
                }
                format!("{path}{}", key_words(value, keys))
            }
        };
        if *items != Items::Atomic {
            let name = place.clone();
            if seen.contains(&name) {
                let key = name.strip_prefix(path).unwrap_or_default();
                faults.push(format!("{path}: duplicate entries for key {key}"));
            }
            seen.push(name);
        }
        walk(item, value, &place, faults);
    }
}

fn key_words(item: &Value, keys: &[String]) -> String {
    let element = keyed(item, keys);
    let map: serde_json::Map<String, Value> =
        serde_json::from_str(element.trim_start_matches("k:")).unwrap_or_default();
    let pairs: Vec<String> = map
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    format!("[{}]", pairs.join(","))
}

fn kind_of(value: &Value) -> String {
    match value {
        Value::String(_) => "string".to_owned(),
        Value::Number(number) if number.is_f64() => "float".to_owned(),
        Value::Number(_) => "int".to_owned(),
        Value::Bool(_) => "boolean".to_owned(),
        Value::Array(_) => "list".to_owned(),
        Value::Object(_) => "map".to_owned(),
        Value::Null => "null".to_owned(),
    }
}
