//! The rules about objects of a cluster.
//!
//! Pods are found wherever they are described: whatever has a list of `containers` counts as one, also in a kind that is
//! not known here. What an operator makes of its own objects is that operator's, and cannot be judged.

use serde_json::Value;

use super::place::is_below;
use super::{HostPolicy, Permission, Rule, Violation};
use crate::cluster::ClusterPolicy;

/// How deep an object is looked into.
const MAX_DEPTH: usize = 64;
/// The lists of a pod that hold containers.
const CONTAINERS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

impl HostPolicy {
    /// Judges an object, as a manifest has it or as a cluster would store it. Nothing of it may be applied unless this is
    /// empty.
    pub fn check_object(&self, cluster: &ClusterPolicy, object: &Value) -> Vec<Violation> {
        let mut judge = PodJudge {
            policy: self,
            cluster,
            violations: Vec::new(),
        };
        judge.search("", object, 0);
        if object.get("kind").and_then(Value::as_str) == Some("PersistentVolume")
            && let Some(spec) = object.get("spec")
        {
            judge.host_path("spec", spec);
            judge.host_folder("spec.local", spec.pointer("/local/path"));
        }
        judge.violations
    }
}

impl ClusterPolicy {
    /// Judges where an object lies.
    pub fn check_namespace(&self, own: &str, namespace: &str) -> Option<Violation> {
        let message = format!(
            "the namespace {namespace} is not among those that jobs may work in; take another, or let the cluster's owner write \
             `namespaces = [\"{namespace}\"]` into `[cluster]` of the agent's policy"
        );
        (!self.allows_namespace(own, namespace)).then(|| Violation {
            path: "metadata.namespace".to_owned(),
            rule: Rule::Namespaces,
            message,
        })
    }

    /// Judges an object that belongs to the whole cluster.
    pub fn check_cluster_scoped(&self, kind: &str, name: &str, own: &str) -> Option<Violation> {
        let is_namespace = kind == "Namespace";
        if self.allows_cluster_scoped(kind)
            || (is_namespace
                && self.create_namespaces == Permission::Allow
                && self.allows_namespace(own, name))
        {
            return None;
        }
        let grant = if is_namespace {
            format!("create_namespaces = \"allow\"` and `namespaces = [\"{name}\"]")
        } else {
            format!("cluster_scoped = [\"{kind}\"]")
        };
        Some(Violation {
            path: "kind".to_owned(),
            rule: Rule::ClusterScoped,
            message: format!(
                "a {kind} belongs to the whole cluster, and jobs may have none here; remove it, or let the cluster's owner \
                 write `{grant}` into `[cluster]` of the agent's policy"
            ),
        })
    }
}

struct PodJudge<'a> {
    policy: &'a HostPolicy,
    cluster: &'a ClusterPolicy,
    violations: Vec<Violation>,
}

