//! Attempts to bring a project to a state on a target.

use axum::Json;
use axum::extract::State;
use http::{HeaderMap, HeaderName, StatusCode, header};
use serde::{Deserialize, Serialize};
use towline_shared::cluster::{Conflicts, Immutable};
use towline_shared::ids::{DeploymentId, ProjectId, TargetId};
use towline_shared::spec::{Interruption, OnFailure, VolumeFate};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::input::{Body, Id, Query};
use super::page::page;
use super::problem::{Problem, ProblemDocument};
use super::router::API;
use super::rule;
use super::state::Api;
use crate::domain::cluster::Insistence;
use crate::job::JobState;
use crate::ops::{self, NewDeployment, NewRemoval};
use crate::store::{self, DeploymentFilter, Listed, Tenant};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The longest idempotency key.
const MAX_IDEMPOTENCY_KEY: usize = 200;

/// A deployment and where its log is.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Deployment {
    #[serde(flatten)]
    #[allow(
        missing_docs,
        reason = "the fields of the deployment describe themselves"
    )]
    pub deployment: store::Deployment,
    /// Its log.
    pub log: LogPlace,
}

/// Where a log is, and how long it is by now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct LogPlace {
    /// How many lines it has by now; in lists only when the deployment has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    lines: Option<u64>,
    /// Its path on this server.
    url: String,
}

impl From<store::Deployment> for Deployment {
    fn from(deployment: store::Deployment) -> Self {
        let untouched = deployment.status == JobState::Queued
            && deployment.attempts == 0
            && deployment.rollback_of.is_none()
            && deployment.build_id.is_none();
        let log = LogPlace {
            lines: deployment.log_lines.or(untouched.then_some(0)),
            url: format!("{API}/deployments/{}/log", deployment.id),
        };
        Self { deployment, log }
    }
}

/// What to deploy, and how.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateDeployment {
    /// The target's id or name.
    target: String,
    /// For which environment (`production`): its secrets outdo those for all environments.
    environment: Option<String>,
    /// How long a service without a health check must stay up to count as running, in milliseconds.
    settle_ms: Option<u32>,
    /// How long the deployment may take before it counts as failed, in seconds.
    deadline_s: Option<u32>,
    /// What happens when the agent dies in the middle: `resume`, `fail` or `requeue_if_not_started`.
    #[schema(value_type = Option<String>)]
    interruption: Option<Interruption>,
    /// For a project that comes from a repository: the branch whose last commit is deployed, instead of its usual one.
    branch: Option<String>,
    /// The very commit, by its whole name, instead of a branch.
    commit: Option<String>,
    /// What happens on the host when it does not come up: `leave`, the default, or `roll_back`, which brings back what
    /// ran before.
    #[schema(value_type = Option<String>)]
    on_failure: Option<OnFailure>,
    /// The id or name of a target whose host builds the images, or `label:` and a label, of which the idlest host that can
    /// is chosen; they come to this one over the control plane. Without it they are built where they run.
    build_on: Option<String>,
    /// What happens on a cluster to fields that belong to another manager: `refuse`, the default, with which nothing is changed,
    /// or `force`, which takes them from it.
    #[schema(value_type = Option<String>)]
    conflicts: Option<Conflicts>,
    /// What happens on a cluster to an object that has other values in fields that never change: `refuse`, the default, with
    /// which nothing is changed, or `replace`, which deletes it with all that belongs to it, and makes it anew.
    #[schema(value_type = Option<String>)]
    immutable: Option<Immutable>,
}

/// What to take away.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateRemoval {
    /// The target's id or name.
    target: String,
    /// What happens to named volumes: `keep`, the default, or `delete`.
    #[schema(value_type = Option<String>)]
    volumes: Option<VolumeFate>,
    /// How long the removal may take before it counts as failed, in seconds.
    deadline_s: Option<u32>,
}

/// Which deployments.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeploymentQuery {
    /// Of this project only.
    project: Option<Uuid>,
    /// On this target only.
    target: Option<Uuid>,
    /// With this status only.
    status: Option<String>,
    /// How many items at most, 1 to 200; 50 when left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `next_cursor` of the page before; left out for the first page.
    cursor: Option<Uuid>,
}

type Accepted = (StatusCode, [(HeaderName, String); 1], Json<Deployment>);

/// Deploys a project's files, as they are now, to a target; over a commit, where the project comes from a repository.
#[utoipa::path(post, path = "/projects/{id}/deployments", tag = "deployments", operation_id = "create_deployment", request_body = CreateDeployment,
    params(("id" = Uuid, Path, description = "The project"),
        ("Idempotency-Key" = Option<String>, Header, description = "Repeating a request with its key changes nothing")),
    responses((status = ACCEPTED, body = Deployment, headers(("Location" = String, description = "The deployment"))),
        (status = FORBIDDEN, body = ProblemDocument, content_type = "application/problem+json",
            description = "The role does not allow it, `plugin_veto`, or `quota_exceeded`: the plan allows no more deployments today (`limit`, `used`, `resets_at`)")))]
