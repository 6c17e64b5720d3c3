//! A set of fields, as a tree of path elements in the notation of `FieldsV1`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::kinds::shape::{Field, Node, Shape};

/// Elements are `f:name`, `k:{"name":"web"}`, or `v:"text"`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FieldSet {
    member: bool,
    below: BTreeMap<String, FieldSet>,
}

/// The path element of a field.
pub(super) fn field(name: &str) -> String {
    format!("f:{name}")
}

/// The path element of an item of a set.
pub(super) fn member(value: &Value) -> String {
    format!("v:{value}")
}

/// The path element of an item that is told apart by its fields.
pub(super) fn keyed(item: &Value, keys: &[String]) -> String {
    let entries = keys.iter().map(|key| {
        let value = item.get(key).cloned();
        (key.clone(), value.unwrap_or_else(|| default_of(key)))
    });
    format!("k:{}", Value::Object(entries.collect::<Map<_, _>>()))
}

/// What a key that is left out counts as.
fn default_of(key: &str) -> Value {
    match key {
        "protocol" => "TCP".into(),
        _ => Value::Null,
    }
}

impl FieldSet {
    /// All that a document says.
    pub(crate) fn of(shape: &Shape, value: &Value) -> Self {
        let mut set = Self::default();
        set.add(shape, value);
        set
    }

    fn add(&mut self, shape: &Shape, value: &Value) {
        match (shape.node(value), value) {
            (Node::Map, Value::Object(map)) if !map.is_empty() => {
                for (name, value) in map {
                    let below = self.below.entry(field(name)).or_default();
                    if let Field::Key(_) = shape.field(name) {
                        below.member = true;
                    }
                    below.add(shape.below(name), value);
                }
            }
            (Node::Set, Value::Array(list)) if !list.is_empty() => {
                for item in list {
                    self.below.entry(member(item)).or_default().member = true;
                }
            }
            (Node::Keyed(keys), Value::Array(list)) if !list.is_empty() => {
                for item in list {
                    let below = self.below.entry(keyed(item, &keys)).or_default();
                    below.member = true;
                    below.add(shape.item(), item);
                }
            }
            _ => self.member = true,
        }
    }

    /// All below a value that has come or gone, itself and each step of it included.
    pub(super) fn whole(shape: &Shape, value: &Value) -> Self {
        let mut set = Self::of(shape, value);
        set.make_members();
        set
    }

    fn make_members(&mut self) {
        self.member = true;
        self.below.values_mut().for_each(Self::make_members);
    }

    /// Says nothing of the element itself, only of what is below.
    pub(super) fn unmark(&mut self) {
        self.member = false;
    }

    /// Puts a set below an element.
    pub(super) fn put(&mut self, element: String, set: Self) {
        if !set.is_empty() {
            self.below.insert(element, set);
        }
    }

    /// Of one path.
    pub(super) fn path(elements: &[&str]) -> Self {
        let mut set = Self {
            member: true,
            below: BTreeMap::new(),
        };
        for element in elements.iter().rev() {
            let below = BTreeMap::from([((*element).to_owned(), set)]);
            set = Self {
                member: false,
                below,
            };
        }
        set
    }

