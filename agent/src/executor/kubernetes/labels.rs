//! By what our objects are known in a cluster.

use serde_json::{Map, Value, json};
use towline_shared::ids::{ProjectId, TargetId};

/// Towline's project: what bears it is Towline's.
pub(super) const PROJECT: &str = "towline.io/project";
/// The target it was deployed to.
pub(super) const TARGET: &str = "towline.io/target";
/// The project's name, for people and for lists of pods.
pub(super) const NAME: &str = "towline.io/name";
/// What an object of our own is for.
pub(super) const PART: &str = "towline.io/part";
/// The fence of the job that worked on the project last.
pub(super) const FENCE: &str = "towline.io/fence";

/// When somebody asked for new pods.
pub(super) const RESTARTED: &str = "towline.io/restarted-at";
/// Which release was kept.
pub(super) const RELEASE: &str = "towline.io/release";

/// Where the labels of the pods are that an object makes, if they may be changed.
const TEMPLATES: [&str; 2] = ["/spec/template", "/spec/jobTemplate/spec/template"];

/// Whose objects they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub project: ProjectId,
    pub target: TargetId,
    pub name: String,
}

impl Owner {
    /// Writes on an object whose it is, and on the pods that it makes.
    pub fn label(&self, object: &mut Value) {
        put(object, PROJECT, &self.project.to_string());
        put(object, TARGET, &self.target.to_string());
        for template in TEMPLATES {
            if let Some(template) = object.pointer_mut(template)
                && template.get("spec").is_some()
            {
                put(template, PROJECT, &self.project.to_string());
                put(template, NAME, &self.name);
            }
        }
        if object.get("kind").is_some_and(|kind| kind == "Pod") {
            put(object, NAME, &self.name);
        }
    }

    /// The query for the objects of the project.
    pub fn selector(&self) -> String {
        of_project(self.project)
    }

    /// Whose an object is.
    pub fn judge(&self, object: &Value) -> Whose {
        match (label(object, PROJECT), label(object, TARGET)) {
            (None, _) => Whose::Nobodys,
            (Some(project), _) if project != self.project.to_string() => Whose::AnotherProjects,
            (Some(_), Some(target)) if target != self.target.to_string() => Whose::AnotherTargets,
            (Some(_), _) => Whose::Ours,
        }
    }
}

/// The query for the objects of a project.
pub(super) fn of_project(project: ProjectId) -> String {
    format!("&labelSelector={PROJECT}={project}")
}

/// Whose an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    Ours,
    /// Towline knows nothing of it.
    Nobodys,
    AnotherProjects,
    /// The same project was deployed to the same place as another target.
    AnotherTargets,
}

/// A label of an object.
pub(super) fn label<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.get("metadata")?.get("labels")?.get(name)?.as_str()
}

/// An annotation of an object.
pub(super) fn annotation<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object
        .get("metadata")?
        .get("annotations")?
        .get(name)?
        .as_str()
}

fn put(object: &mut Value, label: &str, value: &str) {
    let Some(fields) = object.as_object_mut() else {
        return;
    };
    let metadata = fields.entry("metadata").or_insert_with(|| json!({}));
    if let Some(metadata) = metadata.as_object_mut() {
        let labels = metadata.entry("labels").or_insert_with(|| json!({}));
        if !labels.is_object() {
            *labels = Value::Object(Map::new());
        }
        labels[label] = value.into();
    }
}
