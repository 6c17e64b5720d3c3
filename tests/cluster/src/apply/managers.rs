//! The owners of an object's fields, as `metadata.managedFields` has them.

use chrono::{SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::{
    apply::field_set::FieldSet,
    document::{items, text},
    kinds::Kind,
};

/// How somebody came to own fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    Apply,
    Update,
}

/// Who writes, through which part of the object.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    pub manager: String,
    pub operation: Operation,
    /// `apps/v1`.
    pub api_version: String,
    /// `status`, `scale`, or empty.
    pub subresource: String,
}

#[derive(Clone, Debug)]
struct Manager {
    writer: Writer,
    time: String,
    fields: FieldSet,
}

/// All owners of an object.
#[derive(Clone, Debug, Default)]
pub(crate) struct Managers(Vec<Manager>);

/// Fields that another owns.
#[derive(Debug)]
pub(super) struct Conflict {
    /// As messages name it.
    pub manager: String,
    at: usize,
    pub fields: FieldSet,
}

impl Operation {
    const fn name(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

impl Writer {
    fn is(&self, other: &Self) -> bool {
        let same_version =
            self.operation == Operation::Apply || self.api_version == other.api_version;
        self.manager == other.manager
            && self.operation == other.operation
            && self.subresource == other.subresource
            && same_version
    }

    fn spoken(&self) -> String {
        let mut spoken = format!("{:?}", self.manager);
        if !self.subresource.is_empty() {
            spoken = format!("{spoken} with subresource {:?}", self.subresource);
        }
        match self.operation {
            Operation::Apply => spoken,
            Operation::Update => format!("{spoken} using {}", self.api_version),
        }
    }

    /// The fields that nobody comes to own by such a write.
    pub(super) fn unowned(&self, kind: &Kind) -> FieldSet {
        const OF_THE_SERVER: [&str; 9] = [
            "f:name",
            "f:namespace",
            "f:creationTimestamp",
            "f:selfLink",
            "f:uid",
            "f:generation",
            "f:managedFields",
            "f:resourceVersion",
            "f:generateName",
        ];
        let mut unowned = FieldSet::path(&["f:apiVersion"]);
        unowned.join(&FieldSet::path(&["f:kind"]));
        // A name that is made up is its author's.
        for field in &OF_THE_SERVER[..8] {
            unowned.join(&FieldSet::path(&["f:metadata", field]));
        }
        if self.subresource == "status" {
            unowned.join(&FieldSet::path(&["f:spec"]));
        } else if kind.has("status") {
            unowned.join(&FieldSet::path(&["f:status"]));
        }
        unowned
    }
}

impl Managers {
    pub(crate) fn of(object: &Value) -> Self {
        let entries = items(object, "metadata/managedFields").iter();
        Self(entries.map(read).collect())
    }

    pub(super) fn applied_by(&self, writer: &Writer) -> FieldSet {
        let own = self.0.iter().find(|manager| manager.writer.is(writer));
        own.map(|manager| manager.fields.clone())
            .unwrap_or_default()
    }

    pub(super) fn union(&self) -> FieldSet {
        let mut all = FieldSet::default();
        for manager in &self.0 {
            all.join(&manager.fields);
        }
        all
    }

    pub(super) fn replace(&mut self, writer: &Writer, fields: FieldSet) {
        self.0.retain(|manager| !manager.writer.is(writer));
        self.0.push(Manager {
            writer: writer.clone(),
            time: now(),
            fields,
        });
    }

    pub(super) fn conflicts(&self, writer: &Writer, touched: &FieldSet) -> Vec<Conflict> {
        let others = self.0.iter().enumerate();
        let others = others.filter(|(_, manager)| !manager.writer.is(writer));
        let mut conflicts: Vec<Conflict> = others
            .map(|(at, manager)| Conflict {
                manager: manager.writer.spoken(),
                at,
                fields: manager.fields.shared(touched),
            })
            .filter(|conflict| !conflict.fields.is_empty())
            .collect();
        conflicts.sort_by(|one, other| one.manager.cmp(&other.manager));
        conflicts
    }

    pub(super) fn give_up(&mut self, conflicts: &[Conflict]) {
        for conflict in conflicts {
            let manager = &mut self.0[conflict.at];
            manager.fields = manager.fields.minus(&conflict.fields);
        }
    }

    /// Takes what is gone from everybody but the writer.
    pub(super) fn forget(&mut self, writer: &Writer, removed: &FieldSet) {
        for manager in &mut self.0 {
            if !manager.writer.is(writer) {
                manager.fields = manager.fields.minus(removed);
            }
        }
    }

    /// Gives what an update touched to its writer, and takes it from everybody else.
    pub(super) fn update(&mut self, writer: &Writer, touched: &FieldSet, removed: &FieldSet) {
        let own = self.applied_by(writer).minus(removed).union(touched);
        let lost = touched.union(removed);
        for manager in &mut self.0 {
            manager.fields = manager.fields.minus(&lost);
        }
        self.replace(writer, own);
    }

    /// As they are stored; who owns what he owned before has the time of then.
    pub(super) fn entries(&self, before: &Self) -> Value {
        let mut kept: Vec<Manager> = self
            .0
            .iter()
            .filter(|manager| !manager.fields.is_empty())
            .cloned()
            .collect();
        for manager in &mut kept {
            let same = before
                .0
                .iter()
                .find(|then| then.writer.is(&manager.writer) && then.fields == manager.fields);
            if let Some(then) = same {
                manager.time.clone_from(&then.time);
            }
        }
        kept.sort_by_key(|manager| {
            (
                manager.writer.operation,
                manager.time.clone(),
                manager.writer.manager.clone(),
            )
        });
        kept.iter().map(entry).collect()
    }
}

fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn read(entry: &Value) -> Manager {
    Manager {
        writer: Writer {
            manager: text(entry, "manager").to_owned(),
            operation: match text(entry, "operation") {
                "Apply" => Operation::Apply,
                _ => Operation::Update,
            },
            api_version: text(entry, "apiVersion").to_owned(),
            subresource: text(entry, "subresource").to_owned(),
        },
        time: text(entry, "time").to_owned(),
        fields: FieldSet::read(&entry["fieldsV1"]),
    }
}

fn entry(manager: &Manager) -> Value {
    let writer = &manager.writer;
    let mut entry = json!({
        "manager": writer.manager,
        "operation": writer.operation.name(),
        "apiVersion": writer.api_version,
        "time": manager.time,
        "fieldsType": "FieldsV1",
        "fieldsV1": manager.fields.value(),
    });
    if !writer.subresource.is_empty() {
        entry["subresource"] = writer.subresource.clone().into();
    }
    entry
}
