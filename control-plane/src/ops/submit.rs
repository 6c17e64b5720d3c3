//! Submitting a deployment: release, deployment, job and audit in one transaction.

use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};
use towline_shared::failpoint::reach;
use towline_shared::ids::{DeploymentId, JobId, ReleaseId};
use towline_shared::spec::{
    Build, Deploy, DeployRelease, GitSource, Interruption, JobSpec, OnFailure, PinnedImage,
    ProjectFile, Proposal, Relayed, Remove, SealedSpec, VolumeFate, Work,
};

use super::{OpsError, terms};
use crate::domain::cluster::Insistence;
use crate::domain::platform::Platform;
use crate::domain::plugin::{Hook, Said, note_said};
use crate::domain::webhook::WebhookEvent;
use crate::store::audit::{self, Entry};
use crate::store::db::{Conn, Tx};
use crate::store::deployments::{self, NewRow};
use crate::store::idempotency::{self, Known};
use crate::store::jobs::{self, NewJob, interruption_name};
use crate::store::pipelines::{self, NewPipeline};
use crate::store::targets::{self, Servant};
use crate::store::usage::{self, Metric};
use crate::store::{
    AgentStatus, Deployment, DeploymentKind, Project, Store, StoreError, Tenant, commit_statuses,
    notification_events, projects, pushes, quota, registries, releases, webhook_events,
};

/// How long a service without a health check must stay up, when nothing else is said.
pub(super) const SETTLE_MS: u32 = 3_000;
/// How long a deployment may take, when nothing else is said.
pub(super) const DEADLINE_S: u32 = 600;
const MAX_SETTLE_MS: u32 = 10 * 60 * 1000;
const MAX_DEADLINE_S: u32 = 24 * 3600;
const MAX_KEY: usize = 200;

/// A deployment that was checked and is to be queued.
pub(super) struct Submission<'a> {
    pub(super) project: &'a Project,
    /// Who serves its target.
    pub(super) servant: &'a Servant,
    pub(super) environment: Option<&'a str>,
    pub(super) work: Wish,
    pub(super) deadline_s: u32,
    pub(super) interruption: Interruption,
    pub(super) retry_of: Option<DeploymentId>,
    pub(super) rollback_of: Option<DeploymentId>,
    /// Another host that builds its images, if one does.
    pub(super) builder: Option<&'a Servant>,
    /// What its log begins with.
    pub(super) notes: Vec<String>,
    pub(super) said: Vec<Said>,
}

/// What there is to do.
pub(super) enum Wish {
    /// Bring the project to the state of a release.
    Deploy(Box<Apply>),
    /// Take the project away.
    Remove(VolumeFate),
    /// Tell what bringing it to the state of a release would change.
    Preview(Box<Apply>),
}

/// A release to apply.
pub(super) struct Apply {
    pub(super) compose_file: String,
    /// The project's own files.
    pub(super) files: Vec<ProjectFile>,
    /// What the team's plugins are asked before.
    pub(super) hooks: &'static [Hook],
    /// The images that are settled already.
    pub(super) images: Vec<PinnedImage>,
    pub(super) settle_ms: u32,
    pub(super) on_failure: OnFailure,
    /// What it does about what stands in its way in a cluster.
    pub(super) insistence: Insistence,
    /// The commit that the files lie over.
    pub(super) commit: Option<Commit>,
}

/// A commit to deploy.
#[derive(Clone)]
pub(super) struct Commit {
    pub(super) source: GitSource,
    /// The branch that it is the last commit of, when it was asked for by that.
    pub(super) branch: Option<String>,
    /// The first line of its message.
    pub(super) title: String,
}

impl Wish {
    const fn kind(&self) -> DeploymentKind {
        match self {
            Self::Deploy(_) => DeploymentKind::Deploy,
            Self::Remove(_) => DeploymentKind::Remove,
            Self::Preview(_) => DeploymentKind::Preview,
        }
    }

