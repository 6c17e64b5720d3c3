//! The rules by name.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A rule that a project is judged by. Variants are only ever appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// It is YAML within limits.
    Yaml,
    /// It has the shape of a compose file.
    Structure,
    /// No mapping has a key twice.
    DuplicateKey,
    /// Every key is one of the Compose Specification.
    UnknownKey,
    /// Every service has an image or a build.
    Image,
    /// Every file it refers to is part of the project.
    Files,
    /// No variable steers Towline's own programs.
    Environment,
    /// It uses nothing that compose ignores.
    Obsolete,
    /// No privileged containers (`privileged`).
    Privileged,
    /// No namespace of the host or of foreign containers (`host_namespaces`).
    HostNamespaces,
    /// No paths of the host but the project's own and those listed (`bind_mounts`).
    BindMounts,
    /// No added capabilities but those listed (`capabilities`).
    Capabilities,
    /// No devices of the host (`devices`).
    Devices,
    /// No confinement turned off (`unconfined`).
    Unconfined,
    /// No images but from the registries listed (`registries`).
    Registries,
    /// No building on this host (`build`).
    Build,
    /// No programs of the host: nothing in a policy allows it.
    HostPrograms,
    /// No object stands twice among a project's manifests.
    DuplicateObject,
    /// No placeholder of a template is left in a manifest.
    Template,
    /// No object outside the namespaces that are the agent's (`namespaces`).
    Namespaces,
    /// No object of the whole cluster but of the kinds listed (`cluster_scoped`).
    ClusterScoped,
    /// No service account for pods but those listed (`service_accounts`).
    ServiceAccounts,
}

impl Rule {
    /// The name in the API, in messages, and, for those an owner can set, in the policy file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Yaml => "yaml",
            Self::Structure => "structure",
            Self::DuplicateKey => "duplicate_key",
            Self::UnknownKey => "unknown_key",
            Self::Image => "image",
            Self::Files => "files",
            Self::Environment => "environment",
            Self::Obsolete => "obsolete",
            Self::Privileged => "privileged",
            Self::HostNamespaces => "host_namespaces",
            Self::BindMounts => "bind_mounts",
            Self::Capabilities => "capabilities",
            Self::Devices => "devices",
            Self::Unconfined => "unconfined",
            Self::Registries => "registries",
            Self::Build => "build",
            Self::HostPrograms => "host_programs",
            Self::DuplicateObject => "duplicate_object",
            Self::Template => "template",
            Self::Namespaces => "namespaces",
            Self::ClusterScoped => "cluster_scoped",
            Self::ServiceAccounts => "service_accounts",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
