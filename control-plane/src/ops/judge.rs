//! What cannot work is refused before anything is queued; an agent judges again, with all that it sees.

use towline_shared::cluster::ClusterTerms;
use towline_shared::compose::{self, Finding, Severity};
use towline_shared::manifest::{examine, find_manifests};
use towline_shared::policy::Permission;
use towline_shared::protocol::v1::Engine;
use towline_shared::spec::ProjectFile;

use super::OpsError;
use super::submit::refuse_revoked;
use crate::domain::cluster::Insistence;
use crate::domain::platform::Platform;
use crate::domain::policy::{any_cluster, any_host};
use crate::store::Project;
use crate::store::targets::Servant;

/// Who takes part in a deployment.
#[derive(Clone, Copy)]
pub(super) struct Hosts<'a> {
    /// The host that runs the project.
    pub(super) runs: &'a Servant,
    /// Another one that builds its images, if one does.
    pub(super) builds: Option<&'a Servant>,
}

/// Refuses what cannot work on those hosts; gives where the project's description is: the compose file's path, or, for a
/// cluster, where its manifests are. An agent that is offline is no reason: it may come back.
pub(super) fn judge<'a>(
    project: &Project,
    hosts: Hosts<'_>,
    asked: &ClusterTerms,
    files: &'a [ProjectFile],
) -> Result<&'a str, OpsError> {
    if files.is_empty() {
        return Err(of_project(
            format!("the project {} has no files", project.name),
            "upload its files first".to_owned(),
        ));
    }
    refuse_unserved(hosts.runs)?;
    match hosts.runs.platform() {
        Platform::Docker => judge_compose(project, hosts, asked, files),
        Platform::Kubernetes => judge_manifests(project, hosts, asked, files),
    }
}

fn judge_compose<'a>(
    project: &Project,
    hosts: Hosts<'_>,
    asked: &ClusterTerms,
    files: &'a [ProjectFile],
) -> Result<&'a str, OpsError> {
    let servant = hosts.runs;
    let Some(compose_file) = compose::find_compose_file(files) else {
        return Err(no_compose_file(project, servant, files));
    };
    refuse_insistence(servant, asked)?;
    let mut policy = servant
        .capabilities
        .as_ref()
        .map_or_else(any_host, |known| known.policy.clone());
    if let Some(builder) = hosts.builds {
        judge_builder(project, servant, builder, files, compose_file)?;
        // It builds nothing.
        policy.build = Permission::Allow;
    }
    refuse_errors(compose::examine(files, compose_file, &policy))?;
    Ok(compose_file)
}

fn judge_manifests<'a>(
    project: &Project,
    hosts: Hosts<'_>,
    asked: &ClusterTerms,
    files: &'a [ProjectFile],
) -> Result<&'a str, OpsError> {
    if hosts.builds.is_some() {
        return Err(OpsError::Refused {
            message: format!("{} is a cluster, for which no host builds", hosts.runs.target.name),
            remedy: "leave the builder away: push the images to a registry, and name them in the manifests".to_owned(),
            field: Some("build_on"),
        });
    }
    let Some(entry) = find_manifests(files) else {
        return Err(of_project(
            format!(
                "the project {} has no Kubernetes manifests, and {} is a cluster",
                project.name, hosts.runs.target.name
            ),
            format!(
                "put manifests into its folder kubernetes/, or have some made: `towline generate {} --target kubernetes`",
                project.name
            ),
        ));
    };
    let capabilities = hosts.runs.capabilities.as_ref();
    let host = capabilities.map_or_else(any_host, |known| known.policy.clone());
    let (own, cluster) = match capabilities.map(|known| &known.engine) {
        Some(Engine::Kubernetes(facts)) => (facts.namespace.as_str(), facts.policy.clone()),
        _ => ("", any_cluster()),
    };
    refuse_errors(examine(files, entry, asked, own, (&host, &cluster)))?;
    Ok(entry)
}

/// What is only a warning hinders nothing.
fn refuse_errors(findings: Vec<Finding>) -> Result<(), OpsError> {
    let is_error = |finding: &Finding| finding.severity == Severity::Error;
    let errors: Vec<Finding> = findings.into_iter().filter(is_error).collect();
    if errors.is_empty() {
        Ok(())
    } else {
        Err(OpsError::Findings(errors))
    }
}