impl PodJudge<'_> {
    fn search(&mut self, path: &str, value: &Value, depth: usize) {
        if depth > MAX_DEPTH {
            return self.say(
                path,
                Rule::Structure,
                "it nests too deeply to be judged".to_owned(),
            );
        }
        match value {
            Value::Object(fields) => {
                if fields.get("containers").is_some_and(Value::is_array) {
                    self.pod(path, value);
                }
                for (key, value) in fields {
                    self.search(&joined(path, key), value, depth + 1);
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.search(&format!("{path}[{index}]"), item, depth + 1);
                }
            }
            _ => {}
        }
    }

    fn pod(&mut self, path: &str, spec: &Value) {
        self.namespaces(path, spec);
        self.service_account(path, spec);
        for (index, volume) in items(spec, "volumes") {
            self.host_path(&format!("{path}.volumes[{index}]"), volume);
            if let Some(image) = volume.pointer("/image/reference").and_then(Value::as_str) {
                self.image(&format!("{path}.volumes[{index}].image"), image);
            }
        }
        self.confinement(path, spec.get("securityContext"));
        for list in CONTAINERS {
            for (index, container) in items(spec, list) {
                self.container(&format!("{path}.{list}[{index}]"), container);
            }
        }
    }

    fn namespaces(&mut self, path: &str, spec: &Value) {
        if self.policy.host_namespaces == Permission::Allow {
            return;
        }
        let grant = "host_namespaces = \"allow\"";
        for key in ["hostNetwork", "hostPID", "hostIPC"] {
            if is_true(spec.get(key)) {
                let what = format!("`{key}` gives it a namespace of its node");
                self.forbid(&format!("{path}.{key}"), Rule::HostNamespaces, &what, grant);
            }
        }
    }

    fn service_account(&mut self, path: &str, spec: &Value) {
        for key in ["serviceAccountName", "serviceAccount"] {
            let Some(name) = spec.get(key).and_then(Value::as_str) else {
                continue;
            };
            if !self.cluster.allows_service_account(name) {
                let message = format!(
                    "its pods use the service account {name}, which is not among those that they may use; take `default`, or let the \
                     cluster's owner write `service_accounts = [\"{name}\"]` into `[cluster]` of the agent's policy"
                );
                return self.say(&format!("{path}.{key}"), Rule::ServiceAccounts, message);
            }
        }
    }

    /// A volume that is a folder of the node.
    fn host_path(&mut self, path: &str, volume: &Value) {
        self.host_folder(
            &format!("{path}.hostPath"),
            volume.pointer("/hostPath/path"),
        );
    }

    fn host_folder(&mut self, path: &str, folder: Option<&Value>) {
        let Some(folder) = folder.and_then(Value::as_str) else {
            return;
        };
        let climbs = folder.split('/').any(|part| part == "..");
        let allowed = |listed: &String| is_below(folder, listed);
        if climbs || !self.policy.bind_mounts.iter().any(allowed) {
            let what = format!("it mounts {folder} of its node");
            let grant = format!("bind_mounts = [\"{folder}\"]");
            self.forbid(path, Rule::BindMounts, &what, &grant);
        }
    }

    fn container(&mut self, path: &str, container: &Value) {
        let context = container.get("securityContext");
        let context_path = format!("{path}.securityContext");
        self.privileged(&context_path, context);
        self.capabilities(&context_path, context);
        self.confinement(path, context);
        if let Some(image) = container.get("image").and_then(Value::as_str) {
            self.image(&format!("{path}.image"), image);
        }
        if self.policy.host_namespaces == Permission::Deny {
            for (index, port) in items(container, "ports") {
                if port
                    .get("hostPort")
                    .and_then(Value::as_u64)
                    .is_some_and(|port| port > 0)
                {
                    let path = format!("{path}.ports[{index}].hostPort");
                    let what = "it takes a port of its node (`hostPort`)";
                    self.forbid(
                        &path,
                        Rule::HostNamespaces,
                        what,
                        "host_namespaces = \"allow\"",
                    );
                }
            }
        }
    }

    fn privileged(&mut self, path: &str, context: Option<&Value>) {
        if self.policy.privileged == Permission::Allow {
            return;
        }
        let Some(context) = context else { return };
        let host_process = context.pointer("/windowsOptions/hostProcess");
        for (key, value) in [
            ("privileged", context.get("privileged")),
            ("windowsOptions.hostProcess", host_process),
        ] {
            if is_true(value) {
                let what = format!("a container is privileged (`{key}`)");
                self.forbid(
                    &format!("{path}.{key}"),
                    Rule::Privileged,
                    &what,
                    "privileged = \"allow\"",
                );
            }
        }
    }

    fn capabilities(&mut self, path: &str, context: Option<&Value>) {
        let added = context.and_then(|context| context.pointer("/capabilities/add"));
        for name in added.into_iter().filter_map(Value::as_array).flatten() {
            let Some(name) = name.as_str() else { continue };
            if !self.policy.allows_capability(name) {
                let bare = name.trim_start_matches("CAP_");
                let what = format!("a container adds the capability {name}");
                let grant = format!("capabilities = [\"{bare}\"]");
                let path = format!("{path}.capabilities.add");
                self.forbid(&path, Rule::Capabilities, &what, &grant);
            }
        }
    }

    fn confinement(&mut self, path: &str, context: Option<&Value>) {
        if self.policy.unconfined == Permission::Allow {
            return;
        }
        let Some(context) = context else { return };
        let is = |pointer: &str, word: &str| {
            context.pointer(pointer).and_then(Value::as_str) == Some(word)
        };
        let has = |key: &str| {
            context.get(key).is_some_and(|value| {
                !value.is_null() && value.as_object().is_none_or(|fields| !fields.is_empty())
            })
        };
        let loosened = [
            ("seccompProfile", is("/seccompProfile/type", "Unconfined")),
            ("appArmorProfile", is("/appArmorProfile/type", "Unconfined")),
            ("procMount", is("/procMount", "Unmasked")),
            ("seLinuxOptions", has("seLinuxOptions")),
        ];
        for (key, loosens) in loosened {
            if loosens {
                let what = format!("it loosens its confinement (`{key}`)");
                let path = format!("{path}.securityContext.{key}");
                self.forbid(&path, Rule::Unconfined, &what, "unconfined = \"allow\"");
            }
        }
    }

    fn image(&mut self, path: &str, image: &str) {
        if !self.policy.allows_image(image) {
            let message = format!(
                "the image `{image}` comes from a registry that is not allowed here (allowed: {}); take it from one of those, or let \
                 the cluster's owner add its registry to `registries` in the agent's policy",
                self.policy.registries.join(", ")
            );
            self.say(path, Rule::Registries, message);
        }
    }

    fn forbid(&mut self, path: &str, rule: Rule, what: &str, grant: &str) {
        let message = format!(
            "{what}, which is forbidden here; remove it, or let the cluster's owner write `{grant}` into the agent's policy"
        );
        self.say(path, rule, message);
    }

    fn say(&mut self, path: &str, rule: Rule, message: String) {
        self.violations.push(Violation {
            path: path.to_owned(),
            rule,
            message,
        });
    }
}

