//! Where deploys go.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use towline_shared::ids::TargetId;
use utoipa::ToSchema;

use super::input::{Body, Id, Query};
use super::page::PageQuery;
use super::problem::Problem;
use super::state::Api;
use crate::store::{Listed, Target, Tenant};

/// The team's targets.
#[utoipa::path(get, path = "/targets", tag = "targets", operation_id = "list_targets", params(PageQuery),
    responses((status = OK, body = Listed<Target>)))]
pub async fn list(
    State(api): State<Api>,
    tenant: Tenant,
    Query(query): Query<PageQuery>,
) -> Result<Json<Listed<Target>>, Problem> {
    Ok(Json(api.store.list_targets(&tenant, query.page()?).await?))
}

/// A target.
#[utoipa::path(get, path = "/targets/{id}", tag = "targets", operation_id = "show_target", params(("id" = Uuid, Path, description = "The target")),
    responses((status = OK, body = Target)))]
pub async fn show(
    State(api): State<Api>,
    tenant: Tenant,
    Id(target): Id<TargetId>,
) -> Result<Json<Target>, Problem> {
    Ok(Json(api.store.target(&tenant, target).await?))
}

/// What a target's host is for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetLabels {
    /// All its labels, at most 16 of 1 to 40 lower-case letters, digits and hyphens.
    #[schema(example = json!(["builder"]))]
    labels: Vec<String>,
}

/// Gives a target labels, in place of those that it has. Hosts with the label `builder` are there to build for others.
#[utoipa::path(put, path = "/targets/{id}/labels", tag = "targets", operation_id = "set_target_labels", request_body = SetLabels,
    params(("id" = Uuid, Path, description = "The target")), responses((status = OK, body = Target)))]
pub async fn set_labels(
    State(api): State<Api>,
    tenant: Tenant,
    Id(target): Id<TargetId>,
    Body(set): Body<SetLabels>,
) -> Result<Json<Target>, Problem> {
    let set = api.store.set_target_labels(&tenant, target, set.labels);
    Ok(Json(set.await?))
}
