//! What this cluster is and can do.

use towline_shared::cluster::ClusterFacts;
use towline_shared::protocol::v1::{Capabilities, Engine, Plugin};

use super::cluster::Cluster;

/// Looks at the cluster.
pub(super) async fn capabilities(cluster: &Cluster) -> Capabilities {
    let config = &cluster.config;
    let version = match cluster.api().await {
        Ok(api) => api.version().await,
        Err(error) => Err(error),
    };
    let engine = match version {
        Ok(version) => Engine::Kubernetes(ClusterFacts {
            version,
            namespace: config.namespace.clone(),
            policy: config.cluster.clone(),
        }),
        Err(error) => Engine::Missing(error.to_string()),
    };
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Capabilities {
        hostname: hostname.trim().to_owned(),
        os: "Kubernetes".to_owned(),
        arch: String::new(),
        cores: 0,
        memory: 0,
        engine,
        compose: Plugin::Missing("a cluster takes manifests".to_owned()),
        policy: config.policy.clone(),
    }
}
