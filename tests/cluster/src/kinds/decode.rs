//! A body read as an object of a kind: what does not fit is refused, or told, or dropped.

use serde_json::Value;

use crate::{
    apply::untyped_faults,
    document::without_nulls,
    kinds::{
        Kind,
        shape::{Field, Shape},
    },
    refusal::{Answer, Refusal},
};

/// What becomes of fields that a kind does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strictness {
    Ignore,
    Warn,
    Strict,
}

/// The object without what its kind does not have, and warnings.
pub(crate) fn decode(
    kind: &Kind,
    mut object: Value,
    strictness: Strictness,
) -> Answer<(Value, Vec<String>)> {
    without_nulls(&mut object);
    let faults = untyped_faults(kind, &object);
    let is_unknown = |fault: &&String| fault.ends_with("field not declared in schema");
    let wrong = faults
        .iter()
        .find(|fault| !is_unknown(fault) && fault.contains(": expected "));
    if let Some(wrong) = wrong {
        return Err(cannot_be_handled(kind, &unmarshal_words(wrong)));
    }
    let unknown: Vec<String> = faults
        .iter()
        .filter(is_unknown)
        .map(|fault| {
            let path = fault.split(':').next().unwrap_or_default();
            format!("unknown field {:?}", path.trim_start_matches('.'))
        })
        .collect();
    if strictness == Strictness::Strict && !unknown.is_empty() {
        let words = format!("strict decoding error: {}", unknown.join(", "));
        return Err(cannot_be_handled(kind, &words));
    }
    drop_unknown(&kind.shape, &mut object);
    Ok((object, unknown))
}

fn cannot_be_handled(kind: &Kind, why: &str) -> Refusal {
    let (name, version) = (&kind.kind, &kind.version);
    Refusal::bad_request(format!(
        "{name} in version {version:?} cannot be handled as a {name}: {why}"
    ))
}

/// `.spec.replicas: expected numeric (int or float), got string` in the words of Go's decoder.
fn unmarshal_words(fault: &str) -> String {
    let (path, rest) = fault.split_once(": ").unwrap_or((fault, ""));
    let got = match rest.rsplit(' ').next().unwrap_or_default() {
        "int" | "float" => "number",
        "boolean" => "bool",
        "list" => "array",
        "map" => "object",
        other => other,
    };
    let wanted = match rest.split(',').next().unwrap_or_default() {
        "expected string" => "string",
        "expected boolean" => "bool",
        "expected list" => "[]",
        "expected map" => "map",
        _ => "int32",
    };
    let field = path.trim_start_matches('.');
    format!("json: cannot unmarshal {got} into Go struct field .{field} of type {wanted}")
}

/// Drops fields that the shape does not have.
pub(crate) fn drop_unknown(shape: &Shape, value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|name, _| !matches!(shape.field(name), Field::Undeclared));
            for (name, value) in map {
                drop_unknown(shape.below(name), value);
            }
        }
        Value::Array(list) => {
            for value in list {
                drop_unknown(shape.item(), value);
            }
        }
        _ => {}
    }
}
