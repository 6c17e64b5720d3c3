//! Where objects are in a cluster's API.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

/// A kind that a cluster serves.
#[expect(clippy::struct_field_names, reason = "they are called so in the API")]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Kind {
    /// Its group and version (`apps/v1`).
    pub api_version: String,
    /// `Deployment`
    pub kind: String,
    /// `deployments`
    pub plural: String,
    pub scope: Scope,
}

/// What objects of a kind belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Scope {
    Namespace,
    Cluster,
}

impl Kind {
    /// A kind of Kubernetes itself that is in namespaces.
    pub fn own(api_version: &str, kind: &str, plural: &str) -> Self {
        Self {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
            scope: Scope::Namespace,
        }
    }

    pub fn config_map() -> Self {
        Self::own("v1", "ConfigMap", "configmaps")
    }

    pub fn secret() -> Self {
        Self::own("v1", "Secret", "secrets")
    }

    pub fn pod() -> Self {
        Self::own("v1", "Pod", "pods")
    }

    pub fn event() -> Self {
        Self::own("v1", "Event", "events")
    }

    pub fn replica_set() -> Self {
        Self::own("apps/v1", "ReplicaSet", "replicasets")
    }

    /// A resource as discovery lists it; nothing for what is only a part of another, or cannot be applied.
    pub fn listed(api_version: &str, resource: &Value) -> Option<Self> {
        let plural = resource.get("name")?.as_str()?;
        let verbs = resource.get("verbs")?.as_array()?;
        if plural.contains('/') || !verbs.iter().any(|verb| verb == "get") {
            return None;
        }
        Some(Self {
            api_version: api_version.to_owned(),
            kind: resource.get("kind")?.as_str()?.to_owned(),
            plural: plural.to_owned(),
            scope: if resource.get("namespaced")?.as_bool()? {
                Scope::Namespace
            } else {
                Scope::Cluster
            },
        })
    }

    /// The group of its API; empty for the core one.
    pub fn group(&self) -> &str {
        self.api_version
            .rsplit_once('/')
            .map_or("", |(group, _)| group)
    }

    /// The path of all its objects, in a namespace or in all.
    pub fn collection(&self, namespace: Option<&str>) -> String {
        let root = if self.api_version.contains('/') {
            "/apis"
        } else {
            "/api"
        };
        let (version, plural) = (&self.api_version, &self.plural);
        match namespace {
            Some(namespace) => format!("{root}/{version}/namespaces/{namespace}/{plural}"),
            None => format!("{root}/{version}/{plural}"),
        }
    }
}

/// Where one object is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct At {
    pub kind: Arc<Kind>,
    /// None for one of the whole cluster.
    pub namespace: Option<String>,
    pub name: String,
}

impl At {
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        Self {
            kind: Arc::new(kind),
            namespace: Some(namespace.to_owned()),
            name: name.to_owned(),
        }
    }

    /// A namespace.
    pub fn namespace(name: &str) -> Self {
        let kind = Kind {
            scope: Scope::Cluster,
            ..Kind::own("v1", "Namespace", "namespaces")
        };
        Self {
            kind: Arc::new(kind),
            namespace: None,
            name: name.to_owned(),
        }
    }

    /// Its path.
    pub fn path(&self) -> String {
        format!(
            "{}/{}",
            self.kind.collection(self.namespace.as_deref()),
            self.name
        )
    }

    /// What names it, whatever its version.
    pub fn key(&self) -> (String, String, Option<String>, String) {
        (
            self.kind.group().to_owned(),
            self.kind.kind.clone(),
            self.namespace.clone(),
            self.name.clone(),
        )
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.kind, self.name)
    }
}

/// Whether a name may stand in a path.
pub(super) fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
    !name.is_empty()
        && name.len() <= 253
        && !matches!(name, "." | "..")
        && name.chars().all(allowed)
}
