//! Deployments: one attempt each to bring a project to a state on a target.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use towline_shared::ids::{DeploymentId, JobId, ProjectId, PushId, ReleaseId, TargetId, UserId};
use towline_shared::outcome::{self, ServiceImage};
use towline_shared::spec::{OnFailure, PinnedImage};
use utoipa::ToSchema;
use uuid::Uuid;

use super::db::{Tx, all, execute, optional};
use super::page::{Listed, Page};
use super::previews::Preview;
use super::{Resource, Result, Store, StoreError, Tenant, counted, stored};
use crate::domain::cluster::Insistence;
use crate::domain::platform::Platform;
use crate::job::JobState;

/// One attempt to bring a project to a state on a target.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Deployment {
    /// The deployment's id.
    #[schema(value_type = Uuid)]
    pub id: DeploymentId,
    /// The project.
    pub project: Named,
    /// Where it goes.
    pub target: Named,
    /// For which environment; its secrets outdo those for all.
    pub environment: Option<String>,
    /// Whether the project comes or goes, images of it are built for another target, or it is only looked what a deploy would change.
    pub kind: DeploymentKind,
    /// Where it is.
    pub status: JobState,
    /// Which step a running one is at (`preparing`, `applying`, `verifying`, `removing`, `cloning`, `building`, `publishing`, `receiving`).
    pub step: Option<String>,
    /// The kind of failure of a failed one.
    pub reason: Option<String>,
    /// What happened and what to do next.
    pub message: Option<String>,
    /// When somebody asked to stop it.
    pub cancel_requested_at: Option<DateTime<Utc>>,
    /// Since when its agent is out of reach; the host may still be working.
    pub agent_offline_since: Option<DateTime<Utc>>,
    /// How often it was offered to an agent.
    pub attempts: u64,
    /// The release it applies.
    #[schema(value_type = Option<Uuid>)]
    pub release_id: Option<ReleaseId>,
    /// The deployment whose release it brings back, with the images that ran then; absent when it is no rollback.
    #[schema(value_type = Option<Uuid>)]
    pub rollback_of: Option<DeploymentId>,
    /// The deployment that builds its images, on another target; absent when they are built where they run, or not at
    /// all.
    #[schema(value_type = Option<Uuid>)]
    pub build_id: Option<DeploymentId>,
    /// What happens on the host when it does not come up: `leave` or `roll_back`.
    #[schema(value_type = String)]
    pub on_failure: OnFailure,
    /// The images that run, when it succeeded.
    pub images: Vec<Image>,
    /// What those are made of that it has built, when it succeeded; not in lists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub built: Vec<BuiltImage>,
    /// What a deploy would have changed, when a preview has succeeded; not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preview: Option<Preview>,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When its agent began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Who asked for it; absent when that person is gone, and when it was a push.
    pub triggered_by: Option<Named>,
    /// The push that it deploys, while that is in the project's list.
    #[schema(value_type = Option<Uuid>)]
    pub push_id: Option<PushId>,
    /// Whom the forge let push, where it deploys a push.
    pub pushed_by: Option<String>,
    /// How many lines its log has; in lists only when it has ended.
    pub log_lines: Option<u64>,
    /// The job that carries it out, under whose topic its log wakes.
    #[serde(skip)]
    pub job: JobId,
}

/// Something by its id and name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Named {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
}

impl Named {
    /// What a join has found, or nothing.
    pub(super) fn both(id: Option<Uuid>, name: Option<String>) -> Option<Self> {
        id.zip(name).map(|(id, name)| Self { id, name })
    }
}

/// What a deployment does to a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeploymentKind {
    /// It is brought to the state of its files.
    Deploy,
    /// It is taken away.
    Remove,
    /// Images of it are built, for a deployment to another target.
    Build,
    /// What a deploy would change is looked at; nothing is changed.
    Preview,
}

impl DeploymentKind {
    /// The name in the API and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Remove => "remove",
            Self::Build => "build",
            Self::Preview => "preview",
        }
    }
}

/// The image of one service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Image {
    /// The service in the compose file.
    pub service: String,
    /// The image as the compose file names it.
    pub reference: String,
    /// The engine's image id.
    pub id: String,
    /// Under which digests registries have it; none for one that was built on the host.
    #[serde(default)]
    pub digests: Vec<String>,
}

