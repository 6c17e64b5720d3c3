//! What the API says when it does not do what was asked: objects of kind `Status`, worded as the real server's.

use serde_json::{Value, json};

use crate::{kinds::Kind, spelling::shown};

/// An answer, or the reason why there is none.
pub(crate) type Answer<T> = Result<T, Refusal>;

/// A `Status` of failure.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    /// The status of HTTP.
    pub code: u16,
    /// For programs; empty where the real server gives none.
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// What it is about, with its causes.
    pub details: Value,
}

/// One of several reasons, about one field.
#[derive(Clone, Debug)]
pub(crate) struct Cause {
    /// For programs, `FieldValueInvalid`.
    pub reason: &'static str,
    /// What is wrong with the field.
    pub message: String,
    /// The field's path, `spec.selector`.
    pub field: String,
}

impl Cause {
    /// A value that is not valid, and why.
    pub(crate) fn invalid(field: &str, value: &Value, why: &str) -> Self {
        let shown = shown(field, value);
        Self::of(
            "FieldValueInvalid",
            field,
            format!("Invalid value: {shown}: {why}"),
        )
    }

    /// A field that must be there.
    pub(crate) fn required(field: &str, why: &str) -> Self {
        let behind = if why.is_empty() {
            String::new()
        } else {
            format!(": {why}")
        };
        Self::of(
            "FieldValueRequired",
            field,
            format!("Required value{behind}"),
        )
    }

    /// A field, or its change, that is not allowed.
    pub(crate) fn forbidden(field: &str, why: &str) -> Self {
        Self::of("FieldValueForbidden", field, format!("Forbidden: {why}"))
    }

    /// One that occurs twice.
    pub(crate) fn duplicate(field: &str, value: &Value) -> Self {
        let shown = shown(field, value);
        Self::of(
            "FieldValueDuplicate",
            field,
            format!("Duplicate value: {shown}"),
        )
    }

    /// Something that is named and not there.
    pub(crate) fn not_found(field: &str, value: &Value) -> Self {
        let shown = shown(field, value);
        Self::of("FieldValueNotFound", field, format!("Not found: {shown}"))
    }

    /// One that is none of a few.
    pub(crate) fn unsupported(field: &str, value: &Value, supported: &[&str]) -> Self {
        let quoted: Vec<String> = supported.iter().map(|name| format!("{name:?}")).collect();
        let message = format!(
            "Unsupported value: {}: supported values: {}",
            shown(field, value),
            quoted.join(", ")
        );
        Self::of("FieldValueNotSupported", field, message)
    }

    /// One that has more bytes than it may.
    pub(crate) fn too_long(field: &str, most: usize) -> Self {
        let message = format!("Too long: may not be more than {most} bytes");
        Self::of("FieldValueTooLong", field, message)
    }

    fn of(reason: &'static str, field: &str, message: String) -> Self {
        Self {
            reason,
            message,
            field: field.to_owned(),
        }
    }

    fn value(&self) -> Value {
        json!({"reason": self.reason, "message": self.message, "field": self.field})
    }

    fn sentence(&self) -> String {
        format!("{}: {}", self.field, self.message)
    }
}

impl Refusal {
    /// Any, without details.
    pub(crate) fn plain(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: Value::Null,
        }
    }

    /// About an object of a resource.
    pub(crate) fn about(
        code: u16,
        reason: &'static str,
        group: &str,
        resource: &str,
        name: &str,
        message: String,
    ) -> Self {
        let mut details = json!({"kind": resource});
        if !name.is_empty() {
            details["name"] = name.into();
        }
        if !group.is_empty() {
            details["group"] = group.into();
        }
        Self {
            code,
            reason,
            message,
            details,
        }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::plain(400, "BadRequest", message)
    }

    pub(crate) fn internal(message: &str) -> Self {
        let mut refusal = Self::plain(
            500,
            "InternalError",
            format!("Internal error occurred: {message}"),
        );
        refusal.details = json!({"causes": [{"message": message}]});
        refusal
    }

    /// There is no such path.
    pub(crate) fn no_such_resource() -> Self {
        let message = "the server could not find the requested resource";
        Self {
            details: json!({}),
            ..Self::plain(404, "NotFound", message)
        }
    }

    pub(crate) fn not_found(kind: &Kind, name: &str) -> Self {
        let message = format!("{} {name:?} not found", kind.resource());
        Self::about(404, "NotFound", &kind.group, &kind.plural, name, message)
    }

    pub(crate) fn already_exists(kind: &Kind, name: &str) -> Self {
        let message = format!("{} {name:?} already exists", kind.resource());
        Self::about(
            409,
            "AlreadyExists",
            &kind.group,
            &kind.plural,
            name,
            message,
        )
    }

    pub(crate) fn conflict(kind: &Kind, name: &str, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} {name:?}: {why}",
            kind.resource()
        );
        Self::about(409, "Conflict", &kind.group, &kind.plural, name, message)
    }

    pub(crate) fn modified(kind: &Kind, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(kind, name, why)
    }

    pub(crate) fn forbidden(kind: &Kind, name: &str, why: &str) -> Self {
        let message = if name.is_empty() {
            format!("{} is forbidden: {why}", kind.resource())
        } else {
            format!("{} {name:?} is forbidden: {why}", kind.resource())
        };
        Self::about(403, "Forbidden", &kind.group, &kind.plural, name, message)
    }

    /// What is wrong with an object, all at once.
    pub(crate) fn invalid(kind: &Kind, name: &str, causes: &[Cause]) -> Self {
        let sentences: Vec<String> = causes.iter().map(Cause::sentence).collect();
        let all = match sentences.as_slice() {
            [one] => one.clone(),
            several => format!("[{}]", several.join(", ")),
        };
        let qualified = kind.qualified_kind();
        let message = format!("{qualified} {name:?} is invalid: {all}");
        let mut refusal = Self::about(422, "Invalid", &kind.group, &kind.kind, name, message);
        refusal.details["causes"] = causes.iter().map(Cause::value).collect();
        refusal
    }

    /// A revision whose history is gone.
    pub(crate) fn expired(asked: u64, oldest: u64) -> Self {
        let message = format!("too old resource version: {asked} ({oldest})");
        Self::plain(410, "Expired", message)
    }

    /// The same with a cause more.
    #[must_use]
    pub(crate) fn because(mut self, reason: &str, message: &str, field: &str) -> Self {
        let mut cause = json!({"reason": reason, "message": message});
        if !field.is_empty() {
            cause["field"] = field.into();
        }
        match self.details["causes"].as_array_mut() {
            Some(causes) => causes.push(cause),
            None => self.details["causes"] = json!([cause]),
        }
        self
    }

    /// As it is sent.
    pub(crate) fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {},
            "status": "Failure", "message": self.message, "code": self.code,
        });
        if !self.reason.is_empty() {
            status["reason"] = self.reason.into();
        }
        if !self.details.is_null() {
            status["details"] = self.details.clone();
        }
        status
    }
}
