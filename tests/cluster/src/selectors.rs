//! Selectors of labels and of fields.

use serde_json::Value;

use crate::{
    document::{at, items, text},
    kinds::Kind,
    refusal::{Answer, Refusal},
};

/// What objects must be to be meant.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    labels: Vec<Requirement>,
    fields: Vec<(String, Sign, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    Is,
    IsNot,
}

#[derive(Clone, Debug)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
}

impl Requirement {
    fn meets(&self, labels: &Value) -> bool {
        let value = |key: &String| labels.get(key).and_then(Value::as_str);
        match self {
            Self::In(key, values) => {
                value(key).is_some_and(|value| values.iter().any(|wanted| wanted == value))
            }
            Self::NotIn(key, values) => {
                value(key).is_none_or(|value| values.iter().all(|wanted| wanted != value))
            }
            Self::Exists(key) => value(key).is_some(),
            Self::Absent(key) => value(key).is_none(),
        }
    }
}

impl Selection {
    /// Of the parameters `labelSelector` and `fieldSelector`.
    pub(crate) fn read(kind: &Kind, labels: &str, fields: &str) -> Answer<Self> {
        Ok(Self {
            labels: read_labels(labels)?,
            fields: read_fields(kind, fields)?,
        })
    }

    /// Of an object's `LabelSelector`; an empty one means all, none at all means nothing.
    pub(crate) fn of(selector: &Value) -> Option<Self> {
        let mut labels = Vec::new();
        let exact = selector.as_object()?.get("matchLabels");
        for (key, value) in exact.and_then(Value::as_object).into_iter().flatten() {
            let value = value.as_str().unwrap_or_default().to_owned();
            labels.push(Requirement::In(key.clone(), vec![value]));
        }
        for expression in items(selector, "matchExpressions") {
            let key = text(expression, "key").to_owned();
            let values = items(expression, "values").iter();
            let values = values
                .filter_map(|value| Some(value.as_str()?.to_owned()))
                .collect();
            labels.push(match text(expression, "operator") {
                "In" => Requirement::In(key, values),
                "NotIn" => Requirement::NotIn(key, values),
                "Exists" => Requirement::Exists(key),
                _ => Requirement::Absent(key),
            });
        }
        Some(Self {
            labels,
            fields: Vec::new(),
        })
    }

    /// Whether the object is meant.
    pub(crate) fn meets(&self, object: &Value) -> bool {
        self.meets_labels(at(object, "metadata/labels")) && self.meets_fields(object)
    }

    /// Whether these labels are meant.
    pub(crate) fn meets_labels(&self, labels: &Value) -> bool {
        self.labels.iter().all(|wanted| wanted.meets(labels))
    }

    fn meets_fields(&self, object: &Value) -> bool {
        self.fields.iter().all(|(path, sign, wanted)| {
            let found = at(object, &path.replace('.', "/"));
            let found = match found {
                Value::String(text) => text.clone(),
                Value::Null => String::new(),
                other => other.to_string(),
            };
            (found == *wanted) == (*sign == Sign::Is)
        })
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }
}

fn read_labels(text: &str) -> Answer<Vec<Requirement>> {
    let mut requirements = Vec::new();
    for part in split_outside_parentheses(text) {
        let part = part.trim();
        if !part.is_empty() {
            requirements.push(requirement(part).ok_or_else(|| unparsable(text))?);
        }
    }
    Ok(requirements)
}

fn unparsable(text: &str) -> Refusal {
    Refusal::bad_request(format!(
        "unable to parse requirement: found '{text}', expected: identifier"
    ))
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let (mut parts, mut from, mut depth) = (Vec::new(), 0, 0);
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

fn requirement(part: &str) -> Option<Requirement> {
    let own = |text: &str| text.trim().to_owned();
    if let Some((key, value)) = part.split_once("!=") {
        return Some(Requirement::NotIn(own(key), vec![own(value)]));
    }
    if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return Some(Requirement::In(own(key), vec![own(value)]));
    }
    if let Some(key) = part.strip_prefix('!') {
        return Some(Requirement::Absent(own(key)));
    }
    if let Some((head, values)) = part.strip_suffix(')').and_then(|part| part.split_once('(')) {
        let values = values.split(',').map(own).collect();
        let (key, operator) = head.trim().split_once(' ')?;
        return match operator.trim() {
            "in" => Some(Requirement::In(own(key), values)),
            "notin" => Some(Requirement::NotIn(own(key), values)),
            _ => None,
        };
    }
    (!part.contains(char::is_whitespace)).then(|| Requirement::Exists(own(part)))
}

/// Fields that objects of a resource can be selected by, beside name and namespace.
const FIELDS: [(&str, &[&str]); 7] = [
    (
        "pods",
        &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
    ),
    (
        "events",
        &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
    ),
    ("secrets", &["type"]),
    ("namespaces", &["status.phase"]),
    ("nodes", &["spec.unschedulable"]),
    ("replicasets.apps", &["status.replicas"]),
    ("jobs.batch", &["status.successful"]),
];

fn read_fields(kind: &Kind, text: &str) -> Answer<Vec<(String, Sign, String)>> {
    let parts = text.split(',').filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (name, sign, value) = if let Some((name, value)) = part.split_once("!=") {
                (name, Sign::IsNot, value)
            } else {
                let split = part.split_once("==").or_else(|| part.split_once('='));
                let (name, value) = split.ok_or_else(|| {
                    Refusal::bad_request(format!(
                        "invalid selector: '{text}'; can't understand '{part}'"
                    ))
                })?;
                (name, Sign::Is, value)
            };
            if !is_selectable(kind, name) {
                let message = format!("field label not supported: {name}");
                return Err(Refusal::bad_request(message));
            }
            Ok((name.to_owned(), sign, value.to_owned()))
        })
        .collect()
}

fn is_selectable(kind: &Kind, field: &str) -> bool {
    let resource = kind.resource();
    let own = FIELDS.iter().find(|(name, _)| *name == resource);
    let of_all = ["metadata.name", "metadata.namespace"];
    of_all.contains(&field) || own.is_some_and(|(_, fields)| fields.contains(&field))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn labels_are_selected_as_they_are_written() {
        let labels = json!({"app": "web", "tier": "front"});
        let table = [
            ("", true),
            ("app=web", true),
            ("app==web,tier", true),
            ("app!=web", false),
            ("app in (web, db),tier notin (back)", true),
            ("!app", false),
            ("!other,other!=x", true),
        ];
        for (text, expected) in table {
            let labels_read = read_labels(text).expect("it is a selector");
            let selection = Selection {
                labels: labels_read,
                fields: Vec::new(),
            };
            assert_eq!(selection.meets_labels(&labels), expected, "{text}");
        }
        assert!(read_labels("app in web").is_err());
    }
}
