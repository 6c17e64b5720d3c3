//! What a deploy would change.

use axum::Json;
use axum::extract::State;
use http::{HeaderMap, HeaderName, StatusCode};
use serde::Deserialize;
use towline_shared::cluster::{Conflicts, Immutable};
use towline_shared::ids::ProjectId;
use utoipa::ToSchema;

use super::deployments::{Deployment, accepted, idempotency_key};
use super::input::{Body, Id};
use super::problem::Problem;
use super::state::Api;
use crate::domain::cluster::Insistence;
use crate::ops::{self, NewPreview};
use crate::store::Tenant;

/// What to preview.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreatePreview {
    /// The target's id or name.
    target: String,
    /// For which environment (`production`): its secrets outdo those for all environments.
    environment: Option<String>,
    /// For a project that comes from a repository: the branch whose last commit is looked at, instead of its usual one.
    branch: Option<String>,
    /// The very commit, by its whole name, instead of a branch.
    commit: Option<String>,
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

/// Asks the target's agent what a deploy of the project, as it is now, would change there. Nothing is changed. The answer
/// is a deployment of the kind `preview`, whose field `preview` has it when it has succeeded.
#[utoipa::path(post, path = "/projects/{id}/previews", tag = "deployments", operation_id = "create_preview", request_body = CreatePreview,
    params(("id" = uuid::Uuid, Path, description = "The project"),
        ("Idempotency-Key" = Option<String>, Header, description = "Repeating a request with its key changes nothing")),
    responses((status = ACCEPTED, body = Deployment, headers(("Location" = String, description = "The deployment")))))]
pub async fn create(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
    headers: HeaderMap,
    Body(new): Body<CreatePreview>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<Deployment>), Problem> {
    let new = NewPreview {
        project,
        target: new.target,
        environment: new.environment,
        branch: new.branch,
        commit: new.commit,
        deadline_s: new.deadline_s,
        insistence: Insistence::asked(new.conflicts, new.immutable),
    };
    let key = idempotency_key(&headers)?;
    Ok(accepted(
        ops::preview(&api.store, &api.egress, &tenant, new, key).await?,
    ))
}