    pub(super) fn leaf() -> Self {
        Self {
            member: true,
            below: BTreeMap::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.member && self.below.values().all(Self::is_empty)
    }

    pub(super) fn child(&self, element: &str) -> Option<&Self> {
        self.below.get(element)
    }

    pub(super) fn union(&self, other: &Self) -> Self {
        let mut both = self.clone();
        both.join(other);
        both
    }

    pub(super) fn join(&mut self, other: &Self) {
        self.member |= other.member;
        for (element, set) in &other.below {
            self.below.entry(element.clone()).or_default().join(set);
        }
    }

    /// The fields that are in both.
    pub(super) fn shared(&self, other: &Self) -> Self {
        let mut both = Self {
            member: self.member && other.member,
            below: BTreeMap::new(),
        };
        for (element, set) in &self.below {
            if let Some(theirs) = other.below.get(element) {
                both.put(element.clone(), set.shared(theirs));
            }
        }
        both
    }

    /// Without the fields of another.
    pub(super) fn minus(&self, other: &Self) -> Self {
        let mut rest = Self {
            member: self.member && !other.member,
            below: BTreeMap::new(),
        };
        for (element, set) in &self.below {
            let left = other
                .below
                .get(element)
                .map_or_else(|| set.clone(), |theirs| set.minus(theirs));
            rest.put(element.clone(), left);
        }
        rest
    }

    /// Without these fields and all below them.
    pub(super) fn without(&self, other: &Self) -> Self {
        if other.member {
            return Self::default();
        }
        let mut rest = Self {
            member: self.member,
            below: BTreeMap::new(),
        };
        for (element, set) in &self.below {
            let left = other
                .below
                .get(element)
                .map_or_else(|| set.clone(), |theirs| set.without(theirs));
            rest.put(element.clone(), left);
        }
        rest
    }

    /// As `FieldsV1`.
    pub(super) fn value(&self) -> Value {
        let mut map = Map::new();
        if self.member && !self.below.is_empty() {
            map.insert(".".to_owned(), Value::Object(Map::new()));
        }
        let below = self.below.iter().filter(|(_, set)| !set.is_empty());
        map.extend(below.map(|(element, set)| (element.clone(), set.value())));
        Value::Object(map)
    }

    /// From `FieldsV1`.
    pub(super) fn read(value: &Value) -> Self {
        let mut set = Self::read_below(value);
        set.member = value.get(".").is_some();
        set
    }

    fn read_below(value: &Value) -> Self {
        let mut set = Self::default();
        for (element, value) in value.as_object().into_iter().flatten() {
            if element == "." {
                set.member = true;
                continue;
            }
            let mut below = Self::read_below(value);
            if below.below.is_empty() {
                below.member = true;
            }
            set.below.insert(element.clone(), below);
        }
        set
    }

    /// The members, `.spec.containers[name="web"].image`.
    pub(super) fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.walk("", &mut paths);
        paths
    }

    fn walk(&self, here: &str, paths: &mut Vec<String>) {
        if self.member && !here.is_empty() {
            paths.push(here.to_owned());
        }
        for (element, set) in &self.below {
            set.walk(&format!("{here}{}", spoken(element)), paths);
        }
    }
}

fn spoken(element: &str) -> String {
    if let Some(name) = element.strip_prefix("f:") {
        return format!(".{name}");
    }
    if let Some(value) = element.strip_prefix("v:") {
        return format!("[={value}]");
    }
    let keys = element.strip_prefix("k:").unwrap_or_default();
    let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
    let pairs: Vec<String> = keys
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    format!("[{}]", pairs.join(","))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let shape = Shape::built_in("Pod");
        let pod = json!({"metadata": {"labels": {"a": "b"}, "finalizers": ["x/y"]}, "spec": {"containers": [
            {"name": "web", "image": "i", "ports": [{"containerPort": 80}], "resources": {}}
        ]}});
        let set = FieldSet::of(&shape, &pod);
        let expected = json!({
            "f:metadata": {"f:labels": {"f:a": {}}, "f:finalizers": {"v:\"x/y\"": {}}},
            "f:spec": {"f:containers": {"k:{\"name\":\"web\"}": {".": {}, "f:name": {}, "f:image": {}, "f:resources": {}, "f:ports": {
                "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}
            }}}}
        });
        assert_eq!(set.value(), expected);
        assert_eq!(FieldSet::read(&expected), set);
        let path =
            ".spec.containers[name=\"web\"].ports[containerPort=80,protocol=\"TCP\"].containerPort";
        assert!(set.paths().contains(&path.to_owned()), "{:?}", set.paths());
    }
}
