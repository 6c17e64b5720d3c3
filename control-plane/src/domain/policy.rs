//! What is held against a project while it is not known where it goes: nothing. Its agent will judge by what it knows.

use towline_shared::cluster::ClusterPolicy;
use towline_shared::policy::{HostPolicy, Permission};

/// Of a host that allows everything.
pub fn any_host() -> HostPolicy {
    HostPolicy {
        privileged: Permission::Allow,
        host_namespaces: Permission::Allow,
        bind_mounts: vec!["/".to_owned()],
        capabilities: vec!["ALL".to_owned()],
        devices: Permission::Allow,
        unconfined: Permission::Allow,
        registries: Vec::new(),
        build: Permission::Allow,
    }
}

/// Of a cluster that allows everything.
pub fn any_cluster() -> ClusterPolicy {
    let all = || vec!["*".to_owned()];
    ClusterPolicy {
        namespaces: all(),
        create_namespaces: Permission::Allow,
        cluster_scoped: all(),
        service_accounts: all(),
    }
}