    /// What the team's plugins are asked before; nothing about a removal.
    pub(super) const fn hooks(&self) -> Option<&'static [Hook]> {
        match self {
            Self::Deploy(apply) => Some(apply.hooks),
            Self::Remove(_) | Self::Preview(_) => None,
        }
    }

    const fn settle_ms(&self) -> u32 {
        match self {
            Self::Deploy(apply) => apply.settle_ms,
            Self::Remove(_) | Self::Preview(_) => 0,
        }
    }

    const fn volumes(&self) -> Option<&'static str> {
        match self {
            Self::Deploy(_) | Self::Preview(_) => None,
            Self::Remove(VolumeFate::Keep) => Some("keep"),
            Self::Remove(VolumeFate::Delete) => Some("delete"),
        }
    }

    const fn on_failure(&self) -> OnFailure {
        match self {
            Self::Deploy(apply) => apply.on_failure,
            Self::Remove(_) | Self::Preview(_) => OnFailure::Leave,
        }
    }

    fn insistence(&self) -> Insistence {
        match self {
            Self::Deploy(apply) | Self::Preview(apply) => apply.insistence,
            Self::Remove(_) => Insistence::default(),
        }
    }
}

impl Apply {
    /// What older agents can do, they are asked for in their words.
    fn work(self: Box<Self>, deploy: Deploy, build: Option<JobId>) -> Work {
        let source = self.commit.map(|commit| commit.source);
        let is_plain =
            self.images.is_empty() && self.on_failure == OnFailure::Leave && source.is_none();
        if is_plain && build.is_none() {
            return Work::Deploy(deploy);
        }
        let release = DeployRelease {
            deploy,
            images: self.images,
            source,
            on_failure: self.on_failure,
        };
        match build {
            Some(build) => Work::Relayed(Relayed { release, build }),
            None => Work::Release(release),
        }
    }
}

/// A caller's idempotency key with the digest of what it asked for.
pub(super) struct Key<'a> {
    key: &'a str,
    digest: [u8; 32],
}

impl<'a> Key<'a> {
    /// Checks a key and ties it to a request.
    pub(super) fn of(
        key: Option<&'a str>,
        request: &serde_json::Value,
    ) -> Result<Option<Self>, OpsError> {
        let Some(key) = key else {
            return Ok(None);
        };
        if key.is_empty() || key.len() > MAX_KEY || key.chars().any(char::is_control) {
            return Err(StoreError::Invalid {
                field: "Idempotency-Key",
                message: format!("a key has 1 to {MAX_KEY} characters"),
                remedy: "use a new UUID for each request".to_owned(),
            }
            .into());
        }
        let digest = Sha256::digest(request.to_string()).into();
        Ok(Some(Self { key, digest }))
    }

    /// The deployment that this very request made before.
    async fn find(
        &self,
        conn: Conn<'_>,
        tenant: &Tenant,
    ) -> Result<Option<DeploymentId>, OpsError> {
        match idempotency::find(conn, tenant.team(), self.key, &self.digest).await? {
            None => Ok(None),
            Some(Known::Same(first)) => Ok(Some(first)),
            Some(Known::Other) => Err(OpsError::KeyReused),
        }
    }

    /// Ties the key to a new deployment. Requests for one project come one after the other, so who
    /// took the key in this moment asked for another project.
    async fn claim(
        &self,
        tx: &mut Tx,
        tenant: &Tenant,
        deployment: DeploymentId,
        now: DateTime<Utc>,
    ) -> Result<(), OpsError> {
        let team = tenant.team();
        if idempotency::claim(tx, team, self.key, &self.digest, deployment, now).await? {
            Ok(())
        } else {
            Err(OpsError::KeyReused)
        }
    }
}

/// Adds to what a key is tied to what is insisted on; where that is nothing it is what it was before clusters.
pub(super) fn insist(request: &mut serde_json::Value, insistence: Insistence) {
    if insistence != Insistence::default()
        && let Some(asked) = request.as_array_mut()
    {
        let (conflicts, immutable) = insistence.names();
        asked.push(serde_json::json!({ "conflicts": conflicts, "immutable": immutable }));
    }
}

