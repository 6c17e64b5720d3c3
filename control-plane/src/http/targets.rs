//! Where deploys go.

use axum::Json;
use axum::extract::State;
use towline_shared::ids::TargetId;

use super::input::{Id, Query};
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
