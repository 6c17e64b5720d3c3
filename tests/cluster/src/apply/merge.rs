//! A configuration laid over the live object, and what nobody wants any more taken out of it.

use serde_json::{Map, Value};

use crate::{
    apply::field_set::{FieldSet, field, keyed, member},
    kinds::shape::{Node, Shape},
};

/// The live value with all that the configuration says.
pub(super) fn merge(shape: &Shape, live: &Value, configuration: &Value) -> Value {
    match (shape.node(configuration), live, configuration) {
        (Node::Map, Value::Object(live), Value::Object(configuration)) => {
            merge_maps(shape, live, configuration)
        }
        (Node::Set, Value::Array(live), Value::Array(configuration)) => {
            let mut merged = live.clone();
            let new = configuration.iter().filter(|item| !live.contains(item));
            merged.extend(new.cloned());
            Value::Array(merged)
        }
        (Node::Keyed(keys), Value::Array(live), Value::Array(configuration)) => {
            merge_lists(shape.item(), &keys, live, configuration)
        }
        _ => configuration.clone(),
    }
}

fn merge_maps(
    shape: &Shape,
    live: &Map<String, Value>,
    configuration: &Map<String, Value>,
) -> Value {
    let mut merged = live.clone();
    for (name, value) in configuration {
        let below = shape.below(name);
        let new = merge(below, live.get(name).unwrap_or(&Value::Null), value);
        merged.insert(name.clone(), new);
    }
    Value::Object(merged)
}

/// Items of both in the configuration's order; those that are only live stay where they are among the others.
fn merge_lists(shape: &Shape, keys: &[String], live: &[Value], configuration: &[Value]) -> Value {
    let old: Vec<String> = live.iter().map(|item| keyed(item, keys)).collect();
    let new: Vec<String> = configuration.iter().map(|item| keyed(item, keys)).collect();
    let mut merged = Vec::new();
    let (mut left, mut right) = (0, 0);
    while left < old.len() || right < new.len() {
        if left < old.len() && !new.contains(&old[left]) {
            merged.push(live[left].clone());
            left += 1;
        } else if left < old.len() && new[..right].contains(&old[left]) {
            left += 1;
        } else {
            let there = old.iter().position(|name| *name == new[right]);
            let below = there.map_or(&Value::Null, |at| &live[at]);
            merged.push(merge(shape, below, &configuration[right]));
            right += 1;
        }
    }
    Value::Array(merged)
}

/// Takes out what was applied last and has no owner now, with all that is below it.
pub(super) fn prune(shape: &Shape, value: &mut Value, before: &FieldSet, owned: &FieldSet) {
    match (shape.node(value), value) {
        (Node::Map, Value::Object(map)) => {
            let gone = |name: &String| unowned(&field(name), before, owned);
            map.retain(|name, _| !gone(name));
            for (name, value) in map {
                descend(shape.below(name), value, &field(name), before, owned);
            }
        }
        (Node::Set, Value::Array(list)) => {
            list.retain(|entry| !unowned(&member(entry), before, owned));
        }
        (Node::Keyed(keys), Value::Array(list)) => {
            list.retain(|entry| !unowned(&keyed(entry, &keys), before, owned));
            for entry in list {
                let element = keyed(entry, &keys);
                descend(shape.item(), entry, &element, before, owned);
            }
        }
        _ => {}
    }
}

fn unowned(element: &str, last: &FieldSet, owned: &FieldSet) -> bool {
    last.child(element).is_some() && owned.child(element).is_none_or(FieldSet::is_empty)
}

fn descend(shape: &Shape, value: &mut Value, element: &str, last: &FieldSet, owned: &FieldSet) {
    if let (Some(last), Some(owned)) = (last.child(element), owned.child(element)) {
        prune(shape, value, last, owned);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_are_merged_by_their_keys_and_pruned_by_their_owners() {
        let shape = Shape::built_in("Container");
        let live = json!({"name": "web", "env": [{"name": "A", "value": "1"}, {"name": "X", "value": "x"}, {"name": "B", "value": "2"}]});
        let new = json!({"name": "web", "env": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}]});
        let mut merged = merge(&shape, &live, &new);
        let names = |value: &Value| -> Vec<String> {
            let list = value["env"].as_array().cloned().unwrap_or_default();
            list.iter()
                .map(|item| item["name"].as_str().unwrap_or_default().to_owned())
                .collect()
        };
        assert_eq!(names(&merged), ["A", "X", "B", "C"]);
        let last = FieldSet::of(
            &shape,
            &json!({"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}),
        );
        prune(&shape, &mut merged, &last, &FieldSet::of(&shape, &new));
        assert_eq!(names(&merged), ["X", "B", "C"]);
    }
}
