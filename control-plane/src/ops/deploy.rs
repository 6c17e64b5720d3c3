//! Deploying a project to a target: judged first, queued only if it can work.

use serde_json::{Value, json};
use towline_shared::compose::{self, Finding, Severity};
use towline_shared::git::Reference;
use towline_shared::ids::ProjectId;
use towline_shared::policy::{HostPolicy, Permission};
use towline_shared::spec::{Interruption, OnFailure, ProjectFile};

use super::builder;
use super::plugin::{about_deployment, ask, hooks_of};
use super::source::{self, At};
use super::submit::{
    Apply, Key, Submission, Wish, check_deadline, check_settle, refuse_revoked, repeated, submit,
};
use super::{OpsError, refusal};
use crate::domain::pipeline_file::{PATH, PipelineFile};
use crate::domain::secrets::check_environment;
use crate::egress::Egress;
use crate::store::jobs::interruption_name;
use crate::store::targets::{Servant, missing_tool};
use crate::store::{Deployment, Project, Store, StoreError, Tenant};

/// A deployment that somebody asks for.
#[derive(Clone, Debug)]
pub struct NewDeployment {
    /// The project, as its files are now.
    pub project: ProjectId,
    /// The target, by id or name.
    pub target: String,
    /// For which environment, whose secrets outdo those for all.
    pub environment: Option<String>,
    /// How long a service without a health check must stay up, in milliseconds.
    pub settle_ms: Option<u32>,
    /// How long it may take, in seconds.
    pub deadline_s: Option<u32>,
    /// What happens when the agent dies in the middle; `resume` unless something else is said.
    pub interruption: Option<Interruption>,
    /// For a project that comes from a repository: the branch whose last commit is deployed, instead of its usual one.
    pub branch: Option<String>,
    /// The very commit, instead.
    pub commit: Option<String>,
    /// What happens when it does not come up; it is left as it is unless something else is said.
    pub on_failure: Option<OnFailure>,
    /// The target, by id or name, or by `label:` and a label, whose host builds the images; the one that runs them unless another is named.
    pub build_on: Option<String>,
}

/// Queues a deployment of the project's present files, if the team's plugins let it. The same idempotency key gives
/// the same deployment, and asks nobody again.
pub async fn deploy(
    store: &Store,
    egress: &Egress,
    tenant: &Tenant,
    new: NewDeployment,
    idempotency_key: Option<&str>,
) -> Result<Deployment, OpsError> {
    let project = new.project;
    let result = judge_and_submit(store, egress, tenant, (new, By::Person), idempotency_key).await;
    refusal::note(store, tenant, project, result).await
}

/// The same of a push, which the commit's own pipeline file refines.
pub(super) async fn deploy_pushed(
    store: &Store,
    egress: &Egress,
    tenant: &Tenant,
    new: NewDeployment,
    idempotency_key: &str,
) -> Result<Deployment, OpsError> {
    let project = new.project;
    let asked = (new, By::Push);
    let result = judge_and_submit(store, egress, tenant, asked, Some(idempotency_key)).await;
    refusal::note(store, tenant, project, result).await
}

/// What asks for a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// Somebody, who says what they want.
    Person,
    /// A push, of which the repository has its say.
    Push,
}

impl By {
    /// Why no host builds: whoever pushed has not asked for the one that is named.
    fn explain(self, error: OpsError, builder: &str) -> OpsError {
        match (self, error) {
            (Self::Push, OpsError::Store(StoreError::NotFound(_))) => OpsError::Refused {
                message: format!(
                    "{PATH} of this commit has it built on {builder}, which is no target of the team"
                ),
                remedy: "name another there, or none, and push again".to_owned(),
                field: None,
            },
            (_, error) => error,
        }
    }
}

async fn judge_and_submit(
    store: &Store,
    egress: &Egress,
    tenant: &Tenant,
    (new, by): (NewDeployment, By),
    idempotency_key: Option<&str>,
) -> Result<Deployment, OpsError> {
    let key = key_of(&new, idempotency_key)?;
    if let Some(first) = repeated(store, tenant, key.as_ref()).await? {
        return Ok(first);
    }
    let project = store.project(tenant, new.project).await?;
    let servant = store.servant(tenant, &new.target).await?;
    let files = store.read_files(tenant, new.project).await?;
    let at = At::of(new.commit.as_deref(), new.branch.as_deref());
    refuse_unserved(&servant)?;
    let mut sourced = source::look(store, egress, tenant, &project, &files, at).await?;
    if let (Some(sourced), Some(_)) = (&mut sourced, &new.commit) {
        // Where the commit was pushed to, if that is said beside it.
        let named = new.branch.clone();
        sourced.commit.branch = named.filter(|name| Reference::branch(name).is_ok());
    }
    let view = sourced.as_ref().map_or(&files, |sourced| &sourced.view);
    let new = match by {
        By::Person => new,
        By::Push => refined(new, &servant, view)?,
    };
    let chosen = match &new.build_on {
        Some(name) => {
            let found = builder::find(store, tenant, &servant, name).await;
            Some(found.map_err(|error| by.explain(error, name))?)
        }
        None => None,
    };
    let hosts = Hosts {
        runs: &servant,
        builds: chosen.as_ref(),
    };
    let compose_file = judge(&project, hosts, view)?.to_owned();
    let environment = new.environment.as_deref();
    let hooks = hooks_of(view, &compose_file);
    let question = about_deployment(hooks, tenant, &project, &servant, environment, None);
    let said = ask(store, egress, tenant, question).await?;
    let notes = builder::warnings(store, tenant, &servant, chosen.as_ref()).await?;
    let submission = Submission {
        project: &project,
        target: servant.target.id,
        environment,
        work: Wish::Deploy(Box::new(Apply {
            compose_file,
            files,
            hooks,
            images: Vec::new(),
            settle_ms: check_settle(new.settle_ms)?,
            on_failure: new.on_failure.unwrap_or(OnFailure::Leave),
            commit: sourced.map(|sourced| sourced.commit),
        })),
        deadline_s: check_deadline(new.deadline_s)?,
        interruption: interruption(&new),
        retry_of: None,
        rollback_of: None,
        builder: chosen.as_ref(),
        notes,
        said,
    };
    submit(store, tenant, submission, key, &servant).await
}

