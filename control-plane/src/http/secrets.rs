//! Write-only values of a project.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use towline_shared::ids::ProjectId;
use utoipa::ToSchema;

use super::input::{Body, Id, Query, Segment};
use super::page::{PageQuery, whole};
use super::problem::Problem;
use super::state::Api;
use crate::store::secrets::MAX_VALUE;
use crate::store::{Listed, SecretEntry, Tenant};

/// The most bytes of a request: in JSON a byte of a value takes up to six (`\u0001`).
pub const MAX_BODY: usize = 6 * MAX_VALUE + 1024;

/// A value to set.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutSecret {
    /// The value. It is never shown again.
    #[schema(write_only)]
    value: String,
}

/// The names of a project's secrets.
#[utoipa::path(get, path = "/projects/{id}/secrets", tag = "projects", operation_id = "list_secrets",
    params(("id" = Uuid, Path, description = "The project"), PageQuery),
    responses((status = OK, body = Listed<SecretEntry>)))]
pub async fn list(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Listed<SecretEntry>>, Problem> {
    query.page()?;
    Ok(Json(whole(api.store.list_secrets(&tenant, project).await?)))
}

/// Sets a secret; the next deployment gets it.
#[utoipa::path(put, path = "/projects/{id}/secrets/{key}", tag = "projects", operation_id = "put_secret", request_body = PutSecret,
    params(("id" = Uuid, Path, description = "The project"), ("key" = String, Path, description = "Its name")),
    responses((status = OK, body = SecretEntry)))]
pub async fn put(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
    Segment(key): Segment,
    Body(secret): Body<PutSecret>,
) -> Result<Json<SecretEntry>, Problem> {
    Ok(Json(
        api.store
            .put_secret(&tenant, project, &key, &secret.value)
            .await?,
    ))
}

/// Takes a secret away.
#[utoipa::path(delete, path = "/projects/{id}/secrets/{key}", tag = "projects", operation_id = "delete_secret",
    params(("id" = Uuid, Path, description = "The project"), ("key" = String, Path, description = "Its name")),
    responses((status = NO_CONTENT)))]
pub async fn delete(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
    Segment(key): Segment,
) -> Result<StatusCode, Problem> {
    api.store.delete_secret(&tenant, project, &key).await?;
    Ok(StatusCode::NO_CONTENT)
}
