//! The releases of a project, what differs between them, and going back to one.

use axum::Json;
use axum::extract::{Path, State};
use http::{HeaderMap, HeaderName, StatusCode};
use serde::{Deserialize, Serialize};
use towline_shared::cluster::{Conflicts, Immutable};
use towline_shared::ids::{ProjectId, ReleaseId};
use utoipa::ToSchema;
use uuid::Uuid;

use super::deployments::{Deployment, accepted, idempotency_key};
use super::input::{Body, Id, Query};
use super::page::PageQuery;
use super::problem::{Problem, ProblemDocument};
use super::state::Api;
use crate::domain::cluster::Insistence;
use crate::domain::release_diff::ReleaseDiff;
use crate::ops::{self, NewRollback};
use crate::store::{Listed, Release, Resource, Tenant};

/// What to go back to, and how.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateRollback {
    /// The target's id or name; it may be left out when the project was deployed to one alone.
    target: Option<String>,
    /// The deployment to go back to, or the release, as it ran last; the release before the present one when left out.
    to: Option<Uuid>,
    /// How long a service without a health check must stay up to count as running, in milliseconds.
    settle_ms: Option<u32>,
    /// How long it may take before it counts as failed, in seconds.
    deadline_s: Option<u32>,
    /// What happens on a cluster to fields that belong to another manager: `refuse`, the default, or `force`.
    #[schema(value_type = Option<String>)]
    conflicts: Option<Conflicts>,
    /// What happens on a cluster to an object that has other values in fields that never change: `refuse`, the default, or
    /// `replace`.
    #[schema(value_type = Option<String>)]
    immutable: Option<Immutable>,
}

/// A rollback that was queued.
#[derive(Debug, Serialize, ToSchema)]
pub struct RolledBack {
    #[serde(flatten)]
    #[allow(
        missing_docs,
        reason = "the fields of the deployment describe themselves"
    )]
    deployment: Deployment,
    /// What is not as it was: secrets that have changed since or are gone, and contents of named volumes. The log of
    /// the deployment says so, too.
    warnings: Vec<String>,
}

pub(super) type Accepted = (StatusCode, [(HeaderName, String); 1], Json<RolledBack>);

/// Deploys an earlier release again, with the very images that it ran, whatever their names lead to today; secrets
/// take the values of today.
#[utoipa::path(post, path = "/projects/{id}/rollback", tag = "deployments", operation_id = "roll_back", request_body = CreateRollback,
    params(("id" = Uuid, Path, description = "The project"),
        ("Idempotency-Key" = Option<String>, Header, description = "Repeating a request with its key changes nothing")),
    responses((status = ACCEPTED, body = RolledBack, headers(("Location" = String, description = "The deployment"))),
        (status = FORBIDDEN, body = ProblemDocument, content_type = "application/problem+json",
            description = "The role does not allow it, `plugin_veto`, or `quota_exceeded`: the plan allows no more deployments today (`limit`, `used`, `resets_at`)")))]
pub async fn roll_back(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
    headers: HeaderMap,
    Body(new): Body<CreateRollback>,
) -> Result<Accepted, Problem> {
    let new = NewRollback {
        project,
        target: new.target,
        to: new.to,
        settle_ms: new.settle_ms,
        deadline_s: new.deadline_s,
        insistence: Insistence::asked(new.conflicts, new.immutable),
    };
    let key = idempotency_key(&headers)?;
    Ok(rolled_back(
        ops::rollback(&api.store, &api.egress, &tenant, new, key).await?,
    ))
}

pub(super) fn rolled_back(done: ops::RolledBack) -> Accepted {
    let (status, location, Json(deployment)) = accepted(done.deployment);
    let warnings = done.warnings;
    let answer = RolledBack {
        deployment,
        warnings,
    };
    (status, location, Json(answer))
}

/// The releases of a project, newest first.
#[utoipa::path(get, path = "/projects/{id}/releases", tag = "deployments", operation_id = "list_releases",
    params(("id" = Uuid, Path, description = "The project"), PageQuery), responses((status = OK, body = Listed<Release>)))]
pub async fn list(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Listed<Release>>, Problem> {
    let page = query.page()?;
    Ok(Json(api.store.list_releases(&tenant, project, page).await?))
}

/// A release.
#[utoipa::path(get, path = "/projects/{id}/releases/{release}", tag = "deployments", operation_id = "show_release",
    params(("id" = Uuid, Path, description = "The project"), ("release" = Uuid, Path, description = "The release")),
    responses((status = OK, body = Release)))]
pub async fn show(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
    Path(named): Path<Named>,
) -> Result<Json<Release>, Problem> {
    let release = ReleaseId::from(id(&named.release)?);
    let shown = api.store.shown_release(&tenant, project, release);
    Ok(Json(shown.await?))
}

/// What differs between two releases: files, images and versions of secrets. In the place of a release, a deployment of
/// it says which images are meant.
#[utoipa::path(get, path = "/projects/{id}/releases/{release}/diff/{other}", tag = "deployments", operation_id = "diff_releases",
    params(("id" = Uuid, Path, description = "The project"),
        ("release" = Uuid, Path, description = "The release, or deployment, to begin with"),
        ("other" = Uuid, Path, description = "The release, or deployment, to compare it with")),
    responses((status = OK, body = ReleaseDiff)))]
pub async fn diff(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
    Path(named): Path<Pair>,
) -> Result<Json<ReleaseDiff>, Problem> {
    let pair = (id(&named.release)?, id(&named.other)?);
    let diff = ops::diff_releases(&api.store, &tenant, project, pair);
    Ok(Json(diff.await?))
}

/// The release in the path.
#[derive(Debug, Deserialize)]
pub struct Named {
    release: String,
}

/// The two in the path.
#[derive(Debug, Deserialize)]
pub struct Pair {
    release: String,
    other: String,
}

/// What is no id names nothing that there is.
fn id(text: &str) -> Result<Uuid, Problem> {
    text.parse()
        .map_err(|_| Problem::not_found(Resource::Release))
}
