//! Asking a target's agent what a deploy would change there.

use serde_json::json;
use towline_shared::ids::ProjectId;
use towline_shared::spec::{Interruption, OnFailure};

use super::judge::{Hosts, judge, refuse_unserved};
use super::source::{self, At};
use super::submit::{
    Apply, Key, SETTLE_MS, Submission, Wish, check_deadline, insist, repeated, submit,
};
use super::{OpsError, refusal, terms};
use crate::domain::cluster::Insistence;
use crate::domain::secrets::check_environment;
use crate::egress::Egress;
use crate::store::{Deployment, Store, StoreError, Tenant};

/// A preview that somebody asks for.
#[derive(Clone, Debug)]
pub struct NewPreview {
    /// The project, as its files are now.
    pub project: ProjectId,
    /// The target, by id or name.
    pub target: String,
    /// For which environment, whose secrets outdo those for all.
    pub environment: Option<String>,
    /// For a project that comes from a repository: the branch whose last commit is looked at, instead of its usual one.
    pub branch: Option<String>,
    /// The very commit, instead.
    pub commit: Option<String>,
    /// How long it may take, in seconds.
    pub deadline_s: Option<u32>,
    /// What the deploy would do about what stands in its way in a cluster.
    pub insistence: Insistence,
}

/// Queues a preview: judged as the deploy would be, and like it in all but that nothing is changed. The same idempotency
/// key gives the same preview.
pub async fn preview(
    store: &Store,
    egress: &Egress,
    tenant: &Tenant,
    new: NewPreview,
    idempotency_key: Option<&str>,
) -> Result<Deployment, OpsError> {
    let project = new.project;
    let result = judge_and_submit(store, egress, tenant, new, idempotency_key).await;
    refusal::note(store, tenant, project, result).await
}

async fn judge_and_submit(
    store: &Store,
    egress: &Egress,
    tenant: &Tenant,
    new: NewPreview,
    idempotency_key: Option<&str>,
) -> Result<Deployment, OpsError> {
    let deadline_s = check_deadline(new.deadline_s)?;
    let environment = new.environment.as_deref();
    check_environment(environment).map_err(StoreError::from)?;
    let mut request = json!([
        "preview",
        new.project,
        new.target,
        environment,
        new.branch,
        new.commit,
        deadline_s
    ]);
    insist(&mut request, new.insistence);
    let key = Key::of(idempotency_key, &request)?;
    if let Some(first) = repeated(store, tenant, key.as_ref()).await? {
        return Ok(first);
    }
    let project = store.project(tenant, new.project).await?;
    let servant = store.servant(tenant, &new.target).await?;
    refuse_unserved(&servant)?;
    let files = store.read_files(tenant, new.project).await?;
    let at = At::of(new.commit.as_deref(), new.branch.as_deref());
    let sourced = source::look(store, egress, tenant, &project, &files, at).await?;
    let view = sourced.as_ref().map_or(&files, |sourced| &sourced.view);
    let hosts = Hosts {
        runs: &servant,
        builds: None,
    };
    let asked = terms::of_cluster(&project, environment, new.insistence);
    let compose_file = judge(&project, hosts, &asked, view)?.to_owned();
    let submission = Submission {
        project: &project,
        servant: &servant,
        environment,
        work: Wish::Preview(Box::new(Apply {
            compose_file,
            files,
            // Nothing happens that anybody could object to.
            hooks: &[],
            images: Vec::new(),
            settle_ms: SETTLE_MS,
            on_failure: OnFailure::Leave,
            insistence: new.insistence,
            commit: sourced.map(|sourced| sourced.commit),
        })),
        deadline_s,
        interruption: Interruption::Resume,
        retry_of: None,
        rollback_of: None,
        builder: None,
        notes: Vec::new(),
        said: Vec::new(),
    };
    submit(store, tenant, submission, key).await
}