/// The key of a deployment, over all that is asked for; what cannot be asked for is refused.
fn key_of<'k>(
    new: &NewDeployment,
    idempotency_key: Option<&'k str>,
) -> Result<Option<Key<'k>>, OpsError> {
    let settle_ms = check_settle(new.settle_ms)?;
    let deadline_s = check_deadline(new.deadline_s)?;
    let interruption = interruption(new);
    check_environment(new.environment.as_deref()).map_err(StoreError::from)?;
    let mut request = vec![
        json!("deploy"),
        json!(new.project),
        json!(new.target),
        json!(settle_ms),
        json!(deadline_s),
        json!(interruption_name(interruption)),
    ];
    // Without one it is what it was before there were environments: keys outlive an upgrade.
    request.extend(new.environment.as_deref().map(Value::from));
    request.extend(
        new.branch
            .as_deref()
            .map(|branch| json!({ "branch": branch })),
    );
    request.extend(
        new.commit
            .as_deref()
            .map(|commit| json!({ "commit": commit })),
    );
    let on_failure = new.on_failure.unwrap_or(OnFailure::Leave);
    if on_failure != OnFailure::Leave {
        request.push(json!({ "on_failure": on_failure }));
    }
    request.extend(
        new.build_on
            .as_deref()
            .map(|builder| json!({ "build_on": builder })),
    );
    Key::of(idempotency_key, &Value::Array(request))
}

fn interruption(new: &NewDeployment) -> Interruption {
    new.interruption.unwrap_or(Interruption::Resume)
}

/// What the commit's own pipeline file makes of a deployment that a push asks for.
fn refined(
    mut new: NewDeployment,
    servant: &Servant,
    files: &[ProjectFile],
) -> Result<NewDeployment, OpsError> {
    let refused = |message: String, remedy: &str| OpsError::Refused {
        message,
        remedy: remedy.to_owned(),
        field: None,
    };
    let file = PipelineFile::of(files)
        .map_err(|fault| refused(fault.to_string(), "mend it, and push again"))?;
    if let Some(why) = file.refuses(new.branch.as_deref(), &servant.target.name) {
        return Err(refused(why, "change that file if it should be"));
    }
    new.build_on = file.build_on.or(new.build_on);
    new.on_failure = file.on_failure.or(new.on_failure);
    new.settle_ms = file.settle_ms.or(new.settle_ms);
    new.deadline_s = file.deadline_s.or(new.deadline_s);
    Ok(new)
}

/// Who takes part in a deployment.
#[derive(Clone, Copy)]
pub(super) struct Hosts<'a> {
    /// The host that runs the project.
    pub(super) runs: &'a Servant,
    /// Another one that builds its images, if one does.
    pub(super) builds: Option<&'a Servant>,
}

/// Refuses what cannot work on those hosts; gives the compose file's path. An agent that is offline is
/// no reason: it may come back.
pub(super) fn judge<'a>(
    project: &Project,
    hosts: Hosts<'_>,
    files: &'a [ProjectFile],
) -> Result<&'a str, OpsError> {
    let servant = hosts.runs;
    if files.is_empty() {
        return Err(OpsError::Refused {
            message: format!("the project {} has no files", project.name),
            remedy: "upload its files first".to_owned(),
            field: Some("project"),
        });
    }
    let Some(compose_file) = compose::find_compose_file(files) else {
        return Err(OpsError::Refused {
            message: format!("the project {} has no compose file", project.name),
            remedy:
                "put a compose.yaml at the top of its files, or of its folder in the repository"
                    .to_owned(),
            field: Some("project"),
        });
    };
    refuse_unserved(servant)?;
    let mut policy = servant
        .capabilities
        .as_ref()
        .map_or_else(anything, |capabilities| capabilities.policy.clone());
    if let Some(builder) = hosts.builds {
        judge_builder(project, servant, builder, files, compose_file)?;
        // It builds nothing.
        policy.build = Permission::Allow;
    }
    let findings = compose::examine(files, compose_file, &policy);
    let errors: Vec<Finding> = findings
        .into_iter()
        .filter(|finding| finding.severity == Severity::Error)
        .collect();
    if errors.is_empty() {
        Ok(compose_file)
    } else {
        Err(OpsError::Findings(errors))
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
    match servant.capabilities.as_ref().and_then(missing_tool) {
        None => Ok(()),
        Some(missing) => Err(OpsError::Refused {
            message: format!("the host of target {} cannot deploy", servant.target.name),
            remedy: missing,
            field: Some("target"),
        }),
    }
}

/// The policy of a host that has not connected yet is not known; its agent will judge by it.
fn anything() -> HostPolicy {
    HostPolicy {
        privileged: Permission::Allow,
        host_namespaces: Permission::Allow,
        bind_mounts: vec!["/".to_owned()],
        capabilities: vec!["ALL".to_owned()],
        devices: Permission::Allow,
        unconfined: Permission::Allow,
        registries: Vec::new(),
        build: Permission::Allow,
    }
}
