//! The cluster that a project runs on.

use towline_shared::ids::{AgentId, ProjectId};
use towline_shared::protocol::v1::Engine;

use super::OpsError;
use crate::store::targets::Servant;
use crate::store::{Project, Store, Target, Tenant};

/// A cluster, and the agent that is asked about it.
#[derive(Clone, Debug)]
pub struct ProjectCluster {
    /// The target.
    pub target: Target,
    /// Its agent.
    pub agent: AgentId,
    /// Where the project's objects go that name no namespace; the agent's own choice, when absent.
    pub namespace: Option<String>,
}

/// Finds the cluster that is meant: a target by its id or name, or the only cluster that the project came up in.
pub async fn find_cluster(
    store: &Store,
    tenant: &Tenant,
    project: ProjectId,
    target: Option<&str>,
) -> Result<ProjectCluster, OpsError> {
    let project = store.project(tenant, project).await?;
    let servant = match target {
        Some(target) => store.servant(tenant, target).await?,
        None => only_cluster(store, tenant, &project).await?,
    };
    let agent = agent_of(&servant)?;
    Ok(ProjectCluster {
        target: servant.target,
        agent,
        namespace: project.namespace,
    })
}

async fn only_cluster(
    store: &Store,
    tenant: &Tenant,
    project: &Project,
) -> Result<Servant, OpsError> {
    let mut clusters = Vec::new();
    for target in store.deployed_targets(tenant, project.id).await? {
        let servant = store.servant(tenant, &target.id.to_string()).await?;
        if agent_of(&servant).is_ok() {
            clusters.push(servant);
        }
    }
    if clusters.len() > 1 {
        let names: Vec<&str> = clusters
            .iter()
            .map(|servant| servant.target.name.as_str())
            .collect();
        let message = format!(
            "the project {} was deployed to the clusters {}",
            project.name,
            names.join(", ")
        );
        return Err(refused(message, "name the target"));
    }
    clusters.pop().ok_or_else(|| {
        let message = format!("the project {} has come up in no cluster yet", project.name);
        refused(message, "name the target, or deploy to one first")
    })
}

/// The agent of a cluster; why a target is none.
fn agent_of(servant: &Servant) -> Result<AgentId, OpsError> {
    let name = &servant.target.name;
    let engine = servant
        .capabilities
        .as_ref()
        .map(|capabilities| &capabilities.engine);
    let message = match (engine, servant.target.agent_id) {
        (Some(Engine::Kubernetes(_)), Some(agent)) => return Ok(agent),
        (Some(Engine::Docker { .. }), _) => {
            format!("{name} is a host with a container engine, and no cluster")
        }
        (Some(Engine::Missing(why)), _) => format!("the agent of {name} reaches no cluster: {why}"),
        (None, _) | (_, None) => format!("{name} has no agent that has ever connected"),
    };
    Err(refused(message, "name a target that is a cluster"))
}

fn refused(message: String, remedy: &str) -> OpsError {
    OpsError::Refused {
        message,
        remedy: remedy.to_owned(),
        field: Some("target"),
    }
}
