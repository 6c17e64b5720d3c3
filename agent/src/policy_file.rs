//! The host policy's file: what the host's owner lets any control plane do here.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use towline_shared::cluster::ClusterPolicy;
use towline_shared::policy::{HostPolicy, Permission};

use crate::access::Access;

/// Where it is, unless the command line says.
pub const DEFAULT_POLICY: &str = "/etc/towline/policy.toml";
/// The most bytes that are read of it.
const MAX_BYTES: u64 = 256 * 1024;

/// What the host's owner allows: jobs, and people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// What jobs may do. Control planes are told of it.
    pub jobs: HostPolicy,
    /// What people may reach.
    pub access: Access,
    /// What jobs may do in a cluster. Control planes are told of it.
    pub cluster: ClusterPolicy,
    /// Whether a control plane may make the agent an older version than it is.
    pub agent_downgrade: Permission,
}

/// The file's keys. They are listed once more, so that one that is misspelt is refused by its line.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Keys {
    privileged: Permission,
    host_namespaces: Permission,
    bind_mounts: Vec<String>,
    capabilities: Vec<String>,
    devices: Permission,
    unconfined: Permission,
    registries: Vec<String>,
    build: Permission,
    docker_api: Permission,
    exec: Permission,
    agent_downgrade: Permission,
    cluster: ClusterPolicy,
}

impl From<Keys> for Policy {
    fn from(keys: Keys) -> Self {
        Self {
            jobs: HostPolicy {
                privileged: keys.privileged,
                host_namespaces: keys.host_namespaces,
                bind_mounts: keys.bind_mounts,
                capabilities: keys.capabilities,
                devices: keys.devices,
                unconfined: keys.unconfined,
                registries: keys.registries,
                build: keys.build,
            },
            access: Access {
                docker_api: keys.docker_api,
                exec: keys.exec,
            },
            cluster: keys.cluster,
            agent_downgrade: keys.agent_downgrade,
        }
    }
}

/// Why a policy cannot be used. The agent does not start then: it must not be laxer, nor stricter,
/// than its owner wrote.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// It cannot be read.
    #[error("cannot read the host policy {path}: {cause}; check --policy")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// Others than its owner may write it.
    #[error(
        "the host policy {path} may be written by others than root and the agent's user; run chown root {path} and chmod go-w {path}"
    )]
    Writable {
        /// The file.
        path: PathBuf,
    },
    /// It is no policy.
    #[error("the host policy {path} is not valid: {cause}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Where and why.
        cause: toml::de::Error,
    },
}

/// Reads the policy. A file that is missing at the usual place is the strict default.
pub fn load(path: &Path) -> Result<Policy, PolicyError> {
    let unreadable = |cause| PolicyError::Unreadable {
        path: path.into(),
        cause,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error)
            if error.kind() == io::ErrorKind::NotFound && path == Path::new(DEFAULT_POLICY) =>
        {
            return Ok(Policy::default());
        }
        Err(error) => return Err(unreadable(error)),
    };
    let metadata = file.metadata().map_err(unreadable)?;
    if !is_trusted(&metadata) {
        return Err(PolicyError::Writable { path: path.into() });
    }
    let mut text = String::new();
    file.take(MAX_BYTES)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    let keys: Keys = toml::from_str(&text).map_err(|cause| PolicyError::Invalid {
        path: path.into(),
        cause,
    })?;
    Ok(keys.into())
}

/// Whether nobody but root and the agent's user may write a file.
pub fn is_trusted(metadata: &Metadata) -> bool {
    let owner = [0, rustix::process::geteuid().as_raw()].contains(&metadata.uid());
    owner && metadata.permissions().mode() & 0o022 == 0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;

    use super::*;

    #[test]
    fn a_policy_is_read_whole_or_not_at_all() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("policy.toml");
        let write = |text: &str, mode| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            load(&path)
        };
        let Policy {
            jobs,
            access,
            cluster,
            agent_downgrade,
        } = write(
            "privileged = \"allow\"\nbind_mounts = [\"/srv\"]\n[cluster]\nnamespaces = [\"shop\"]\n",
            0o644,
        )
        .unwrap();
        assert_eq!(cluster.namespaces, ["shop"]);
        assert_eq!(jobs.privileged, Permission::Allow);
        assert_eq!(jobs.bind_mounts, ["/srv"]);
        assert_eq!(jobs.devices, Permission::Deny);
        assert_eq!(
            (access, agent_downgrade),
            (Access::default(), Permission::Deny)
        );
        let opened = write("docker_api = \"allow\"\n", 0o644).unwrap();
        assert_eq!(opened.access.docker_api, Permission::Allow);
        assert_eq!(opened.jobs, HostPolicy::default());
        assert!(matches!(
            write("", 0o666),
            Err(PolicyError::Writable { .. })
        ));
        for (text, expected) in [
            ("privileged = \"yes\"", "line 1"),
            ("[cluster]\nnamespace = \"shop\"", "namespaces"),
            ("\nprivilegde = \"allow\"", "privilegde"),
        ] {
            let error = write(text, 0o600).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        fs::remove_file(&path).unwrap();
        assert!(matches!(load(&path), Err(PolicyError::Unreadable { .. })));
    }
}
