//! What people may reach on this host through the control plane, beside its jobs.

use towline_shared::policy::Permission;

/// What the host's owner lets people reach. The default is nothing: each of it is more than a job may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// The engine's whole API, which is root on the host.
    pub docker_api: Permission,
    /// Commands in containers.
    pub exec: Permission,
}
