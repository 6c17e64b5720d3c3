//! What each cluster begins with.

use serde_json::{Value, json};

use crate::{
    api::{
        patches::Change,
        prepare::{Trust, now},
        write,
    },
    state::State,
};

/// The names of the roles that each cluster has; `access` knows what they allow.
const ROLES: [&str; 4] = ["cluster-admin", "admin", "edit", "view"];

/// Namespaces, a node, a class of storage, roles, and the API's own service.
pub(crate) fn fill(state: &mut State) {
    for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        create(state, "namespaces", namespace);
    }
    create(state, "nodes", node());
    let class = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "provisioner": "towline.test/local",
        "metadata": {"name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
    });
    create(state, "storageclasses.storage.k8s.io", class);
    for name in ROLES {
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name},
            "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}],
        });
        create(state, "clusterroles.rbac.authorization.k8s.io", role);
    }
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": {"component": "apiserver", "provider": "kubernetes"}},
        "spec": {"clusterIP": "10.96.0.1", "ports": [{"name": "https", "port": 443, "targetPort": 6443}]},
    });
    create(state, "services", service);
}

fn create(state: &mut State, resource: &str, object: Value) {
    if let Some(kind) = state.kinds.of_resource(resource) {
        let change = Change::Create(object);
        let _ = write::by_controller(state, &kind, "", "kube-apiserver", change, Trust::Server);
    }
}

fn node() -> Value {
    let (name, time) = (crate::NODE, now());
    let condition = |kind: &str, status: &str, reason: &str, message: &str| json!({"type": kind, "status": status, "reason": reason, "message": message, "lastHeartbeatTime": time, "lastTransitionTime": time});
    let resources =
        json!({"cpu": "4", "memory": "8Gi", "pods": "10000", "ephemeral-storage": "100Gi"});
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {
            "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
            "node-role.kubernetes.io/control-plane": "",
        }},
        "spec": {"podCIDR": "10.244.0.0/24", "podCIDRs": ["10.244.0.0/24"]},
        "status": {
            "capacity": resources, "allocatable": resources,
            "addresses": [{"type": "InternalIP", "address": "192.0.2.10"}, {"type": "Hostname", "address": name}],
            "conditions": [
                condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
                condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
                condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
                condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
            ],
            "nodeInfo": {
                "architecture": "amd64", "operatingSystem": "linux", "kubeletVersion": "v1.33.1", "kubeProxyVersion": "v1.33.1",
                "containerRuntimeVersion": "containerd://2.0.5", "osImage": "Debian GNU/Linux 12 (bookworm)", "kernelVersion": "6.1.0",
                "machineID": "", "systemUUID": "", "bootID": "",
            },
        },
    })
}