pub async fn create(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
    headers: HeaderMap,
    Body(new): Body<CreateDeployment>,
) -> Result<Accepted, Problem> {
    let new = NewDeployment {
        project,
        target: new.target,
        environment: new.environment,
        settle_ms: new.settle_ms,
        deadline_s: new.deadline_s,
        interruption: new.interruption,
        branch: new.branch,
        commit: new.commit,
        on_failure: new.on_failure,
        build_on: new.build_on,
        insistence: Insistence::asked(new.conflicts, new.immutable),
    };
    let key = idempotency_key(&headers)?;
    Ok(accepted(
        ops::deploy(&api.store, &api.egress, &tenant, new, key).await?,
    ))
}

/// Takes a deployed project away from a target.
#[utoipa::path(post, path = "/projects/{id}/removals", tag = "deployments", operation_id = "create_removal", request_body = CreateRemoval,
    params(("id" = Uuid, Path, description = "The project"),
        ("Idempotency-Key" = Option<String>, Header, description = "Repeating a request with its key changes nothing")),
    responses((status = ACCEPTED, body = Deployment, headers(("Location" = String, description = "The deployment")))))]
pub async fn remove(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
    headers: HeaderMap,
    Body(new): Body<CreateRemoval>,
) -> Result<Accepted, Problem> {
    let new = NewRemoval {
        project,
        target: new.target,
        volumes: new.volumes.unwrap_or(VolumeFate::Keep),
        deadline_s: new.deadline_s,
    };
    let key = idempotency_key(&headers)?;
    Ok(accepted(ops::remove(&api.store, &tenant, new, key).await?))
}

/// The team's deployments, newest first.
#[utoipa::path(get, path = "/deployments", tag = "deployments", operation_id = "list_deployments", params(DeploymentQuery),
    responses((status = OK, body = Listed<Deployment>)))]
pub async fn list(
    State(api): State<Api>,
    tenant: Tenant,
    Query(query): Query<DeploymentQuery>,
) -> Result<Json<Listed<Deployment>>, Problem> {
    let filter = DeploymentFilter {
        project: rule::narrow(&tenant, query.project.map(ProjectId::from))?,
        target: query.target.map(TargetId::from),
        status: query.status.as_deref().map(status).transpose()?,
    };
    let listed = api
        .store
        .list_deployments(&tenant, &filter, page(query.limit, query.cursor)?)
        .await?;
    Ok(Json(Listed {
        items: listed.items.into_iter().map(Deployment::from).collect(),
        next_cursor: listed.next_cursor,
    }))
}

/// A deployment.
#[utoipa::path(get, path = "/deployments/{id}", tag = "deployments", operation_id = "show_deployment",
    params(("id" = Uuid, Path, description = "The deployment")), responses((status = OK, body = Deployment)))]
pub async fn show(
    State(api): State<Api>,
    tenant: Tenant,
    Id(deployment): Id<DeploymentId>,
) -> Result<Json<Deployment>, Problem> {
    Ok(Json(
        api.store.deployment(&tenant, deployment).await?.into(),
    ))
}

/// Asks for a deployment to be cancelled. One that has ended stays as it ended.
#[utoipa::path(post, path = "/deployments/{id}/cancel", tag = "deployments", operation_id = "cancel_deployment",
    params(("id" = Uuid, Path, description = "The deployment")), responses((status = OK, body = Deployment)))]
pub async fn cancel(
    State(api): State<Api>,
    tenant: Tenant,
    Id(deployment): Id<DeploymentId>,
) -> Result<Json<Deployment>, Problem> {
    Ok(Json(
        ops::cancel(&api.store, &tenant, deployment).await?.into(),
    ))
}

/// Does the same once more, as a new deployment, with the secrets of today.
#[utoipa::path(post, path = "/deployments/{id}/retry", tag = "deployments", operation_id = "retry_deployment",
    params(("id" = Uuid, Path, description = "The deployment")),
    responses((status = ACCEPTED, body = Deployment, headers(("Location" = String, description = "The deployment"))),
        (status = FORBIDDEN, body = ProblemDocument, content_type = "application/problem+json",
            description = "The role does not allow it, `plugin_veto`, or `quota_exceeded`: the plan allows no more deployments today (`limit`, `used`, `resets_at`)")))]
pub async fn retry(
    State(api): State<Api>,
    tenant: Tenant,
    Id(deployment): Id<DeploymentId>,
) -> Result<Accepted, Problem> {
    Ok(accepted(
        ops::retry(&api.store, &api.egress, &tenant, deployment).await?,
    ))
}

/// The answer to what was queued.
pub(super) fn accepted(deployment: store::Deployment) -> Accepted {
    let location = format!("{API}/deployments/{}", deployment.id);
    (
        StatusCode::ACCEPTED,
        [(header::LOCATION, location)],
        Json(deployment.into()),
    )
}

fn status(text: &str) -> Result<JobState, Problem> {
    text.parse()
        .map_err(|_| Problem::invalid("status", format!("{text:?} is no status of a deployment")))
}

/// The key under which a request is done once.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(key) if (1..=MAX_IDEMPOTENCY_KEY).contains(&key.len()) => Ok(Some(key)),
        _ => Err(Problem::invalid(
            "Idempotency-Key",
            format!("it must have 1 to {MAX_IDEMPOTENCY_KEY} visible ASCII characters"),
        )),
    }
}
