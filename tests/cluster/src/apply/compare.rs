//! What differs between two states of an object.

use serde_json::Value;

use crate::{
    apply::field_set::{FieldSet, field, keyed, member},
    kinds::shape::{Node, Shape},
};

/// The fields that came, went, and changed.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub added: FieldSet,
    pub modified: FieldSet,
    pub removed: FieldSet,
}

/// Structures that the typed objects of the real server have whether somebody sets them or not; so nobody becomes their owner by setting what is in them.
const ALWAYS_THERE: [&str; 8] = [
    "metadata",
    "spec",
    "status",
    "template",
    "strategy",
    "updateStrategy",
    "containers",
    "jobTemplate",
];

pub(super) fn compare(shape: &Shape, before: &Value, after: &Value) -> Changes {
    let mut changes = Changes::default();
    if before == after {
        return changes;
    }
    match (shape.node(before), shape.node(after)) {
        (Node::Map, Node::Map) => maps(shape, before, after, &mut changes),
        (Node::Set, Node::Set) => sets(before, after, &mut changes),
        (Node::Keyed(keys), Node::Keyed(_)) => lists(shape, &keys, before, after, &mut changes),
        _ => changes.modified = FieldSet::leaf(),
    }
    changes
}

fn maps(shape: &Shape, before: &Value, after: &Value, changes: &mut Changes) {
    let none = serde_json::Map::new();
    let old = before.as_object().unwrap_or(&none);
    let new = after.as_object().unwrap_or(&none);
    for (name, value) in new {
        let below = shape.below(name);
        let element = field(name);
        match old.get(name) {
            Some(old) => changes.put(element, compare(below, old, value)),
            None => changes.added.put(element, came(below, name, value)),
        }
    }
    for (name, value) in old.iter().filter(|(name, _)| !new.contains_key(*name)) {
        let set = FieldSet::whole(shape.below(name), value);
        changes.removed.put(field(name), set);
    }
}

fn came(shape: &Shape, name: &str, value: &Value) -> FieldSet {
    let mut set = match (shape.node(value), value) {
        (Node::Map, Value::Object(map)) if !map.is_empty() => {
            let mut set = FieldSet::leaf();
            for (name, value) in map {
                set.put(field(name), came(shape.below(name), name, value));
            }
            set
        }
        (Node::Keyed(keys), Value::Array(list)) if !list.is_empty() => {
            let mut set = FieldSet::leaf();
            for item in list {
                set.put(keyed(item, &keys), came(shape.item(), "", item));
            }
            set
        }
        _ => return FieldSet::whole(shape, value),
    };
    if ALWAYS_THERE.contains(&name) {
        set.unmark();
    }
    set
}

fn sets(before: &Value, after: &Value, changes: &mut Changes) {
    let none = Vec::new();
    let old = before.as_array().unwrap_or(&none);
    let new = after.as_array().unwrap_or(&none);
    for item in new.iter().filter(|item| !old.contains(item)) {
        changes.added.put(member(item), FieldSet::leaf());
    }
    for item in old.iter().filter(|item| !new.contains(item)) {
        changes.removed.put(member(item), FieldSet::leaf());
    }
}

fn lists(shape: &Shape, keys: &[String], before: &Value, after: &Value, changes: &mut Changes) {
    let none = Vec::new();
    let named = |value: &Value| -> Vec<(String, Value)> {
        let list = value.as_array().unwrap_or(&none);
        list.iter()
            .map(|item| (keyed(item, keys), item.clone()))
            .collect()
    };
    let (old, new) = (named(before), named(after));
    let find = |list: &[(String, Value)], element: &String| -> Option<Value> {
        list.iter()
            .find(|(name, _)| name == element)
            .map(|(_, item)| item.clone())
    };
    for (element, item) in &new {
        match find(&old, element) {
            Some(old) => changes.put(element.clone(), compare(shape.item(), &old, item)),
            None => changes
                .added
                .put(element.clone(), came(shape.item(), "", item)),
        }
    }
    for (element, item) in &old {
        if find(&new, element).is_none() {
            let set = FieldSet::whole(shape.item(), item);
            changes.removed.put(element.clone(), set);
        }
    }
}

impl Changes {
    fn put(&mut self, element: String, below: Self) {
        self.added.put(element.clone(), below.added);
        self.modified.put(element.clone(), below.modified);
        self.removed.put(element, below.removed);
    }
}
