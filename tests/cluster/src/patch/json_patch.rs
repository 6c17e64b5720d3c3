//! RFC 6902.

use serde_json::Value;

use crate::document::text;

/// Does what the patch says, or says which part of it cannot be done.
pub(crate) fn json_patch(document: &mut Value, patch: &Value) -> Result<(), String> {
    let Some(operations) = patch.as_array() else {
        return Err(
            "json: cannot unmarshal object into Go value of type jsonpatch.Patch".to_owned(),
        );
    };
    operations
        .iter()
        .try_for_each(|operation| operate(document, operation))
}

fn operate(document: &mut Value, operation: &Value) -> Result<(), String> {
    let (path, from) = (text(operation, "path"), text(operation, "from"));
    let value = || operation.get("value").cloned().unwrap_or(Value::Null);
    match text(operation, "op") {
        "add" => add(document, path, value()),
        "remove" => remove(document, path).map(drop),
        "replace" => {
            let there = document.pointer_mut(path);
            *there.ok_or_else(|| missing("replace", path))? = value();
            Ok(())
        }
        "move" => {
            let moved = remove(document, from)?;
            add(document, path, moved)
        }
        "copy" => {
            let there = document.pointer(from).cloned();
            add(document, path, there.ok_or_else(|| missing("copy", from))?)
        }
        "test" => {
            if document.pointer(path).unwrap_or(&Value::Null) == &value() {
                return Ok(());
            }
            Err(format!("testing value {path} failed: test failed"))
        }
        other => Err(format!("Unexpected kind: {other}")),
    }
}

fn missing(operation: &str, path: &str) -> String {
    format!("{operation} operation does not apply: doc is missing path: {path}: missing value")
}

fn split(path: &str) -> Result<(&str, String), String> {
    let (holder, key) = path
        .rsplit_once('/')
        .ok_or_else(|| format!("no path in {path:?}"))?;
    Ok((holder, key.replace("~1", "/").replace("~0", "~")))
}

fn add(document: &mut Value, path: &str, value: Value) -> Result<(), String> {
    if path.is_empty() {
        *document = value;
        return Ok(());
    }
    let (holder, key) = split(path)?;
    match document.pointer_mut(holder) {
        Some(Value::Object(map)) => {
            map.insert(key, value);
            Ok(())
        }
        Some(Value::Array(list)) if key == "-" => {
            list.push(value);
            Ok(())
        }
        Some(Value::Array(list)) => match key.parse::<usize>() {
            Ok(at) if at <= list.len() => {
                list.insert(at, value);
                Ok(())
            }
            _ => Err(format!(
                "add operation does not apply: doc is missing path: {path:?}: invalid index referenced"
            )),
        },
        _ => Err(format!(
            "add operation does not apply: doc is missing path: {path:?}: missing value"
        )),
    }
}

fn remove(document: &mut Value, path: &str) -> Result<Value, String> {
    let (holder, key) = split(path)?;
    let removed = match document.pointer_mut(holder) {
        Some(Value::Object(map)) => map.remove(&key),
        Some(Value::Array(list)) => match key.parse::<usize>() {
            Ok(at) if at < list.len() => Some(list.remove(at)),
            _ => None,
        },
        _ => None,
    };
    removed.ok_or_else(|| {
        format!("remove operation does not apply: doc is missing path: {path:?}: missing value")
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn each_operation_does_what_it_says() {
        let mut document = json!({"a": {"b/c": 1}, "list": [1, 3]});
        let patch = json!([
            {"op": "test", "path": "/a/b~1c", "value": 1},
            {"op": "add", "path": "/list/1", "value": 2},
            {"op": "add", "path": "/list/-", "value": 4},
            {"op": "move", "from": "/a/b~1c", "path": "/moved"},
            {"op": "copy", "from": "/moved", "path": "/copied"},
            {"op": "replace", "path": "/moved", "value": 5},
            {"op": "remove", "path": "/a"}
        ]);
        json_patch(&mut document, &patch).expect("it applies");
        assert_eq!(
            document,
            json!({"list": [1, 2, 3, 4], "moved": 5, "copied": 1})
        );
        let wrong = json!([{"op": "replace", "path": "/nowhere/x", "value": 5}]);
        assert!(json_patch(&mut document, &wrong).is_err());
    }
}
