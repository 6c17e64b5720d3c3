//! Custom resources, by their schemas.

use serde_json::{Value, json};

use crate::{
    document::{at, items},
    refusal::Cause,
};

/// Holds a value against its schema.
pub(super) fn check(schema: &Value, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    if schema.is_null() || value.is_null() {
        return;
    }
    if !has_type(schema, value) {
        let wanted = schema["type"].as_str().unwrap_or_default();
        let got = type_of(value);
        let why = format!("{path} in body must be of type {wanted}: {got:?}");
        causes.push(Cause::invalid(path, &json!(got), &why));
        return;
    }
    let allowed = items(schema, "enum");
    if !allowed.is_empty() && !allowed.contains(value) {
        let words: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
        causes.push(Cause::unsupported(path, value, &words));
    }
    bounds(schema, value, path, causes);
    match value {
        Value::Object(map) => {
            for name in items(schema, "required").iter().filter_map(Value::as_str) {
                if !map.contains_key(name) {
                    causes.push(Cause::required(&below(path, name), ""));
                }
            }
            for (name, value) in map {
                let declared = at(schema, "properties").get(name);
                let schema = declared.unwrap_or(&schema["additionalProperties"]);
                check(schema, value, &below(path, name), causes);
            }
        }
        Value::Array(list) => {
            for (place, value) in list.iter().enumerate() {
                check(&schema["items"], value, &format!("{path}[{place}]"), causes);
            }
        }
        _ => {}
    }
}

fn below(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    }
}

fn has_type(schema: &Value, value: &Value) -> bool {
    if schema["x-kubernetes-int-or-string"] == true {
        return value.is_i64() || value.is_string();
    }
    match schema["type"].as_str() {
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        _ => true,
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "string",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::Bool(_) => "boolean",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
        Value::Null => "null",
    }
}

fn bounds(schema: &Value, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    if let (Some(least), Some(number)) = (schema["minimum"].as_f64(), value.as_f64())
        && number < least
    {
        let why = format!("{path} in body should be greater than or equal to {least}");
        causes.push(Cause::invalid(path, value, &why));
    }
    if let (Some(most), Some(number)) = (schema["maximum"].as_f64(), value.as_f64())
        && number > most
    {
        let why = format!("{path} in body should be less than or equal to {most}");
        causes.push(Cause::invalid(path, value, &why));
    }
    if let (Some(least), Some(text)) = (schema["minLength"].as_u64(), value.as_str())
        && (text.chars().count() as u64) < least
    {
        let why = format!("{path} in body should be at least {least} chars long");
        causes.push(Cause::invalid(path, value, &why));
    }
}