/// What an image that was built is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BuiltImage {
    /// The service in the compose file.
    pub service: String,
    /// The engine's image id.
    pub id: String,
    /// What it takes on the disk of the host that built it, in bytes.
    pub size: u64,
    /// Its layers, the lowest first.
    pub layers: Vec<Layer>,
}

/// A layer of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Layer {
    /// The digest of its plain bytes (`sha256:…`).
    pub digest: String,
    /// Its plain bytes, where the engine tells.
    pub size: Option<u64>,
    /// The instruction that made it, where the engine tells; else empty.
    pub made_by: String,
}

impl From<&outcome::BuiltImage> for BuiltImage {
    fn from(image: &outcome::BuiltImage) -> Self {
        let layers = image.layers.iter().map(|layer| Layer {
            digest: layer.digest.clone(),
            size: layer.size,
            made_by: layer.made_by.clone(),
        });
        Self {
            service: image.service.clone(),
            id: image.id.clone(),
            size: image.size,
            layers: layers.collect(),
        }
    }
}

impl From<&ServiceImage> for Image {
    fn from(image: &ServiceImage) -> Self {
        Self {
            service: image.service.clone(),
            reference: image.reference.clone(),
            id: image.id.clone(),
            digests: Vec::new(),
        }
    }
}

impl From<&PinnedImage> for Image {
    fn from(image: &PinnedImage) -> Self {
        Self {
            service: image.service.clone(),
            reference: image.reference.clone(),
            id: image.id.clone(),
            digests: image.digests.clone(),
        }
    }
}

impl From<Image> for PinnedImage {
    fn from(image: Image) -> Self {
        Self {
            service: image.service,
            reference: image.reference,
            id: image.id,
            digests: image.digests,
        }
    }
}

/// Which deployments are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeploymentFilter {
    /// Of this project only.
    pub project: Option<ProjectId>,
    /// To this target only.
    pub target: Option<TargetId>,
    /// In this state only.
    pub status: Option<JobState>,
}

/// The columns of [`Row`], before the condition. What previews have found is for who asks for one.
macro_rules! select_deployments {
    ($rest:literal) => {
        select_deployments!("d.preview, d.built", $rest)
    };
    ($preview:literal, $rest:literal) => {
        concat!(
            "SELECT d.id, d.project_id, p.name AS project_name, d.target_id, t.name AS target_name, d.environment, d.kind, d.status,
                d.step, d.reason, d.message, d.cancel_requested_at, d.agent_offline_since, d.attempts, d.release_id,
                d.rollback_of, d.on_failure, d.images, d.created_at, d.started_at, d.finished_at, u.id AS user_id, u.name AS user_name,
                d.log_lines, d.log, d.push_id, d.pushed_by, ",
            $preview,
            ", (SELECT b.deployment_id FROM jobs b WHERE b.builds_for = d.id) AS build_id
             FROM deployments d JOIN projects p ON p.id = d.project_id JOIN deployment_targets t ON t.id = d.target_id
             LEFT JOIN users u ON u.id = d.triggered_by
             ",
            $rest
        )
    };
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    project_id: Uuid,
    project_name: String,
    target_id: Uuid,
    target_name: String,
    environment: Option<String>,
    kind: String,
    status: String,
    step: Option<String>,
    reason: Option<String>,
    message: Option<String>,
    cancel_requested_at: Option<DateTime<Utc>>,
    agent_offline_since: Option<DateTime<Utc>>,
    attempts: i64,
    release_id: Option<Uuid>,
    rollback_of: Option<Uuid>,
    on_failure: String,
    images: Option<Json<Vec<Image>>>,
    created_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    user_id: Option<Uuid>,
    user_name: Option<String>,
    log_lines: Option<i64>,
    log: Uuid,
    build_id: Option<Uuid>,
    push_id: Option<Uuid>,
    pushed_by: Option<String>,
    preview: Option<Json<Preview>>,
    built: Option<Json<Vec<BuiltImage>>>,
}

