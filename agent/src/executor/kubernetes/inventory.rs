//! What a project has in a cluster: one object of ours that lists all others, and guards them.
//!
//! It is a ConfigMap in the project's namespace. Before a job changes anything it writes its fence and all that it is
//! about to touch into it, at the version that it has read: so of two agents one finds that the other was there, and of
//! what an agent has made before it died nothing is forgotten. What a later fence has written, an earlier one never
//! changes.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use towline_shared::Fence;

use super::api::text;
use super::at::{At, Kind};
use super::labels::{FENCE, Owner, PART, annotation};

/// Where the list stands in the object.
const OBJECTS: &str = "objects.json";
/// Where the release stands that came up last.
const RELEASE: &str = "release";

/// What a project has in a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Inventory {
    /// The version that it was read at; empty when there is none yet.
    pub version: String,
    pub fence: Fence,
    /// The release that came up last; empty when none has, or it is being changed.
    pub release: String,
    pub entries: Vec<Entry>,
}

/// One object of a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub api_version: String,
    pub kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    pub name: String,
    /// The digest of what was applied; empty while that is not certain.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub digest: String,
    pub origin: Origin,
}

/// Where an object comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Origin {
    /// A release has made it.
    Made,
    /// It was there before, and is never deleted by us.
    Found,
}

/// Why an inventory cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Damaged(pub String);

impl Inventory {
    /// Where a project's inventory is.
    pub fn at(owner: &Owner, namespace: &str) -> At {
        let name = format!("towline-inventory-{}", owner.project);
        At::new(Kind::config_map(), namespace, &name)
    }

    /// Reads it.
    pub fn read(object: &Value) -> Result<Self, Damaged> {
        let damaged = |what: &str| {
            let name = text(object, "/metadata/name");
            Damaged(format!("{what} of the ConfigMap {name}"))
        };
        let fence = annotation(object, FENCE).and_then(|fence| fence.parse().ok());
        let list = object.get("data").and_then(|data| data.get(OBJECTS));
        let list = list.and_then(Value::as_str).unwrap_or("[]");
        Ok(Self {
            version: text(object, "/metadata/resourceVersion"),
            fence: fence.ok_or_else(|| damaged("the fence"))?,
            release: text(object, "/data/release"),
            entries: serde_json::from_str(list).map_err(|_| damaged("the list"))?,
        })
    }

    /// Writes it: the object, at the version that it was read at.
    pub fn write(&self, owner: &Owner, namespace: &str) -> Value {
        let at = Self::at(owner, namespace);
        let list = serde_json::to_string(&self.entries).unwrap_or_default();
        let mut object = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": at.name,
                "namespace": namespace,
                "annotations": {FENCE: self.fence.to_string()},
                "labels": {PART: "inventory"},
            },
            "data": {OBJECTS: list, RELEASE: self.release},
        });
        owner.label(&mut object);
        if !self.version.is_empty() {
            object["metadata"]["resourceVersion"] = self.version.clone().into();
        }
        object
    }

    /// The entry of an object.
    pub fn entry(&self, at: &At) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.is_at(at))
    }
}

impl Entry {
    pub fn of(at: &At, digest: String, origin: Origin) -> Self {
        Self {
            api_version: at.kind.api_version.clone(),
            kind: at.kind.kind.clone(),
            namespace: at.namespace.clone(),
            name: at.name.clone(),
            digest,
            origin,
        }
    }

    fn group(&self) -> &str {
        self.api_version
            .rsplit_once('/')
            .map_or("", |(group, _)| group)
    }

    /// Whether both are of one object, whatever its version.
    pub fn is_same(&self, other: &Self) -> bool {
        (self.group(), &self.kind, &self.namespace, &self.name)
            == (other.group(), &other.kind, &other.namespace, &other.name)
    }

    /// Whether it is of that object, whatever its version.
    pub fn is_at(&self, at: &At) -> bool {
        self.kind == at.kind.kind
            && self.name == at.name
            && self.namespace == at.namespace
            && self.group() == at.kind.group()
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use towline_shared::ids::{ProjectId, TargetId};

    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let owner = Owner {
            project: ProjectId::new(),
            target: TargetId::new(),
            name: "shop".into(),
        };
        let at = At::new(Kind::secret(), "shop", "a");
        let inventory = Inventory {
            version: "7".into(),
            fence: Fence::new(2, 9),
            release: "r".into(),
            entries: vec![
                Entry::of(&at, "d".into(), Origin::Made),
                Entry::of(
                    &At::new(Kind::pod(), "other", "b"),
                    String::new(),
                    Origin::Found,
                ),
            ],
        };
        let object = inventory.write(&owner, "shop");
        assert_eq!(Inventory::read(&object).unwrap(), inventory);
        assert!(inventory.entry(&at).is_some());
        assert!(
            inventory
                .entry(&At::new(Kind::secret(), "other", "a"))
                .is_none()
        );
        for broken in ["x", "1", "1.", "-1.2"] {
            let mut object = object.clone();
            object["metadata"]["annotations"][FENCE] = broken.into();
            assert!(Inventory::read(&object).is_err(), "{broken}");
        }
    }
}
