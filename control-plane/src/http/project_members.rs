//! Roles on single projects.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use towline_shared::ids::ProjectId;

use super::input::{Body, Id, MemberId, Query};
use super::members::ChangeRole;
use super::page::PageQuery;
use super::problem::Problem;
use super::state::Api;
use crate::store::{Listed, ProjectMember, Tenant};

/// Who has a role on the project by itself. Members of the team are there anyhow.
#[utoipa::path(get, path = "/projects/{id}/members", tag = "team", operation_id = "list_project_members",
    params(("id" = Uuid, Path, description = "The project"), PageQuery), responses((status = OK, body = Listed<ProjectMember>)))]
pub async fn list(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Listed<ProjectMember>>, Problem> {
    let page = query.page()?;
    Ok(Json(
        api.store
            .list_project_members(&tenant, project, page)
            .await?,
    ))
}

/// Gives a member of the team, or somebody who has another project of it, a role on the project: `admin`,
/// `developer` or `viewer`. The higher of this one and the one in the team counts. Others are invited.
#[utoipa::path(put, path = "/projects/{id}/members/{member}", tag = "team", operation_id = "set_project_role",
    params(("id" = Uuid, Path, description = "The project"), ("member" = Uuid, Path, description = "The person")),
    request_body = ChangeRole, responses((status = OK, body = ProjectMember)))]
pub async fn put(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
    MemberId(user): MemberId,
    Body(to): Body<ChangeRole>,
) -> Result<Json<ProjectMember>, Problem> {
    let set = api
        .store
        .set_project_role(&tenant, project, user, to.role());
    Ok(Json(set.await?))
}

/// Takes somebody's role on the project, or gives up one's own. Who has nothing else of the team loses their API
/// keys for it at once.
#[utoipa::path(delete, path = "/projects/{id}/members/{member}", tag = "team", operation_id = "remove_project_member",
    params(("id" = Uuid, Path, description = "The project"), ("member" = Uuid, Path, description = "The person")),
    responses((status = NO_CONTENT)))]
pub async fn remove(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
    MemberId(user): MemberId,
) -> Result<StatusCode, Problem> {
    api.store
        .remove_project_member(&tenant, project, user)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
