//! Ownership of fields: who has set what, and server-side apply.

mod compare;
mod field_set;
mod managers;
mod merge;
mod typed;

pub(crate) use managers::{Managers, Operation, Writer};
pub(crate) use typed::untyped_faults;

use serde_json::Value;

use crate::{
    document::{put, text},
    kinds::Kind,
    refusal::{Answer, Refusal},
};
use compare::compare;
use field_set::FieldSet;
use managers::Conflict;

/// What to do when somebody else owns a field that is applied with another value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnConflict {
    Refuse,
    TakeOver,
}

/// The live object with the applied configuration in it, and its owners.
pub(crate) fn apply(
    kind: &Kind,
    live: Option<&Value>,
    configuration: &Value,
    writer: &Writer,
    on_conflict: OnConflict,
) -> Answer<(Value, Managers)> {
    typed::check(kind, configuration)?;
    let empty = Value::Object(serde_json::Map::new());
    let live = live.unwrap_or(&empty);
    let managers = Managers::of(live);
    let set = FieldSet::of(&kind.shape, configuration).without(&writer.unowned(kind));
    let last = managers.applied_by(writer);
    let merged = merge::merge(&kind.shape, live, configuration);
    let mut after = managers.clone();
    after.replace(writer, set);
    let mut merged = merged;
    merge::prune(&kind.shape, &mut merged, &last, &after.union());
    let changes = compare(&kind.shape, live, &merged);
    let touched = changes.added.union(&changes.modified);
    let conflicts = after.conflicts(writer, &touched.without(&writer.unowned(kind)));
    if !conflicts.is_empty() && on_conflict == OnConflict::Refuse {
        return Err(refuse(&conflicts));
    }
    after.give_up(&conflicts);
    after.forget(writer, &changes.removed);
    Ok((merged, after))
}

/// The owners after a write that is no apply.
pub(crate) fn owners_after_update(
    kind: &Kind,
    before: Option<&Value>,
    after: &Value,
    writer: &Writer,
) -> Managers {
    let empty = Value::Object(serde_json::Map::new());
    let before = before.unwrap_or(&empty);
    let mut managers = Managers::of(after);
    let unowned = writer.unowned(kind);
    let changes = compare(&kind.shape, before, after);
    let touched = changes.added.union(&changes.modified).without(&unowned);
    managers.update(writer, &touched, &changes.removed);
    managers
}

/// Writes the owners into the object; those whose fields are as before keep their time.
pub(crate) fn settle(object: &mut Value, managers: &Managers, before: Option<&Value>) {
    let before = before.map(Managers::of).unwrap_or_default();
    let entries = managers.entries(&before);
    if entries.as_array().is_none_or(Vec::is_empty) {
        let _ = crate::document::take(object, "metadata/managedFields");
    } else {
        put(object, "metadata/managedFields", entries);
    }
}

fn refuse(conflicts: &[Conflict]) -> Refusal {
    let all: Vec<(String, String)> = conflicts
        .iter()
        .flat_map(|conflict| {
            let paths = conflict.fields.paths().into_iter();
            paths.map(|path| (conflict.manager.clone(), path))
        })
        .collect();
    let message = match all.as_slice() {
        [(manager, path)] => {
            format!("Apply failed with 1 conflict: conflict with {manager}: {path}")
        }
        several => format!(
            "Apply failed with {} conflicts: {}",
            several.len(),
            by_manager(conflicts).join("\n")
        ),
    };
    let refusal = Refusal::plain(409, "Conflict", message);
    let mut refusal = Refusal {
        details: serde_json::json!({}),
        ..refusal
    };
    for (manager, path) in &all {
        let message = format!("conflict with {manager}");
        refusal = refusal.because("FieldManagerConflict", &message, path);
    }
    refusal
}

fn by_manager(conflicts: &[Conflict]) -> Vec<String> {
    let mut lines = Vec::new();
    for conflict in conflicts {
        lines.push(format!("conflicts with {}:", conflict.manager));
        let paths = conflict.fields.paths().into_iter();
        lines.extend(paths.map(|path| format!("- {path}")));
    }
    lines
}

/// `default/web; apps/v1, Kind=Deployment`, as messages about configurations name them.
pub(crate) fn describe(kind: &Kind, object: &Value) -> String {
    let namespace = text(object, "metadata/namespace");
    let name = text(object, "metadata/name");
    format!(
        "{namespace}/{name}; {}, Kind={}",
        kind.api_version(),
        kind.kind
    )
}