impl TryFrom<Row> for Deployment {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self> {
        let status = row
            .status
            .parse()
            .map_err(|error| StoreError::Damaged(format!("{error}")))?;
        let named = |id, name| Named { id, name };
        Ok(Self {
            id: row.id.into(),
            project: named(row.project_id, row.project_name),
            target: named(row.target_id, row.target_name),
            environment: row.environment,
            kind: match row.kind.as_str() {
                "remove" => DeploymentKind::Remove,
                "build" => DeploymentKind::Build,
                "preview" => DeploymentKind::Preview,
                _ => DeploymentKind::Deploy,
            },
            status,
            step: row.step,
            reason: row.reason,
            message: row.message,
            cancel_requested_at: row.cancel_requested_at,
            agent_offline_since: row.agent_offline_since,
            attempts: counted(row.attempts),
            release_id: row.release_id.map(Into::into),
            rollback_of: row.rollback_of.map(Into::into),
            build_id: row.build_id.map(Into::into),
            on_failure: on_failure(&row.on_failure),
            images: row.images.map(|Json(images)| images).unwrap_or_default(),
            created_at: row.created_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
            triggered_by: Named::both(row.user_id, row.user_name),
            push_id: row.push_id.map(Into::into),
            pushed_by: row.pushed_by,
            preview: row.preview.map(|Json(preview)| preview),
            built: row.built.map(|Json(built)| built).unwrap_or_default(),
            log_lines: row.log_lines.map(counted),
            job: row.log.into(),
        })
    }
}

/// The name in the API and the database.
pub(crate) const fn on_failure_name(on_failure: OnFailure) -> &'static str {
    match on_failure {
        OnFailure::Leave => "leave",
        OnFailure::RollBack => "roll_back",
    }
}

pub(super) fn on_failure(name: &str) -> OnFailure {
    match name {
        "roll_back" => OnFailure::RollBack,
        _ => OnFailure::Leave,
    }
}

/// The statement of a list, with the condition whose index is entered: neither database would choose one by parameters
/// that may be absent.
macro_rules! list_deployments {
    ($first:literal) => {
        concat!(
            select_deployments!("NULL AS preview, NULL AS built", "WHERE d.team_id = $1 AND "),
            $first,
            " AND d.id < $2 AND ($3 IS NULL OR d.project_id = $3) AND ($4 IS NULL OR d.target_id = $4)
                AND ($5 IS NULL OR d.status = $5)
             ORDER BY d.id DESC LIMIT $6"
        )
    };
}

impl DeploymentFilter {
    pub(super) const fn statement(&self) -> &'static str {
        match self {
            Self {
                project: Some(_), ..
            } => list_deployments!("d.project_id = $3"),
            Self {
                target: Some(_), ..
            } => list_deployments!("d.target_id = $4"),
            Self {
                status: Some(_), ..
            } => list_deployments!("d.status = $5"),
            _ => list_deployments!("TRUE"),
        }
    }
}

impl Store {
    /// One deployment, with the length that its log has now.
    pub async fn deployment(&self, tenant: &Tenant, id: DeploymentId) -> Result<Deployment> {
        let mut deployment = self.deployment_row(tenant, id).await?;
        if deployment.log_lines.is_none() {
            deployment.log_lines = Some(self.log_position(deployment.job).await?.next_line);
        }
        Ok(deployment)
    }

    /// One deployment as it stands in the main database.
    pub(crate) async fn deployment_row(
        &self,
        tenant: &Tenant,
        id: DeploymentId,
    ) -> Result<Deployment> {
        let mut reader = self.main().read().await?;
        let row = optional!(
            reader.conn(),
            Row,
            select_deployments!("WHERE d.id = $1 AND d.team_id = $2"),
            id.uuid(),
            tenant.team().uuid()
        )?;
        row.ok_or(StoreError::NotFound(Resource::Deployment))?
            .try_into()
    }

    /// The team's deployments.
    pub async fn list_deployments(
        &self,
        tenant: &Tenant,
        filter: &DeploymentFilter,
        page: Page,
    ) -> Result<Listed<Deployment>> {
        let mut reader = self.main().read().await?;
        let rows = all!(
            reader.conn(),
            Row,
            filter.statement(),
            tenant.team().uuid(),
            page.before(),
            filter.project.map(ProjectId::uuid),
            filter.target.map(TargetId::uuid),
            filter.status.map(JobState::as_str),
            page.fetch()
        )?;
        let deployments = rows
            .into_iter()
            .map(Deployment::try_from)
            .collect::<Result<Vec<_>>>()?;
        Ok(page.cut(deployments, |deployment| deployment.id.uuid()))
    }