fn of_project(message: String, remedy: String) -> OpsError {
    OpsError::Refused {
        message,
        remedy,
        field: Some("project"),
    }
}

fn no_compose_file(project: &Project, servant: &Servant, files: &[ProjectFile]) -> OpsError {
    let message = format!("the project {} has no compose file", project.name);
    if find_manifests(files).is_none() {
        let remedy =
            "put a compose.yaml at the top of its files, or of its folder in the repository";
        return of_project(message, remedy.to_owned());
    }
    let target = &servant.target.name;
    let remedy = match &servant.capabilities {
        Some(_) => format!(
            "{target} is no cluster, for which it has manifests: deploy it to one, or put a compose.yaml at the top of its files"
        ),
        None => format!("if {target} is a cluster, wait until its agent has connected"),
    };
    of_project(message, remedy)
}

/// On a host nothing is anybody else's, and nothing is kept from changing.
fn refuse_insistence(servant: &Servant, asked: &ClusterTerms) -> Result<(), OpsError> {
    let insistence = Insistence {
        conflicts: asked.conflicts,
        immutable: asked.immutable,
    };
    match insistence.said() {
        None => Ok(()),
        Some(field) => Err(OpsError::Refused {
            message: format!(
                "{} is no cluster, where that means something",
                servant.target.name
            ),
            remedy: format!("leave `{field}` away"),
            field: Some(field),
        }),
    }
}

/// Refuses a host that cannot build for that other one.
fn judge_builder(
    project: &Project,
    servant: &Servant,
    builder: &Servant,
    files: &[ProjectFile],
    compose_file: &str,
) -> Result<(), OpsError> {
    let refused = |message, remedy: &str| {
        Err(OpsError::Refused {
            message,
            remedy: remedy.to_owned(),
            field: Some("build_on"),
        })
    };
    let (name, target) = (&builder.target.name, &servant.target.name);
    if builder.target.id == servant.target.id {
        return refused(
            format!("{name} is the target itself"),
            "name another host, or none to build where it runs",
        );
    }
    if !compose::builds(files, compose_file) {
        return refused(
            format!("no service of the project {} is built", project.name),
            "name no host that builds; or give a service a `build` in the compose file",
        );
    }
    if builder.platform() == Platform::Kubernetes {
        return refused(
            format!("{name} is a cluster, which builds no images"),
            "name a host with a container engine",
        );
    }
    refuse_unserved(builder)?;
    let (Some(builds), Some(runs)) = (&builder.capabilities, &servant.capabilities) else {
        return Ok(());
    };
    if builds.policy.build == Permission::Deny {
        return refused(
            format!("the policy of {name} allows no builds"),
            "its owner may allow them there: `build = \"allow\"` in the agent's policy file",
        );
    }
    if !builds.arch.is_empty() && !runs.arch.is_empty() && builds.arch != runs.arch {
        return refused(
            format!(
                "{name} builds for {}, and {target} runs {}",
                builds.arch, runs.arch
            ),
            "name a host of the same architecture",
        );
    }
    Ok(())
}

/// Refuses a host that nobody serves any more, or that lacks what a deploy needs.
pub(super) fn refuse_unserved(servant: &Servant) -> Result<(), OpsError> {
    refuse_revoked(servant)?;
    match servant.lacks() {
        None => Ok(()),
        Some(missing) => Err(cannot(servant, missing)),
    }
}

/// Refuses a target whose agent has left what was deployed there behind.
pub(super) fn refuse_moved(servant: &Servant) -> Result<(), OpsError> {
    match servant.moved() {
        None => Ok(()),
        Some(why) => Err(cannot(servant, why)),
    }
}

fn cannot(servant: &Servant, why: String) -> OpsError {
    let what = match servant.platform() {
        Platform::Docker => "host",
        Platform::Kubernetes => "cluster",
    };
    OpsError::Refused {
        message: format!("the {what} of target {} cannot deploy", servant.target.name),
        remedy: why,
        field: Some("target"),
    }
}
