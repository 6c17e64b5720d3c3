//! The kinds of objects that are served: the built-in ones, and those that definitions of custom resources bring.

pub(crate) mod custom;
pub(crate) mod decode;
pub(crate) mod defaults;
pub(crate) mod shape;
pub(crate) mod validation;
pub(crate) mod wire;

use std::sync::Arc;

use serde_json::Value;

use crate::refusal::Refusal;
use shape::Shape;

/// A kind in one version of its group.
#[allow(
    clippy::struct_field_names,
    reason = "`kind` is what the API calls a kind's name"
)]
#[derive(Clone, Debug)]
pub(crate) struct Kind {
    /// Empty for the first one.
    pub group: String,
    pub version: String,
    pub kind: String,
    pub plural: String,
    pub singular: String,
    pub short: Vec<String>,
    pub categories: Vec<String>,
    pub scope: Scope,
    pub subresources: Vec<String>,
    pub shape: Shape,
    pub origin: Origin,
}

/// Where objects of a kind live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Cluster,
    Namespaced,
}

/// What brings a kind.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Origin {
    BuiltIn,
    /// A definition, with the schema of this version.
    Custom(Value),
    /// The metrics server, which stores nothing.
    Metrics,
}

/// Group, version, kind, plural, short names, scope, subresources, categories; `-` for none. In the order of discovery.
const BUILT_IN: &str = "\
- v1 ConfigMap configmaps cm n - -
- v1 Endpoints endpoints ep n - -
- v1 Event events ev n - -
- v1 LimitRange limitranges limits n - -
- v1 Namespace namespaces ns c status,finalize -
- v1 Node nodes no c status -
- v1 PersistentVolumeClaim persistentvolumeclaims pvc n status -
- v1 PersistentVolume persistentvolumes pv c status -
- v1 Pod pods po n log,status,eviction all
- v1 ResourceQuota resourcequotas quota n status -
- v1 Secret secrets - n - -
- v1 ServiceAccount serviceaccounts sa n token -
- v1 Service services svc n status all
admissionregistration.k8s.io v1 ValidatingWebhookConfiguration validatingwebhookconfigurations - c - api-extensions
apiextensions.k8s.io v1 CustomResourceDefinition customresourcedefinitions crd,crds c status api-extensions
apps v1 DaemonSet daemonsets ds n status all
apps v1 Deployment deployments deploy n scale,status all
apps v1 ReplicaSet replicasets rs n scale,status all
apps v1 StatefulSet statefulsets sts n scale,status all
autoscaling v2 HorizontalPodAutoscaler horizontalpodautoscalers hpa n status all
batch v1 CronJob cronjobs cj n status all
batch v1 Job jobs - n status all
coordination.k8s.io v1 Lease leases - n - -
networking.k8s.io v1 IngressClass ingressclasses - c - -
networking.k8s.io v1 Ingress ingresses ing n status -
networking.k8s.io v1 NetworkPolicy networkpolicies netpol n - -
policy v1 PodDisruptionBudget poddisruptionbudgets pdb n status -
rbac.authorization.k8s.io v1 ClusterRoleBinding clusterrolebindings - c - -
rbac.authorization.k8s.io v1 ClusterRole clusterroles - c - -
rbac.authorization.k8s.io v1 RoleBinding rolebindings - n - -
rbac.authorization.k8s.io v1 Role roles - n - -
authorization.k8s.io v1 SelfSubjectAccessReview selfsubjectaccessreviews - c - -
authorization.k8s.io v1 SubjectAccessReview subjectaccessreviews - c - -
storage.k8s.io v1 StorageClass storageclasses sc c - -";

const METRICS: &str = "\
metrics.k8s.io v1beta1 NodeMetrics nodes - c - -
metrics.k8s.io v1beta1 PodMetrics pods - n - -";

