//! Which object it is.

use std::fmt;

use serde_json::Value;

/// What names an object in a cluster, whatever its version.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName {
    /// The group of its API; empty for the core one.
    pub group: String,
    /// Its kind.
    pub kind: String,
    /// Its namespace, if it names one.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl ObjectName {
    /// The name of an object that has an `apiVersion`, a `kind` and a name.
    pub fn of(object: &Value) -> Option<Self> {
        let text = |value: &Value| Some(value.as_str()?.to_owned()).filter(|text| !text.is_empty());
        let version = text(object.get("apiVersion")?)?;
        let metadata = object.get("metadata")?;
        Some(Self {
            group: group_of(&version).to_owned(),
            kind: text(object.get("kind")?)?,
            namespace: metadata.get("namespace").and_then(text),
            name: text(metadata.get("name")?)?,
        })
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)?;
        match &self.namespace {
            Some(namespace) => write!(f, " in {namespace}"),
            None => Ok(()),
        }
    }
}

/// The group in an `apiVersion`; empty for the core one.
pub fn group_of(api_version: &str) -> &str {
    api_version.rsplit_once('/').map_or("", |(group, _)| group)
}

/// A project's name as Kubernetes takes it for objects: beginning with a letter, not ending in a hyphen, and with room
/// for what is appended.
pub fn object_name(project: &str) -> String {
    let name = project.replace('_', "-");
    let name = if name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        name
    } else {
        format!("app-{name}")
    };
    // The longest name that anything makes of it has 13 more.
    name.chars()
        .take(50)
        .collect::<String>()
        .trim_end_matches('-')
        .to_owned()
}