/// What a repeated request made at its first time. It is answered before anything is judged: files,
/// plan and agent may have changed since, and the deployment stands.
pub(super) async fn repeated(
    store: &Store,
    tenant: &Tenant,
    key: Option<&Key<'_>>,
) -> Result<Option<Deployment>, OpsError> {
    let Some(key) = key else {
        return Ok(None);
    };
    let mut reader = store.main().read().await?;
    let first = key.find(reader.conn(), tenant).await?;
    drop(reader);
    match first {
        Some(first) => Ok(Some(store.deployment(tenant, first).await?)),
        None => Ok(None),
    }
}

/// Queues a deployment, and wakes the target's agent.
pub(super) async fn submit(
    store: &Store,
    tenant: &Tenant,
    submission: Submission<'_>,
    key: Option<Key<'_>>,
) -> Result<Deployment, OpsError> {
    let (deployment, job) = (DeploymentId::new(), JobId::new());
    let servant = submission.servant;
    if !submission.notes.is_empty() {
        // Before the job can be claimed: its agent is told where its log goes on.
        store.begin_log(job, &submission.notes).await?;
    }
    let mut tx = store.main().begin().await?;
    let now = tx.now().await?;
    projects::lock(&mut tx, tenant, submission.project.id).await?;
    if let Some(key) = &key
        && let Some(first) = key.find(tx.conn(), tenant).await?
    {
        tx.roll_back().await?;
        return Ok(store.deployment(tenant, first).await?);
    }
    if !targets::hold_served(&mut tx, servant.target.id).await? {
        return Err(revoked(servant));
    }
    if let Some(builder) = submission.builder
        && !targets::hold_served(&mut tx, builder.target.id).await?
    {
        return Err(revoked(builder));
    }
    // Taking something away is no deployment, nor is a look, and both are allowed at the limit, too.
    let nearing = match submission.work.kind() {
        DeploymentKind::Deploy => quota::check_deployments(&mut tx, tenant.team(), now).await?,
        DeploymentKind::Remove | DeploymentKind::Build | DeploymentKind::Preview => None,
    };
    let builder = submission.builder;
    if let Some(nearing) = &nearing {
        notification_events::quota_nearly_reached(&mut tx, tenant.team(), nearing, now).await?;
    }
    insert(&mut tx, tenant, submission, deployment, job, now).await?;
    if let Some(key) = &key {
        key.claim(&mut tx, tenant, deployment, now).await?;
    }
    tx.commit().await?;
    reach("plane: committed a submission");
    store.wake().outbox();
    // Nobody deploys before the build has ended.
    if let Some(agent) = builder.unwrap_or(servant).target.agent_id {
        store.wake().agent(agent);
    }
    Ok(store.deployment_row(tenant, deployment).await?)
}

