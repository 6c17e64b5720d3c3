//! Clusters: what an agent tells of one, what its owner allows there, and what a project asks of it.

use serde::{Deserialize, Serialize};

use crate::ids::ProjectId;
use crate::policy::Permission;

/// The name by which our objects, labels and annotations are known in a cluster.
pub const DOMAIN: &str = "towline.io";

/// A cluster that answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterFacts {
    /// Its version (`v1.33.2`).
    pub version: String,
    /// The namespace of objects that name none, unless the project says another.
    pub namespace: String,
    /// What its owner allows there beside the host policy.
    pub policy: ClusterPolicy,
}

/// What jobs may do in a cluster. The default is one namespace, and nothing that belongs to the whole cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterPolicy {
    /// Namespaces that jobs may work in beside the agent's own choice; `*` for all.
    pub namespaces: Vec<String>,
    /// Making a namespace of `namespaces` that is not there.
    pub create_namespaces: Permission,
    /// Kinds of the whole cluster that jobs may make, change and prune (`CustomResourceDefinition`); `*` for all.
    pub cluster_scoped: Vec<String>,
    /// Service accounts that pods may use beside `default`; `*` for all.
    pub service_accounts: Vec<String>,
}

impl ClusterPolicy {
    /// Whether jobs may work in a namespace, when the agent's own choice is `own`.
    pub fn allows_namespace(&self, own: &str, namespace: &str) -> bool {
        namespace == own || is_listed(&self.namespaces, namespace)
    }

    /// Whether jobs may have objects of this kind, which belongs to the whole cluster.
    pub fn allows_cluster_scoped(&self, kind: &str) -> bool {
        is_listed(&self.cluster_scoped, kind)
    }

    /// Whether pods may use a service account.
    pub fn allows_service_account(&self, name: &str) -> bool {
        matches!(name, "" | "default") || is_listed(&self.service_accounts, name)
    }
}

fn is_listed(list: &[String], name: &str) -> bool {
    list.iter().any(|entry| entry == "*" || entry == name)
}

/// What a project asks of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterTerms {
    /// Where objects go that name no namespace; the agent's choice, when nothing is said.
    pub namespace: Option<String>,
    /// The environment, whose overlay (`overlays/NAME`) lies over the manifests, if there is one.
    pub environment: Option<String>,
    /// What happens to fields that belong to another manager.
    pub conflicts: Conflicts,
    /// What happens to an object whose change the cluster does not take.
    pub immutable: Immutable,
}

/// What happens to fields of a release that belong to another manager. Variants are only ever appended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conflicts {
    /// They stay its, and the deployment fails before it changes anything.
    #[default]
    Refuse,
    /// They are taken from it.
    Force,
}

/// What happens to an object of a release that has other values in fields that never change. Variants are only ever
/// appended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Immutable {
    /// It stays, and the deployment fails before it changes anything.
    #[default]
    Refuse,
    /// It is deleted, with all that belongs to it, and made anew.
    Replace,
}

/// Something that happened to an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterEvent {
    /// When it happened last, Unix milliseconds.
    pub at_ms: i64,
    /// The object (`Pod/web-5d4f-x2x`).
    pub object: String,
    /// Its namespace.
    pub namespace: String,
    /// Whether somebody should look.
    pub weight: EventWeight,
    /// The cluster's word for it (`FailedScheduling`).
    pub reason: String,
    /// Its sentence.
    pub message: String,
    /// How often it happened.
    pub count: u32,
}

/// How much an event weighs. Variants are only ever appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventWeight {
    /// Things go as they do.
    Normal,
    /// Something is wrong.
    Warning,
}

/// How what a project has in a cluster differs from what was applied there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterDrift {
    /// The release that was applied last; empty where none came up.
    pub release: String,
    /// How many objects were compared.
    pub compared: u32,
    /// Those that differ; at most [`MAX_DRIFTED`].
    pub drifted: Vec<DriftedObject>,
}

/// The most objects that are told as drifted.
pub const MAX_DRIFTED: usize = 500;
/// The most fields, and the most managers, that are told of one.
pub const MAX_DRIFTED_FIELDS: usize = 20;

/// An object that is not as it was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriftedObject {
    /// The object (`Deployment/web`).
    pub object: String,
    /// Its namespace; empty for one of the whole cluster.
    pub namespace: String,
    /// What became of it.
    pub drift: Drift,
    /// The fields that differ (`spec.replicas`); no values, which may be secret.
    pub fields: Vec<String>,
    /// Who has changed anything of it beside us.
    pub managers: Vec<String>,
}

/// What became of an object since it was applied. Variants are only ever appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Drift {
    /// Somebody has changed it.
    Changed,
    /// Somebody has deleted it.
    Gone,
}

/// Something to be done at once to what a project has in a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterAct {
    /// The project: nothing of another's is touched.
    pub project: ProjectId,
    /// The namespace; that of the project, when nothing is said.
    pub namespace: Option<String>,
    /// What.
    pub action: ClusterAction,
}

/// What can be done at once. Variants are only ever appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClusterAction {
    /// Give a workload new pods, in the way of its own updates.
    Restart(Workload),
    /// Give a workload another number of pods, until it is deployed again.
    Scale(Workload, u32),
    /// Delete a pod by its name; what it belongs to makes another.
    DeletePod(String),
}

/// What makes pods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// Its kind.
    pub kind: WorkloadKind,
    /// Its name.
    pub name: String,
}

/// The kinds that make pods and keep them. Variants are only ever appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkloadKind {
    /// A Deployment.
    Deployment,
    /// A StatefulSet.
    StatefulSet,
    /// A DaemonSet.
    DaemonSet,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_listed_is_not_allowed() {
        let strict = ClusterPolicy::default();
        assert!(
            strict.allows_namespace("shop", "shop")
                && !strict.allows_namespace("shop", "kube-system")
        );
        assert!(strict.allows_service_account("default") && strict.allows_service_account(""));
        assert!(!strict.allows_service_account("admin"));
        assert!(!strict.allows_cluster_scoped("ClusterRole"));
        let listed = ClusterPolicy {
            namespaces: vec!["*".into()],
            cluster_scoped: vec!["CustomResourceDefinition".into()],
            service_accounts: vec!["web".into()],
            ..ClusterPolicy::default()
        };
        assert!(listed.allows_namespace("shop", "kube-system"));
        assert!(listed.allows_cluster_scoped("CustomResourceDefinition"));
        assert!(!listed.allows_cluster_scoped("ClusterRole"));
        assert!(listed.allows_service_account("web") && !listed.allows_service_account("we"));
    }
}
