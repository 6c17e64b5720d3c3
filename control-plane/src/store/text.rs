//! Text of agents, as both databases can keep it: PostgreSQL takes no NUL, neither in text nor in JSON.
//! A report that cannot be stored would be sent again for ever.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;

use super::{Result, StoreError};

/// The text, with a sign in place of each NUL.
pub(super) fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        text.replace('\0', "\u{fffd}").into()
    } else {
        text.into()
    }
}

/// The value as JSON, with a sign in place of each NUL.
pub(super) fn storable_json(value: &impl Serialize) -> Result<Value> {
    let mut json = serde_json::to_value(value)
        .map_err(|error| StoreError::Damaged(format!("a report cannot be stored: {error}")))?;
    clean(&mut json);
    Ok(json)
}

/// Names of fields are our own.
fn clean(json: &mut Value) {
    match json {
        Value::String(text) => {
            if let Cow::Owned(clean) = storable(text) {
                *text = clean;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(clean),
        Value::Object(fields) => fields.values_mut().for_each(clean),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