async fn insert(
    tx: &mut Tx,
    tenant: &Tenant,
    submission: Submission<'_>,
    deployment: DeploymentId,
    job: JobId,
    now: DateTime<Utc>,
) -> Result<(), OpsError> {
    let (project, target) = (submission.project.id, submission.servant.target.id);
    let platform = submission.servant.platform();
    let insistence = submission.work.insistence();
    let kind = submission.work.kind();
    let interruption = interruption_name(submission.interruption);
    let said = submission.said;
    let (settle_ms, volumes) = (submission.work.settle_ms(), submission.work.volumes());
    let on_failure = submission.work.on_failure();
    let commit = match &submission.work {
        Wish::Deploy(apply) => apply.commit.clone(),
        // A look is no way of a commit to a target.
        Wish::Remove(_) | Wish::Preview(_) => None,
    };
    let build = submission.builder.map(|builder| Ahead {
        servant: builder,
        job: JobId::new(),
    });
    let built_by = build.as_ref().map(|ahead| ahead.job);
    let at_registries = registries::terms(tx, tenant, project, kind).await?;
    let (work, release) = freeze(tx, submission.project, submission.work, built_by, now).await?;
    let to_build = match &work {
        Work::Relayed(relayed) => Some(Build {
            deploy: relayed.release.deploy.clone(),
            source: relayed.release.source.clone(),
        }),
        _ => None,
    };
    let own = match &build {
        Some(_) => terms::without_push(&at_registries),
        None => at_registries.clone(),
    };
    let of_cluster = terms::of_cluster(submission.project, submission.environment, insistence);
    let spec = JobSpec {
        project,
        target,
        work: work.under(match platform {
            Platform::Docker => terms::at_host(submission.project, kind, own),
            Platform::Kubernetes => terms::at_cluster(&own, of_cluster),
        }),
        interruption: submission.interruption,
        deadline_s: submission.deadline_s,
    };
    let sealed = SealedSpec::seal(&spec).map_err(StoreError::from)?;
    let row = NewRow {
        id: deployment,
        job,
        project,
        target,
        release,
        environment: submission.environment,
        kind,
        settle_ms,
        deadline_s: submission.deadline_s,
        interruption,
        volumes,
        triggered_by: tenant.hand(),
        push: tenant.push(),
        retry_of: submission.retry_of,
        rollback_of: submission.rollback_of,
        on_failure,
        platform,
        insistence,
    };
    deployments::insert(tx, tenant, &row, now).await?;
    let new = NewJob {
        id: job,
        deployment,
        team: tenant.team(),
        target,
        interruption,
        spec: sealed.bytes(),
        digest: sealed.digest(),
        builds_for: None,
    };
    jobs::insert(tx, &new, now).await?;
    if let (Some(ahead), Some(to_build)) = (&build, to_build) {
        let work = Work::Build(to_build).under(terms::of_build(at_registries));
        insert_build(tx, tenant, ahead, &row, work, now).await?;
    }
    if let Some(commit) = &commit {
        let way = NewPipeline {
            project,
            deployment,
            job,
            commit: &commit.source.commit,
            branch: commit.branch.as_deref(),
            title: &commit.title,
            built_by,
        };
        pipelines::insert(tx, tenant, way, now).await?;
        commit_statuses::begin(tx, deployment, now).await?;
    }
    if kind == DeploymentKind::Deploy {
        usage::add(tx, deployment, Metric::Deployments, 1, now).await?;
    }
    webhook_events::emit(tx, deployment, WebhookEvent::DeploymentCreated, now).await?;
    write_audit(tx, tenant, &row, &said, now).await
}

/// A build that is to end before a deployment begins.
struct Ahead<'a> {
    servant: &'a Servant,
    job: JobId,
}

/// Queues the build of a deployment's images, as a deployment of its own with its own log.
async fn insert_build(
    tx: &mut Tx,
    tenant: &Tenant,
    ahead: &Ahead<'_>,
    awaited_by: &NewRow<'_>,
    work: Work,
    now: DateTime<Utc>,
) -> Result<(), OpsError> {
    let (id, target) = (DeploymentId::new(), ahead.servant.target.id);
    let interruption = Interruption::RequeueIfNotStarted;
    let spec = JobSpec {
        project: awaited_by.project,
        target,
        work,
        interruption,
        deadline_s: awaited_by.deadline_s,
    };
    let sealed = SealedSpec::seal(&spec).map_err(StoreError::from)?;
    let row = NewRow {
        id,
        job: ahead.job,
        target,
        kind: DeploymentKind::Build,
        interruption: interruption_name(interruption),
        retry_of: None,
        rollback_of: None,
        on_failure: OnFailure::Leave,
        ..*awaited_by
    };
    deployments::insert(tx, tenant, &row, now).await?;
    let new = NewJob {
        id: ahead.job,
        deployment: id,
        team: tenant.team(),
        target,
        interruption: row.interruption,
        spec: sealed.bytes(),
        digest: sealed.digest(),
        builds_for: Some(awaited_by.id),
    };
    jobs::insert(tx, &new, now).await?;
    write_audit(tx, tenant, &row, &[], now).await
}

