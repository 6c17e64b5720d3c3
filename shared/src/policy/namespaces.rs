//! The rules about namespaces and networks.

use super::place::has_variable;
use super::rules::Service;
use super::{Judge, Permission, Rule};
use crate::yaml::View;

const GRANT: &str = "host_namespaces = \"allow\"";

/// The keys that choose a namespace, and what it is.
const NAMESPACES: [(&str, &str); 6] = [
    ("network_mode", "network"),
    ("pid", "process"),
    ("ipc", "IPC"),
    ("uts", "UTS"),
    ("userns_mode", "user"),
    ("cgroup", "cgroup"),
];

/// Network drivers that put a container onto the host's own network.
const HOST_DRIVERS: [&str; 3] = ["host", "macvlan", "ipvlan"];

impl Judge<'_> {
    pub(super) fn namespaces(&mut self, service: &Service<'_>) {
        if self.policy.host_namespaces == Permission::Allow {
            return;
        }
        for (key, name) in NAMESPACES {
            let Some(field) = service.node.field(key) else {
                continue;
            };
            let whose = match field.value.text() {
                Some("host") => "the host's",
                Some(mode) if mode.starts_with("container:") => "a foreign container's",
                Some(mode) if key == "network_mode" && !is_own_network(mode) => "a foreign",
                _ => continue,
            };
            let what = format!("service `{}` joins {whose} {name} namespace", service.name);
            self.forbid(
                field.line,
                service.path(key),
                Rule::HostNamespaces,
                &what,
                GRANT,
            );
        }
        if let Some(field) = service.node.field("cgroup_parent")
            && field.value.text().is_some()
        {
            let what = format!("service `{}` chooses a cgroup of the host", service.name);
            self.forbid(
                field.line,
                service.path("cgroup_parent"),
                Rule::HostNamespaces,
                &what,
                GRANT,
            );
        }
    }

    pub(super) fn networks(&mut self, root: View<'_>) {
        if self.policy.host_namespaces == Permission::Allow {
            return;
        }
        for network in root.get("networks").into_iter().flat_map(View::fields) {
            let text = |key: &str| network.value.get(key).and_then(View::text);
            let is_external = network
                .value
                .get("external")
                .is_some_and(|external| !external.is_null());
            // A network that has the name is used, whether or not it is said to be external.
            let is_host = text("name").map_or(is_external && network.key == "host", |name| {
                name == "host" || name.starts_with("container:")
            });
            if is_host || text("driver").is_some_and(|driver| HOST_DRIVERS.contains(&driver)) {
                let what = format!("the network `{}` is the host's own", network.key);
                let path = format!("networks.{}", network.key);
                self.forbid(network.line, path, Rule::HostNamespaces, &what, GRANT);
            }
        }
    }
}

/// Whether a `network_mode` names none but the project's own networks.
fn is_own_network(mode: &str) -> bool {
    matches!(mode, "" | "bridge" | "none" | "default")
        || mode.starts_with("service:")
        || has_variable(mode)
}
