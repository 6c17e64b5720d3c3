//! Which host builds a deployment's images, and what is to be said of that.

use towline_shared::policy::Permission;

use super::OpsError;
use crate::domain::platform::Platform;
use crate::domain::target_labels::{BUILDER, meant};
use crate::store::targets::Servant;
use crate::store::{Readiness, Store, Tenant};

/// The host that is meant: by id or name, or the idlest one of a label that can build for the one that runs the project.
pub(super) async fn find(
    store: &Store,
    tenant: &Tenant,
    runs: &Servant,
    named: &str,
) -> Result<Servant, OpsError> {
    let Some(label) = meant(named) else {
        return Ok(store.servant(tenant, named).await?);
    };
    let mut why_not = Vec::new();
    for servant in store.labelled(tenant, label).await? {
        match unfit(&servant, runs) {
            None => return Ok(servant),
            Some(why) => why_not.push(format!("{} {why}", servant.target.name)),
        }
    }
    let message = if why_not.is_empty() {
        format!("no target has the label {label}")
    } else {
        format!(
            "no target with the label {label} can build now: {}",
            why_not.join(", ")
        )
    };
    Err(OpsError::Refused {
        message,
        remedy: format!(
            "name a host, or give one the label (`towline targets label TARGET {label}`)"
        ),
        field: Some("build_on"),
    })
}

/// Why a host is not chosen. One that is named is judged in full, like any that was chosen.
fn unfit(servant: &Servant, runs: &Servant) -> Option<String> {
    if servant.target.id == runs.target.id {
        return Some("is the target itself".to_owned());
    }
    if servant.platform() == Platform::Kubernetes {
        return Some("is a cluster".to_owned());
    }
    if servant.target.ready == Readiness::NotReady {
        return Some("is not ready".to_owned());
    }
    let (builds, runs) = (servant.capabilities.as_ref()?, runs.capabilities.as_ref());
    if builds.policy.build == Permission::Deny {
        return Some("allows no builds".to_owned());
    }
    let runs = runs.filter(|runs| !runs.arch.is_empty() && !builds.arch.is_empty());
    runs.filter(|runs| runs.arch != builds.arch)
        .map(|_| format!("builds for {}", builds.arch))
}

/// What people are warned of: builds take what they get of a host's processors, memory and disk.
pub(super) async fn warnings(
    store: &Store,
    tenant: &Tenant,
    runs: &Servant,
    builds: Option<&Servant>,
) -> Result<Vec<String>, OpsError> {
    let mut warnings = Vec::new();
    let is_builder = |servant: &Servant| servant.target.labels.iter().any(|label| label == BUILDER);
    if is_builder(runs) {
        warnings.push(format!(
            "warning: {} has the label {BUILDER}; what runs there shares its processors, memory and disk with builds",
            runs.target.name
        ));
    }
    if let Some(builds) = builds
        && store.runs_something(tenant, builds.target.id).await?
    {
        warnings.push(format!(
            "warning: {} builds, and projects run there, too; they share its processors, memory and disk",
            builds.target.name
        ));
    }
    Ok(warnings)
}
