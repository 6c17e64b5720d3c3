//! Going back: deploying an earlier release with the images that it ran, whatever their names lead to today.
//!
//! Secrets take the values of today, as for a retry: one is rotated because its former value should be used no more.
//! What cannot be brought back is said, in the answer and in the deployment's log.

use chrono::{DateTime, Utc};
use serde_json::json;
use towline_shared::compose;
use towline_shared::ids::{DeploymentId, ProjectId, ReleaseId};
use towline_shared::spec::{Interruption, OnFailure, PinnedImage, ProjectFile};
use uuid::Uuid;

use super::judge::{Hosts, judge};
use super::plugin::{about_rollback, ask};
use super::submit::{
    Apply, Commit, Key, Submission, Wish, check_deadline, check_settle, insist, repeated, submit,
};
use super::{OpsError, refusal, source, terms};
use crate::domain::cluster::Insistence;
use crate::domain::plugin::{Hook, Said};
use crate::domain::rollback::before;
use crate::egress::Egress;
use crate::job::JobState;
use crate::store::releases::Release;
use crate::store::rollbacks::ChangedSecret;
use crate::store::targets::Servant;
use crate::store::{Deployment, DeploymentKind, Project, Resource, Store, StoreError, Tenant};

/// A rollback that somebody asks for.
#[derive(Clone, Debug)]
pub struct NewRollback {
    /// The project.
    pub project: ProjectId,
    /// The target, by id or name; it may be left out when the project runs on one alone.
    pub target: Option<String>,
    /// The deployment, or the release, to go back to; the release before the present one when left out.
    pub to: Option<Uuid>,
    /// How long a service without a health check must stay up, in milliseconds.
    pub settle_ms: Option<u32>,
    /// How long it may take, in seconds.
    pub deadline_s: Option<u32>,
    /// What it does about what stands in its way in a cluster.
    pub insistence: Insistence,
}

/// A rollback that was queued, and what it does not bring back.
#[derive(Clone, Debug)]
pub struct RolledBack {
    /// The deployment that does it.
    pub deployment: Deployment,
    /// What is not as it was, for people.
    pub warnings: Vec<String>,
}

/// Queues a rollback, if the team's plugins let it. The same idempotency key gives the same deployment.
pub async fn rollback(
    store: &Store,
    egress: &Egress,
    tenant: &Tenant,
    new: NewRollback,
    idempotency_key: Option<&str>,
) -> Result<RolledBack, OpsError> {
    let project = new.project;
    let result = judge_and_submit(store, egress, tenant, new, idempotency_key).await;
    refusal::note(store, tenant, project, result).await
}

async fn judge_and_submit(
    store: &Store,
    egress: &Egress,
    tenant: &Tenant,
    new: NewRollback,
    idempotency_key: Option<&str>,
) -> Result<RolledBack, OpsError> {
    let settle_ms = check_settle(new.settle_ms)?;
    let deadline_s = check_deadline(new.deadline_s)?;
    let mut request = json!([
        "rollback",
        new.project,
        new.target,
        new.to,
        settle_ms,
        deadline_s
    ]);
    insist(&mut request, new.insistence);
    let key = Key::of(idempotency_key, &request)?;
    if let Some(deployment) = repeated(store, tenant, key.as_ref()).await? {
        let warnings = match deployment.rollback_of {
            Some(former) => {
                let former = store.deployment_row(tenant, former).await?;
                Bringing::of(store, tenant, former).await?.warnings(None)
            }
            None => Vec::new(),
        };
        return Ok(RolledBack {
            deployment,
            warnings,
        });
    }
    let project = store.project(tenant, new.project).await?;
    let (former, servant) = former_of(store, tenant, &project, &new).await?;
    let back = Bringing::of(store, tenant, former).await?;
    let sourced = source::again(store, egress, tenant, &project, &back.release).await?;
    let view = sourced
        .as_ref()
        .map_or(&back.release.files, |sourced| &sourced.view);
    let hosts = Hosts {
        runs: &servant,
        builds: None,
    };
    let environment = back.former.environment.clone();
    let asked = terms::of_cluster(&project, environment.as_deref(), new.insistence);
    judge(&project, hosts, &asked, view)?;
    let said = may(store, egress, tenant, (&project, &servant), &back.former).await?;
    let warnings = back.warnings(Some(view));
    let submission = Submission {
        project: &project,
        servant: &servant,
        environment: environment.as_deref(),
        notes: back.notes(&warnings, Utc::now()),
        rollback_of: Some(back.former.id),
        builder: None,
        work: back.wish(
            settle_ms,
            new.insistence,
            sourced.map(|sourced| sourced.commit),
        ),
        deadline_s,
        interruption: Interruption::Resume,
        retry_of: None,
        said,
    };
    let queued = submit(store, tenant, submission, key).await?;
    Ok(RolledBack {
        // Its log has lines already.
        deployment: store.deployment(tenant, queued.id).await?,
        warnings,
    })
}

