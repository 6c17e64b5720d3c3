//! Values in messages, spelt as the real server spells them: as Go would be written, up to 1.33.

use serde_json::Value;

use crate::document::{items, text, texts};

/// The value of a field. Structures that are seldom met are shown as JSON.
pub(crate) fn shown(field: &str, value: &Value) -> String {
    match value {
        Value::Object(_) if field.ends_with("selector") => selector(value),
        Value::Object(map) if map.values().all(Value::is_string) => map_of_texts(value),
        Value::Array(list) if !list.is_empty() && list.iter().all(Value::is_string) => {
            list_of_texts(list)
        }
        other => other.to_string(),
    }
}

fn map_of_texts(value: &Value) -> String {
    let Some(map) = value.as_object().filter(|map| !map.is_empty()) else {
        return "map[string]string(nil)".to_owned();
    };
    let pairs: Vec<String> = map
        .iter()
        .map(|(key, value)| format!("{key:?}:{value}"))
        .collect();
    format!("map[string]string{{{}}}", pairs.join(", "))
}

fn list_of_texts(list: &[Value]) -> String {
    let words: Vec<String> = list.iter().map(Value::to_string).collect();
    format!("[]string{{{}}}", words.join(", "))
}

fn selector(value: &Value) -> String {
    let labels = texts(value, "matchLabels");
    let expressions: Vec<String> = items(value, "matchExpressions")
        .iter()
        .map(|expression| {
            let values = items(expression, "values");
            let values = if values.is_empty() {
                "[]string(nil)".to_owned()
            } else {
                list_of_texts(values)
            };
            let (key, operator) = (text(expression, "key"), text(expression, "operator"));
            format!(
                "v1.LabelSelectorRequirement{{Key:{key:?}, Operator:{operator:?}, Values:{values}}}"
            )
        })
        .collect();
    let expressions = match expressions.as_slice() {
        [] => "[]v1.LabelSelectorRequirement(nil)".to_owned(),
        some => format!("[]v1.LabelSelectorRequirement{{{}}}", some.join(", ")),
    };
    let labels = map_of_texts(&serde_json::json!(labels));
    format!("v1.LabelSelector{{MatchLabels:{labels}, MatchExpressions:{expressions}}}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_spelt_as_in_go() {
        let table = [
            ("spec.replicas", json!(-1), "-1"),
            ("metadata.name", json!("A"), "\"A\""),
            (
                "metadata.labels",
                json!({"a": "b"}),
                "map[string]string{\"a\":\"b\"}",
            ),
            (
                "spec.selector",
                json!({"matchLabels": {"a": "b"}}),
                "v1.LabelSelector{MatchLabels:map[string]string{\"a\":\"b\"}, MatchExpressions:[]v1.LabelSelectorRequirement(nil)}",
            ),
            (
                "spec.clusterIPs[0]",
                json!(["10.0.0.1"]),
                "[]string{\"10.0.0.1\"}",
            ),
        ];
        for (field, value, expected) in table {
            assert_eq!(shown(field, &value), expected);
        }
    }
}
