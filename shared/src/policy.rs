//! The host policy: what any control plane may do on a host, owned by the host's root.
//!
//! The rules are written once and judge two things: the text of a compose file, early and with its
//! lines ([`crate::compose::examine`]), and the model that `docker compose config` resolves from it,
//! which is what gets applied ([`HostPolicy::check`]). Only the second judgement permits anything.
//! Objects of a cluster are judged as their manifests have them ([`crate::manifest::examine`]), and again as the
//! cluster would store them ([`HostPolicy::check_object`]).

mod namespaces;
mod place;
mod pods;
mod registry;
mod rule;
mod rules;
mod storage;

use serde::{Deserialize, Serialize};

use crate::yaml::Tree;

pub(crate) use place::{Base, Place};
pub use rule::Rule;
pub(crate) use rules::{Judge, Verdict};

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

/// Something in a resolved project that a host's policy forbids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Where it stands in the model (`services.web.volumes[0]`).
    pub path: String,
    /// The rule that forbids it.
    pub rule: Rule,
    /// What is forbidden and what to do, for a person.
    pub message: String,
}

impl HostPolicy {
    /// Judges a resolved project: the JSON of `docker compose config --format json`, and the
    /// absolute folder of the project's files in it. Nothing may be applied unless this is empty.
    pub fn check(&self, resolved: &serde_json::Value, project_dir: &str) -> Vec<Violation> {
        let tree = Tree::of_json(resolved);
        let mut judge = Judge::new(self, Base::resolved(project_dir));
        for root in tree.roots() {
            judge.project(root);
        }
        let violation = |verdict: Verdict| Violation {
            path: verdict.path,
            rule: verdict.rule,
            message: verdict.message,
        };
        judge.verdicts.into_iter().map(violation).collect()
    }

    /// Whether containers may add a capability.
    pub(crate) fn allows_capability(&self, name: &str) -> bool {
        let bare = |name: &str| {
            name.to_ascii_uppercase()
                .trim_start_matches("CAP_")
                .to_owned()
        };
        self.capabilities
            .iter()
            .any(|entry| bare(entry) == "ALL" || bare(entry) == bare(name))
    }

    /// Whether an image may come from where its reference says.
    pub fn allows_image(&self, reference: &str) -> bool {
        registry::allowed(&self.registries, reference)
    }
}

#[cfg(test)]
mod tests;