/// A deployment that is brought back, with all that it ran with.
pub(super) struct Bringing {
    former: Deployment,
    release: Release,
    images: Vec<PinnedImage>,
    secrets: Vec<ChangedSecret>,
}

impl Bringing {
    pub(super) async fn of(
        store: &Store,
        tenant: &Tenant,
        former: Deployment,
    ) -> Result<Self, OpsError> {
        let Some(release) = former.release_id else {
            let message = format!("the release of deployment {}", former.id);
            return Err(StoreError::Damaged(message).into());
        };
        let release = store.release(former.project.id.into(), release).await?;
        let images: Vec<PinnedImage> = former.images.iter().cloned().map(Into::into).collect();
        let secrets = store.changed_secrets(tenant, former.id).await?;
        Ok(Self {
            former,
            release,
            images,
            secrets,
        })
    }

    /// What is not as it was; its volumes are known from all its files.
    fn warnings(&self, view: Option<&[ProjectFile]>) -> Vec<String> {
        let mut warnings: Vec<String> = self.secrets.iter().map(secret_warning).collect();
        let files = view.unwrap_or(&self.release.files);
        let volumes = compose::named_volumes(files, &self.release.compose_file);
        warnings.extend(volume_warning(&volumes));
        if self.images.is_empty() {
            let warning = "its images were not written down: their names mean what they mean today";
            warnings.push(warning.to_owned());
        }
        warnings
    }

    /// What there is to do.
    pub(super) fn wish(
        self,
        settle_ms: u32,
        insistence: Insistence,
        commit: Option<Commit>,
    ) -> Wish {
        Wish::Deploy(Box::new(Apply {
            compose_file: self.release.compose_file,
            files: self.release.files,
            // What is settled is not built.
            hooks: &[Hook::BeforeDeploy],
            images: self.images,
            settle_ms,
            on_failure: OnFailure::Leave,
            insistence,
            commit,
        }))
    }

    /// What its log begins with.
    fn notes(&self, warnings: &[String], now: DateTime<Utc>) -> Vec<String> {
        let ran = self.former.finished_at.unwrap_or(now);
        let head = format!(
            "rollback to deployment {} of {} UTC",
            self.former.id,
            ran.format("%Y-%m-%d %H:%M")
        );
        let warnings = warnings.iter().map(|warning| format!("warning: {warning}"));
        std::iter::once(head).chain(warnings).collect()
    }
}

fn secret_warning(secret: &ChangedSecret) -> String {
    let ChangedSecret {
        key,
        environment,
        version,
        present,
    } = secret;
    let name = match environment.as_str() {
        "" => key.clone(),
        environment => format!("{key} of {environment}"),
    };
    match present {
        None => format!("the secret {name} is gone since; it ran with version {version}"),
        Some(present) => format!(
            "the secret {name} has changed since: it ran with version {version} and gets version {present}"
        ),
    }
}

fn volume_warning(volumes: &[String]) -> Option<String> {
    let (word, keep) = match volumes.len() {
        0 => return None,
        1 => ("volume", "keeps what is in it"),
        _ => ("volumes", "keep what is in them"),
    };
    Some(format!(
        "the named {word} {} {keep}: a rollback does not bring former contents back",
        volumes.join(", ")
    ))
}

async fn may(
    store: &Store,
    egress: &Egress,
    tenant: &Tenant,
    (project, servant): (&Project, &Servant),
    former: &Deployment,
) -> Result<Vec<Said>, OpsError> {
    let environment = former.environment.as_deref();
    let question = about_rollback(tenant, project, servant, environment, former.id);
    ask(store, egress, tenant, question).await
}

/// The deployment to go back to, and who serves its target.
async fn former_of(
    store: &Store,
    tenant: &Tenant,
    project: &Project,
    new: &NewRollback,
) -> Result<(Deployment, Servant), OpsError> {
    let named = match &new.target {
        Some(target) => Some(store.servant(tenant, target).await?),
        None => None,
    };
    let Some(to) = new.to else {
        let servant = match named {
            Some(servant) => servant,
            None => only_target(store, tenant, project).await?,
        };
        let (last, past) = store.past_of(tenant, project.id, servant.target.id).await?;
        let former = before(last, &past).ok_or_else(|| nothing_before(project, &servant))?;
        return Ok((store.deployment_row(tenant, former).await?, servant));
    };
    let former = deployment_of(store, tenant, project, to, named.as_ref()).await?;
    check_former(&former)?;
    let servant = match named {
        Some(servant) if servant.target.id.uuid() != former.target.id => {
            return Err(elsewhere(&former, &servant));
        }
        Some(servant) => servant,
        None => {
            let target = former.target.id.to_string();
            store.servant(tenant, &target).await?
        }
    };
    Ok((former, servant))
}