    /// How a deployment was asked for, to ask for it again.
    pub(crate) async fn deployment_terms(
        &self,
        tenant: &Tenant,
        id: DeploymentId,
    ) -> Result<Terms> {
        let mut reader = self.main().read().await?;
        let terms = optional!(
            reader.conn(),
            Terms,
            "SELECT d.settle_ms, d.deadline_s, d.interruption, d.volumes, d.environment, d.rollback_of, d.on_failure, d.conflicts, d.immutable,
                (SELECT b.target_id FROM jobs b WHERE b.builds_for = d.id) AS built_on
             FROM deployments d WHERE d.id = $1 AND d.team_id = $2",
            id.uuid(),
            tenant.team().uuid()
        )?;
        terms.ok_or(StoreError::NotFound(Resource::Deployment))
    }
}

impl Terms {
    /// The deployment that it brought back.
    pub(crate) fn rollback_of(&self) -> Option<DeploymentId> {
        self.rollback_of.map(Into::into)
    }

    /// The target whose agent has built its images for it.
    pub(crate) fn built_on(&self) -> Option<TargetId> {
        self.built_on.map(Into::into)
    }

    /// What was to happen if it did not come up.
    pub(crate) fn on_failure(&self) -> OnFailure {
        on_failure(&self.on_failure)
    }

    /// What it was to do about what stood in its way in a cluster.
    pub(crate) fn insistence(&self) -> Insistence {
        Insistence::named(&self.conflicts, &self.immutable)
    }
}

/// A deployment as it is in a transaction that changes it.
pub(super) async fn in_transaction(tx: &mut Tx, id: DeploymentId) -> Result<Deployment> {
    let sql = select_deployments!("WHERE d.id = $1");
    let row = optional!(tx.conn(), Row, sql, id.uuid())?;
    row.ok_or(StoreError::NotFound(Resource::Deployment))?
        .try_into()
}

/// How a deployment was asked for.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct Terms {
    pub(crate) settle_ms: i64,
    pub(crate) deadline_s: i64,
    pub(crate) interruption: String,
    pub(crate) volumes: Option<String>,
    pub(crate) environment: Option<String>,
    rollback_of: Option<Uuid>,
    on_failure: String,
    conflicts: String,
    immutable: String,
    built_on: Option<Uuid>,
}

/// A new deployment's row.
pub(crate) struct NewRow<'a> {
    pub(crate) id: DeploymentId,
    pub(crate) job: JobId,
    pub(crate) project: ProjectId,
    pub(crate) target: TargetId,
    pub(crate) release: Option<ReleaseId>,
    pub(crate) environment: Option<&'a str>,
    pub(crate) kind: DeploymentKind,
    pub(crate) settle_ms: u32,
    pub(crate) deadline_s: u32,
    pub(crate) interruption: &'a str,
    pub(crate) volumes: Option<&'a str>,
    pub(crate) triggered_by: Option<UserId>,
    pub(crate) push: Option<PushId>,
    pub(crate) retry_of: Option<DeploymentId>,
    pub(crate) rollback_of: Option<DeploymentId>,
    pub(crate) on_failure: OnFailure,
    pub(crate) platform: Platform,
    pub(crate) insistence: Insistence,
}

pub(crate) async fn insert(
    tx: &mut Tx,
    tenant: &Tenant,
    row: &NewRow<'_>,
    now: DateTime<Utc>,
) -> Result<()> {
    let (conflicts, immutable) = row.insistence.names();
    execute!(
        tx.conn(),
        "INSERT INTO deployments (id, team_id, project_id, target_id, release_id, kind, status, log,
            settle_ms, deadline_s, interruption, volumes, attempts, triggered_by, retry_of, environment, created_at,
            updated_at, rollback_of, on_failure, push_id, pushed_by, platform, conflicts, immutable)
         VALUES ($1, $2, $3, $4, $5, $6, 'queued', $7, $8, $9, $10, $11, 0, $12, $13, $14, $15, $15, $16, $17,
            $18, (SELECT s.sender FROM pushes s WHERE s.id = $18), $19, $20, $21)",
        row.id.uuid(),
        tenant.team().uuid(),
        row.project.uuid(),
        row.target.uuid(),
        row.release.map(ReleaseId::uuid),
        row.kind.as_str(),
        row.job.uuid(),
        stored(row.settle_ms.into()),
        stored(row.deadline_s.into()),
        row.interruption,
        row.volumes,
        row.triggered_by.map(UserId::uuid),
        row.retry_of.map(DeploymentId::uuid),
        row.environment,
        now,
        row.rollback_of.map(DeploymentId::uuid),
        on_failure_name(row.on_failure),
        row.push.map(PushId::uuid),
        row.platform.as_str(),
        conflicts,
        immutable
    )?;
    Ok(())
}