async fn freeze(
    tx: &mut Tx,
    project: &Project,
    wish: Wish,
    built_by: Option<JobId>,
    now: DateTime<Utc>,
) -> Result<(Work, Option<ReleaseId>), OpsError> {
    let kind = wish.kind();
    let apply = match wish {
        Wish::Deploy(apply) | Wish::Preview(apply) => apply,
        Wish::Remove(volumes) => {
            let remove = Remove {
                compose_project: project.name.clone(),
                volumes,
            };
            return Ok((Work::Remove(remove), None));
        }
    };
    let frozen = releases::Frozen {
        compose_file: &apply.compose_file,
        files: &apply.files,
        source: apply.commit.as_ref().map(|commit| &commit.source),
    };
    let release = releases::freeze(tx, project.id, frozen, now).await?;
    let deploy = Deploy {
        release,
        compose_project: project.name.clone(),
        compose_file: apply.compose_file.clone(),
        files: apply.files.clone(),
        settle_ms: apply.settle_ms,
    };
    let work = if kind == DeploymentKind::Preview {
        let source = apply.commit.map(|commit| commit.source);
        Work::Preview(Proposal { deploy, source })
    } else {
        apply.work(deploy, built_by)
    };
    Ok((work, Some(release)))
}

async fn write_audit(
    tx: &mut Tx,
    tenant: &Tenant,
    row: &NewRow<'_>,
    said: &[Said],
    now: DateTime<Utc>,
) -> Result<(), OpsError> {
    let mut detail = serde_json::json!({
        "project": row.project,
        "kind": row.kind,
        "release": row.release,
        "environment": row.environment,
        "retry_of": row.retry_of,
        "rollback_of": row.rollback_of,
    });
    if row.insistence != Insistence::default() {
        let (conflicts, immutable) = row.insistence.names();
        detail["conflicts"] = conflicts.into();
        detail["immutable"] = immutable.into();
    }
    note_said(&mut detail, said);
    if let Some(push) = tenant.push() {
        detail["push"] = pushes::about(tx, push).await?;
        detail["push"]["by_right_of"] = serde_json::json!(tenant.user());
    }
    let entry = Entry {
        chain: row.target.uuid(),
        team: Some(tenant.team()),
        actor: tenant.actor(),
        action: "deployment.create",
        subject: ("deployment", Some(row.id.uuid())),
        detail,
    };
    Ok(audit::append(tx, &entry, now).await?)
}

/// Refuses a target that nobody serves any more.
pub(super) fn refuse_revoked(servant: &Servant) -> Result<(), OpsError> {
    if servant.target.status != AgentStatus::Revoked && servant.target.agent_id.is_some() {
        return Ok(());
    }
    Err(revoked(servant))
}

fn revoked(servant: &Servant) -> OpsError {
    OpsError::Refused {
        message: format!("the agent of target {} was revoked", servant.target.name),
        remedy: format!(
            "enrol its host again: `towline agents token {}`",
            servant.target.name
        ),
        field: Some("target"),
    }
}

/// Checks the time a deployment may take.
pub(super) fn check_deadline(deadline_s: Option<u32>) -> Result<u32, OpsError> {
    let deadline_s = deadline_s.unwrap_or(DEADLINE_S);
    if (1..=MAX_DEADLINE_S).contains(&deadline_s) {
        return Ok(deadline_s);
    }
    Err(StoreError::Invalid {
        field: "deadline_s",
        message: format!("a deployment may take 1 to {MAX_DEADLINE_S} seconds"),
        remedy: "give another time, or none".to_owned(),
    }
    .into())
}

/// Checks the time a service must stay up.
pub(super) fn check_settle(settle_ms: Option<u32>) -> Result<u32, OpsError> {
    let settle_ms = settle_ms.unwrap_or(SETTLE_MS);
    if settle_ms <= MAX_SETTLE_MS {
        return Ok(settle_ms);
    }
    Err(StoreError::Invalid {
        field: "settle_ms",
        message: format!("a service may be watched for at most {MAX_SETTLE_MS} milliseconds"),
        remedy: "give the service a health check instead".to_owned(),
    }
    .into())
}
