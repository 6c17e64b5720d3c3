//! Deploying a project to a target: judged first, queued only if it can work.

use serde_json::{Value, json};
use towline_shared::git::Reference;
use towline_shared::ids::ProjectId;
use towline_shared::spec::{Interruption, OnFailure, ProjectFile};

use super::builder;
use super::judge::{Hosts, judge, refuse_unserved};
use super::plugin::{about_deployment, ask, hooks_of};
use super::source::{self, At};
use super::submit::{
    Apply, Key, Submission, Wish, check_deadline, check_settle, insist, repeated, submit,
};
use super::{OpsError, refusal, terms};
use crate::domain::cluster::Insistence;
use crate::domain::pipeline_file::{PATH, PipelineFile};
use crate::domain::platform::Platform;
use crate::domain::secrets::check_environment;
use crate::egress::Egress;
use crate::store::jobs::interruption_name;
use crate::store::targets::Servant;
use crate::store::{Deployment, Store, StoreError, Tenant};

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
    /// What it does about what stands in its way in a cluster.
    pub insistence: Insistence,
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
    let environment = new.environment.as_deref();
    let asked = terms::of_cluster(&project, environment, new.insistence);
    let compose_file = judge(&project, hosts, &asked, view)?.to_owned();
    let hooks = hooks_of(view, &compose_file);
    let question = about_deployment(hooks, tenant, &project, &servant, environment, None);
    let said = ask(store, egress, tenant, question).await?;
    let notes = builder::warnings(store, tenant, &servant, chosen.as_ref()).await?;
    let submission = Submission {
        project: &project,
        servant: &servant,
        environment,
        work: Wish::Deploy(Box::new(Apply {
            compose_file,
            files,
            hooks,
            images: Vec::new(),
            settle_ms: check_settle(new.settle_ms)?,
            on_failure: new.on_failure.unwrap_or(OnFailure::Leave),
            insistence: new.insistence,
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
    submit(store, tenant, submission, key).await
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
    let mut request = Value::Array(request);
    insist(&mut request, new.insistence);
    Key::of(idempotency_key, &request)
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
    // For a cluster nothing is built, whoever else the push is deployed to.
    if servant.platform() == Platform::Docker {
        new.build_on = file.build_on.or(new.build_on);
    }
    new.on_failure = file.on_failure.or(new.on_failure);
    new.settle_ms = file.settle_ms.or(new.settle_ms);
    new.deadline_s = file.deadline_s.or(new.deadline_s);
    Ok(new)
}
