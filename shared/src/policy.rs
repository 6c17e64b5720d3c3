//! The host policy: what any control plane may do on a host, owned by the host's root.

use serde::{Deserialize, Serialize};

/// What jobs may do on a host. The default refuses everything that amounts to root on the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HostPolicy {
    /// Privileged containers.
    pub privileged: Permission,
    /// The host's network, process, IPC, UTS, user or cgroup namespace.
    pub host_namespaces: Permission,
    /// Host paths below which bind mounts are allowed; the project's own folder always is.
    pub bind_mounts: Vec<String>,
    /// Capabilities that may be added (`NET_ADMIN`), or `ALL`.
    pub capabilities: Vec<String>,
    /// Devices of the host.
    pub devices: Permission,
    /// Turning off seccomp, `AppArmor` or `SELinux`.
    pub unconfined: Permission,
    /// Registries images may come from (`docker.io`, `ghcr.io/acme`); empty allows all.
    pub registries: Vec<String>,
    /// Building images on this host.
    pub build: Permission,
}

/// Whether something may be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// It may not.
    #[default]
    Deny,
    /// It may.
    Allow,
}