impl Kind {
    fn read(line: &'static str, origin: Origin) -> Option<Self> {
        let words: Vec<&'static str> = line.split(' ').collect();
        let [
            group,
            version,
            kind,
            plural,
            short,
            scope,
            subresources,
            categories,
        ] = words.as_slice()
        else {
            return None;
        };
        let names = |list: &str| -> Vec<String> {
            let names = list.split(',').filter(|name| *name != "-");
            names.map(str::to_owned).collect()
        };
        let shape = match origin {
            Origin::BuiltIn => Shape::built_in(kind),
            _ => Shape::Free,
        };
        Some(Self {
            group: group.trim_matches('-').to_owned(),
            version: (*version).to_owned(),
            kind: (*kind).to_owned(),
            plural: (*plural).to_owned(),
            singular: match origin {
                Origin::Metrics => String::new(),
                _ => kind.to_lowercase(),
            },
            short: names(short),
            categories: names(categories),
            scope: match *scope {
                "n" => Scope::Namespaced,
                _ => Scope::Cluster,
            },
            subresources: names(subresources),
            shape,
            origin,
        })
    }

    /// `apps/v1`.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// `deployments.apps`, by which it is stored and named in messages.
    pub(crate) fn resource(&self) -> String {
        if self.group.is_empty() {
            self.plural.clone()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    /// `Deployment.apps`.
    pub(crate) fn qualified_kind(&self) -> String {
        if self.group.is_empty() {
            self.kind.clone()
        } else {
            format!("{}.{}", self.kind, self.group)
        }
    }

    pub(crate) fn is_namespaced(&self) -> bool {
        self.scope == Scope::Namespaced
    }

    pub(crate) fn has(&self, subresource: &str) -> bool {
        self.subresources.iter().any(|name| name == subresource)
    }

    pub(crate) fn is_custom(&self) -> bool {
        matches!(self.origin, Origin::Custom(_))
    }
}

/// All that are served now.
#[derive(Clone, Debug)]
pub(crate) struct Kinds(Vec<Arc<Kind>>);

impl Kinds {
    pub(crate) fn built_in() -> Self {
        let lines = BUILT_IN.lines();
        Self(
            lines
                .filter_map(|line| Kind::read(line, Origin::BuiltIn))
                .map(Arc::new)
                .collect(),
        )
    }

    pub(crate) fn all(&self) -> &[Arc<Kind>] {
        &self.0
    }

    /// The one at a path of the API.
    pub(crate) fn served(
        &self,
        group: &str,
        version: &str,
        plural: &str,
    ) -> Result<Arc<Kind>, Refusal> {
        let found = self
            .0
            .iter()
            .find(|kind| kind.group == group && kind.version == version && kind.plural == plural);
        found.cloned().ok_or_else(Refusal::no_such_resource)
    }

    /// The one of a stored resource, `deployments.apps`.
    pub(crate) fn of_resource(&self, resource: &str) -> Option<Arc<Kind>> {
        self.0
            .iter()
            .find(|kind| kind.resource() == resource && kind.origin != Origin::Metrics)
            .cloned()
    }

    /// The one that an object says it is.
    pub(crate) fn of_kind(&self, api_version: &str, name: &str) -> Option<Arc<Kind>> {
        self.0
            .iter()
            .find(|kind| kind.kind == name && kind.api_version() == api_version)
            .cloned()
    }

    /// Serves the metrics server's kinds from now on.
    pub(crate) fn add_metrics(&mut self) {
        if self.0.iter().all(|kind| kind.origin != Origin::Metrics) {
            let lines = METRICS.lines();
            self.0.extend(
                lines
                    .filter_map(|line| Kind::read(line, Origin::Metrics))
                    .map(Arc::new),
            );
        }
    }

    /// Serves exactly these custom resources of a definition (`plural.group`).
    pub(crate) fn replace_custom(&mut self, resource: &str, kinds: Vec<Kind>) {
        self.0
            .retain(|kind| !(kind.is_custom() && kind.resource() == resource));
        self.0.extend(kinds.into_iter().map(Arc::new));
    }
}
