//! Strategic merge patches: as RFC 7386, and lists merge by their keys.

use serde_json::{Map, Value};

use crate::{
    document::object,
    kinds::shape::{Items, Shape},
};

/// Items that have the list's key to be deleted.
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const ORDER: &str = "$setElementOrder/";

/// The document with the patch in it.
pub(crate) fn strategic(shape: &Shape, document: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *document = patch.clone();
        return;
    };
    match patch.get("$patch").and_then(Value::as_str) {
        Some("replace") => {
            *document = Value::Object(without_directives(patch));
            return;
        }
        Some("delete") => {
            *document = Value::Object(Map::new());
            return;
        }
        _ => {}
    }
    let map = object(document);
    retain_keys(map, patch);
    for (name, value) in patch {
        if let Some(list) = name.strip_prefix(DELETE_FROM) {
            delete_values(map.get_mut(list), value);
        } else if !name.starts_with('$') {
            field(shape.below(name), map, name, value);
        }
    }
    for (name, order) in patch {
        if let Some(list) = name.strip_prefix(ORDER) {
            sort(shape.below(list), map.get_mut(list), order);
        }
    }
}

fn field(shape: &Shape, map: &mut Map<String, Value>, name: &str, value: &Value) {
    match (shape, value) {
        (_, Value::Null) => drop(map.remove(name)),
        (Shape::List(item, Items::Keys(keys)), Value::Array(patch)) => {
            let key = keys.first().map_or("", String::as_str);
            let there = map.entry(name).or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(list) = there {
                merge_list(item, key, list, patch);
            }
        }
        (Shape::List(_, Items::Set), Value::Array(patch)) => {
            let there = map.entry(name).or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(list) = there {
                let new: Vec<Value> = patch
                    .iter()
                    .filter(|item| !list.contains(item))
                    .cloned()
                    .collect();
                list.extend(new);
            }
        }
        (_, Value::Object(_)) => {
            let there = map.entry(name).or_insert_with(|| Value::Object(Map::new()));
            strategic(shape, there, value);
        }
        (_, other) => drop(map.insert(name.to_owned(), other.clone())),
    }
}

fn merge_list(item: &Shape, key: &str, list: &mut Vec<Value>, patch: &[Value]) {
    if patch.iter().any(|entry| entry["$patch"] == "replace") {
        let rest = patch.iter().filter(|entry| entry["$patch"] != "replace");
        *list = rest.cloned().collect();
        return;
    }
    for entry in patch {
        let at = list.iter().position(|item| item.get(key) == entry.get(key));
        match (entry["$patch"] == "delete", at) {
            (true, at) => {
                at.map(|at| list.remove(at));
            }
            (false, Some(at)) => strategic(item, &mut list[at], entry),
            (false, None) => {
                let mut new = Value::Object(Map::new());
                strategic(item, &mut new, entry);
                list.push(new);
            }
        }
    }
}

fn delete_values(list: Option<&mut Value>, gone: &Value) {
    if let (Some(Value::Array(list)), Value::Array(gone)) = (list, gone) {
        list.retain(|item| !gone.contains(item));
    }
}

fn sort(shape: &Shape, list: Option<&mut Value>, order: &Value) {
    let (Some(Value::Array(list)), Value::Array(order)) = (list, order) else {
        return;
    };
    let key = match shape {
        Shape::List(_, Items::Keys(keys)) => keys.first().map_or("", String::as_str),
        _ => "",
    };
    let place = |item: &Value| {
        let same = |wanted: &Value| match key {
            "" => wanted == item,
            key => wanted.get(key) == item.get(key),
        };
        order.iter().position(same).unwrap_or(usize::MAX)
    };
    list.sort_by_key(place);
}

fn retain_keys(map: &mut Map<String, Value>, patch: &Map<String, Value>) {
    if let Some(Value::Array(kept)) = patch.get("$retainKeys") {
        map.retain(|name, _| kept.iter().any(|kept| kept == name));
    }
}

fn without_directives(patch: &Map<String, Value>) -> Map<String, Value> {
    let fields = patch.iter().filter(|(name, _)| !name.starts_with('$'));
    fields
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_merge_by_their_keys() {
        let shape = Shape::built_in("PodSpec");
        let mut spec = json!({"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}], "tolerations": [{"key": "x"}]});
        let patch = json!({
            "$setElementOrder/containers": [{"name": "c"}, {"name": "a"}],
            "containers": [{"name": "a", "image": "2"}, {"name": "b", "$patch": "delete"}, {"name": "c", "image": "3"}],
            "tolerations": []
        });
        strategic(&shape, &mut spec, &patch);
        let expected = json!({"containers": [{"name": "c", "image": "3"}, {"name": "a", "image": "2"}], "tolerations": []});
        assert_eq!(spec, expected);
    }
}
