//! What is asked of container engines alone.

use towline_shared::ids::TargetId;

use super::problem::{Kind, Problem};
use super::state::Api;
use crate::domain::platform::Platform;
use crate::store::Tenant;

/// What only a container engine is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum OfEngines {
    /// Commands in containers.
    Exec,
    /// Docker's own API.
    DockerApi,
}

impl OfEngines {
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Exec => (
                "no commands are run in the containers of a cluster from here",
                "use `kubectl exec` with rights of your own",
            ),
            Self::DockerApi => (
                "a cluster has no Docker API",
                "use `kubectl` with rights of your own",
            ),
        }
    }
}

/// Refuses a target that is a cluster.
pub(super) async fn refuse_cluster(
    api: &Api,
    tenant: &Tenant,
    target: TargetId,
    asked: OfEngines,
) -> Result<(), Problem> {
    let target = api.store.target(tenant, target).await?;
    if Platform::of_type(&target.r#type) == Platform::Docker {
        return Ok(());
    }
    let (why, remedy) = asked.words();
    let detail = format!("{} is a Kubernetes cluster: {why}", target.name);
    Err(Problem::new(Kind::Conflict, detail).remedy(remedy))
}