/// A deployment of the project by its id, or the last one of a release.
async fn deployment_of(
    store: &Store,
    tenant: &Tenant,
    project: &Project,
    to: Uuid,
    servant: Option<&Servant>,
) -> Result<Deployment, OpsError> {
    let of_project = |found: &Deployment| found.project.id == project.id.uuid();
    match store.deployment_row(tenant, to.into()).await {
        Err(StoreError::NotFound(_)) => {}
        Ok(found) if of_project(&found) => return Ok(found),
        Ok(_) => return Err(unknown(project)),
        Err(error) => return Err(error.into()),
    }
    let release = ReleaseId::from(to);
    store
        .shown_release(tenant, project.id, release)
        .await
        .map_err(|error| match error {
            StoreError::NotFound(Resource::Release) => unknown(project),
            other => other.into(),
        })?;
    let target = servant.map(|servant| servant.target.id);
    match store.last_run_of(tenant, release, target).await? {
        Some(last) => Ok(store.deployment_row(tenant, last).await?),
        None => Err(OpsError::Refused {
            message: "that release has never come up there".to_owned(),
            remedy: format!(
                "see `towline releases ls {}` for those that have",
                project.name
            ),
            field: Some("to"),
        }),
    }
}

fn check_former(former: &Deployment) -> Result<(), OpsError> {
    let refused = |message: String, remedy: String| OpsError::Refused {
        message,
        remedy,
        field: Some("to"),
    };
    if former.kind == DeploymentKind::Build {
        let message = format!("deployment {} built images for another one", former.id);
        let remedy = "name the deployment that it was for";
        return Err(refused(message, remedy.to_owned()));
    }
    if former.kind == DeploymentKind::Preview {
        let message = format!("deployment {} was a preview: it has run nothing", former.id);
        let remedy = "name a deployment that ran something";
        return Err(refused(message, remedy.to_owned()));
    }
    if former.kind == DeploymentKind::Remove {
        let message = format!("deployment {} took the project away", former.id);
        let remedy = "`towline remove` does that again; name a deployment that ran something";
        return Err(refused(message, remedy.to_owned()));
    }
    if former.status != JobState::Succeeded {
        let message = format!(
            "deployment {} is {}; only what has come up is gone back to",
            former.id, former.status
        );
        return Err(refused(
            message,
            format!("`towline retry {}` tries it again", former.id),
        ));
    }
    Ok(())
}

async fn only_target(
    store: &Store,
    tenant: &Tenant,
    project: &Project,
) -> Result<Servant, OpsError> {
    let targets = store.deployed_targets(tenant, project.id).await?;
    let names: Vec<&str> = targets.iter().map(|target| target.name.as_str()).collect();
    let message = match targets.as_slice() {
        [only] => return Ok(store.servant(tenant, &only.id.to_string()).await?),
        [] => format!("the project {} has never come up anywhere", project.name),
        _ => format!(
            "the project {} was deployed to {}",
            project.name,
            names.join(", ")
        ),
    };
    Err(OpsError::Refused {
        message,
        remedy: "name the target".to_owned(),
        field: Some("target"),
    })
}

fn nothing_before(project: &Project, servant: &Servant) -> OpsError {
    OpsError::Refused {
        message: format!(
            "there is no release of {} before the present one on {}",
            project.name, servant.target.name
        ),
        remedy: format!(
            "name a deployment (`to`); `towline deployments ls --project {}` lists them",
            project.name
        ),
        field: None,
    }
}

fn elsewhere(former: &Deployment, servant: &Servant) -> OpsError {
    OpsError::Refused {
        message: format!(
            "deployment {} ran on {}, and not on {}",
            former.id, former.target.name, servant.target.name
        ),
        remedy: "name a deployment of that target, or leave the target out".to_owned(),
        field: Some("to"),
    }
}

fn unknown(project: &Project) -> OpsError {
    StoreError::Invalid {
        field: "to",
        message: format!("the project {} has no such deployment or release", project.name),
        remedy: "give the id of one of its deployments (`towline deployments ls`) or releases (`towline releases ls`)"
            .to_owned(),
    }
    .into()
}

/// A deployment that a retry of a rollback does again.
pub(super) async fn again(
    store: &Store,
    tenant: &Tenant,
    former: DeploymentId,
) -> Result<Bringing, OpsError> {
    let former = store.deployment_row(tenant, former).await?;
    Bringing::of(store, tenant, former).await
}
