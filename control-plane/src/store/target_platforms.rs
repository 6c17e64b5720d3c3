//! Targets follow what their agents work on, as long as nothing that was deployed is left behind by that.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use towline_shared::cluster::ClusterFacts;
use towline_shared::ids::AgentId;
use towline_shared::policy::Permission;
use towline_shared::protocol::v1::{Capabilities, Engine};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Result;
use super::audit::{self, Actor, Entry};
use super::db::{Tx, all};
use crate::domain::platform::Platform;

/// The cluster of a target, and what its owner allows there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct TargetCluster {
    /// In which namespace objects are that name none, unless their project says another.
    pub namespace: String,
    /// Other namespaces that jobs may work in; `*` for all.
    pub namespaces: Vec<String>,
    /// Whether jobs may make namespaces of these that are not there: `allow` or `deny`.
    #[schema(value_type = String)]
    pub create_namespaces: Permission,
    /// Kinds of the whole cluster that jobs may make, change and prune; `*` for all.
    pub cluster_scoped: Vec<String>,
    /// Service accounts that pods may use beside `default`; `*` for all.
    pub service_accounts: Vec<String>,
}

impl TargetCluster {
    /// What an agent tells of its cluster, if it has one.
    pub(super) fn of(capabilities: &Capabilities) -> Option<Self> {
        let Engine::Kubernetes(ClusterFacts {
            namespace, policy, ..
        }) = &capabilities.engine
        else {
            return None;
        };
        let policy = policy.clone();
        Some(Self {
            namespace: namespace.clone(),
            namespaces: policy.namespaces,
            create_namespaces: policy.create_namespaces,
            cluster_scoped: policy.cluster_scoped,
            service_accounts: policy.service_accounts,
        })
    }
}

/// Has an agent's targets follow what it works on. Where something was deployed, or is about to be, the type stays: what runs
/// there could be reached under this name no more, and would be forgotten.
pub(super) async fn follow(
    tx: &mut Tx,
    agent: AgentId,
    capabilities: &Capabilities,
    now: DateTime<Utc>,
) -> Result<()> {
    let Some(platform) = Platform::of_engine(&capabilities.engine) else {
        return Ok(());
    };
    let followed = all!(
        tx.conn(),
        (Uuid,),
        "UPDATE deployment_targets SET type = $2, updated_at = $3
         WHERE agent_id = $1 AND type IN ('docker_agent', 'kubernetes_agent') AND type <> $2
            AND NOT EXISTS (SELECT 1 FROM deployments d WHERE d.target_id = deployment_targets.id
                AND d.kind IN ('deploy', 'remove')
                AND (d.status IN ('queued', 'offered', 'accepted', 'running', 'unknown')
                    OR (d.kind = 'deploy' AND d.started_at IS NOT NULL
                        AND NOT EXISTS (SELECT 1 FROM deployments n WHERE n.project_id = d.project_id
                            AND n.target_id = d.target_id AND n.kind = 'remove' AND n.status = 'succeeded'
                            AND n.id > d.id))))
         RETURNING id",
        agent.uuid(),
        platform.target_type(),
        now
    )?;
    for (target,) in followed {
        let entry = Entry {
            chain: target,
            team: None,
            actor: Actor::Agent(agent),
            action: "target.change_type",
            subject: ("target", Some(target)),
            detail: json!({ "type": platform.target_type() }),
        };
        audit::append(tx, &entry, now).await?;
    }
    Ok(())
}
