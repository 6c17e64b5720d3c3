//! Generated files, delivered to the repository that a project comes from.

use axum::Json;
use axum::extract::State;
use towline_shared::ids::ProjectId;

use super::input::Id;
use super::problem::Problem;
use super::state::Api;
use crate::ops::{self, Delivery};
use crate::store::Tenant;

/// Delivers the project's generated files, as people have made them since, to its repository: one commit on a branch of Towline's own, with
/// those alone that differ there, and a pull request. While that is open it is the one that gets another commit.
#[utoipa::path(post, path = "/projects/{id}/pull-request", tag = "projects", operation_id = "deliver_files",
    params(("id" = Uuid, Path, description = "The project")), responses((status = OK, body = Delivery)))]
pub async fn deliver(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
) -> Result<Json<Delivery>, Problem> {
    let delivered = ops::deliver_files(&api.store, &api.egress, &tenant, project);
    Ok(Json(delivered.await?))
}