fn joined(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

fn items<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = (usize, &'a Value)> {
    let list = value.get(key).and_then(Value::as_array);
    list.into_iter().flatten().enumerate()
}

fn is_true(value: Option<&Value>) -> bool {
    value.and_then(Value::as_bool) == Some(true)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn rules(policy: &HostPolicy, pod: &Value) -> Vec<(String, Rule)> {
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
            "spec": {"template": {"spec": pod}}
        });
        policy
            .check_object(&ClusterPolicy::default(), &deployment)
            .into_iter()
            .map(|violation| (violation.path, violation.rule))
            .collect()
    }

    fn with(key: &str, value: Value) -> Value {
        let mut pod = json!({"containers": [{"name": "app", "image": "nginx"}]});
        pod[key] = value;
        pod
    }

    fn container(key: &str, value: Value) -> Value {
        let mut pod = json!({"containers": [{"name": "app", "image": "nginx"}]});
        pod["containers"][0][key] = value;
        pod
    }

    #[test]
    fn what_amounts_to_root_on_the_node_is_forbidden_unless_it_is_allowed() {
        let allow = Permission::Allow;
        let open = HostPolicy {
            privileged: allow,
            host_namespaces: allow,
            bind_mounts: vec!["/".into()],
            capabilities: vec!["ALL".into()],
            devices: allow,
            unconfined: allow,
            registries: Vec::new(),
            build: allow,
        };
        let table = [
            (with("hostNetwork", json!(true)), Rule::HostNamespaces),
            (with("hostPID", json!(true)), Rule::HostNamespaces),
            (with("hostIPC", json!(true)), Rule::HostNamespaces),
            (
                with(
                    "volumes",
                    json!([{"name": "x", "hostPath": {"path": "/etc"}}]),
                ),
                Rule::BindMounts,
            ),
            (
                with(
                    "securityContext",
                    json!({"seccompProfile": {"type": "Unconfined"}}),
                ),
                Rule::Unconfined,
            ),
            (
                container("securityContext", json!({"privileged": true})),
                Rule::Privileged,
            ),
            (
                container(
                    "securityContext",
                    json!({"windowsOptions": {"hostProcess": true}}),
                ),
                Rule::Privileged,
            ),
            (
                container(
                    "securityContext",
                    json!({"capabilities": {"add": ["CAP_SYS_ADMIN"]}}),
                ),
                Rule::Capabilities,
            ),
            (
                container(
                    "securityContext",
                    json!({"appArmorProfile": {"type": "Unconfined"}}),
                ),
                Rule::Unconfined,
            ),
            (
                container(
                    "securityContext",
                    json!({"seLinuxOptions": {"type": "spc_t"}}),
                ),
                Rule::Unconfined,
            ),
            (
                container("securityContext", json!({"procMount": "Unmasked"})),
                Rule::Unconfined,
            ),
            (
                container("ports", json!([{"containerPort": 80, "hostPort": 80}])),
                Rule::HostNamespaces,
            ),
        ];
        for (pod, rule) in table {
            let found = rules(&HostPolicy::default(), &pod);
            assert_eq!(
                found.iter().map(|(_, rule)| *rule).collect::<Vec<_>>(),
                [rule],
                "{pod}"
            );
            assert!(
                found[0].0.starts_with("spec.template.spec."),
                "{}",
                found[0].0
            );
            assert_eq!(rules(&open, &pod), []);
        }
    }

    #[test]
    fn what_confines_is_no_violation() {
        let pod = json!({
            "hostNetwork": false, "serviceAccountName": "default",
            "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}, "seLinuxOptions": {}},
            "volumes": [{"name": "tmp", "emptyDir": {}}],
            "containers": [{"name": "app", "image": "nginx", "ports": [{"containerPort": 80}],
                "securityContext": {"privileged": false, "capabilities": {"drop": ["ALL"]}, "procMount": "Default"}}]
        });
        assert_eq!(rules(&HostPolicy::default(), &pod), []);
    }

    #[test]
    fn pods_are_found_in_any_kind_and_in_any_list_of_containers() {
        let strict = HostPolicy {
            registries: vec!["ghcr.io/acme".into()],
            ..HostPolicy::default()
        };
        let images = json!({
            "containers": [{"image": "ghcr.io/acme/shop:1"}], "initContainers": [{"image": "evil.example/x"}],
            "ephemeralContainers": [{"image": "nginx"}],
        });
        assert_eq!(rules(&strict, &images).len(), 2);
        let custom = json!({
            "apiVersion": "example.com/v1", "kind": "Fleet", "metadata": {"name": "x"},
            "spec": {"groups": [{"pod": {"containers": [{"securityContext": {"privileged": true}}]}}]}
        });
        let found = HostPolicy::default().check_object(&ClusterPolicy::default(), &custom);
        assert_eq!(
            found[0].path,
            "spec.groups[0].pod.containers[0].securityContext.privileged"
        );
    }

    #[test]
    fn paths_of_nodes_do_not_climb_out_of_what_is_allowed() {
        let policy = HostPolicy {
            bind_mounts: vec!["/srv".into()],
            ..HostPolicy::default()
        };
        let volume = |path: &str| {
            with(
                "volumes",
                json!([{"name": "x", "hostPath": {"path": path}}]),
            )
        };
        assert_eq!(rules(&policy, &volume("/srv/data")), []);
        for path in ["/srv/../etc", "/srvx", "/", ""] {
            assert_eq!(rules(&policy, &volume(path)).len(), 1, "{path}");
        }
        let pv = json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "x"}, "spec": {"local": {"path": "/etc"}}});
        assert_eq!(policy.check_object(&ClusterPolicy::default(), &pv).len(), 1);
    }

    #[test]
    fn service_accounts_namespaces_and_kinds_of_the_cluster_are_listed() {
        let listed = ClusterPolicy {
            namespaces: vec!["shop".into()],
            create_namespaces: Permission::Allow,
            cluster_scoped: vec!["CustomResourceDefinition".into()],
            service_accounts: vec!["web".into()],
        };
        let pod = json!({"spec": {"serviceAccountName": "web", "containers": []}});
        let policy = HostPolicy::default();
        assert_eq!(policy.check_object(&listed, &pod), []);
        let strict = ClusterPolicy::default();
        assert_eq!(
            policy.check_object(&strict, &pod)[0].rule,
            Rule::ServiceAccounts
        );
        assert!(listed.check_namespace("own", "shop").is_none());
        assert!(strict.check_namespace("own", "shop").is_some());
        assert!(
            listed
                .check_cluster_scoped("Namespace", "shop", "own")
                .is_none()
        );
        assert!(
            listed
                .check_cluster_scoped("Namespace", "kube-system", "own")
                .is_some()
        );
        assert!(
            strict
                .check_cluster_scoped("Namespace", "own", "own")
                .is_some()
        );
        assert!(
            listed
                .check_cluster_scoped("CustomResourceDefinition", "x", "own")
                .is_none()
        );
        assert!(
            listed
                .check_cluster_scoped("ClusterRole", "x", "own")
                .is_some()
        );
    }
}
