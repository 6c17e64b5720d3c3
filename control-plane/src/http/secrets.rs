//! Write-only values of a project.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use towline_shared::ids::ProjectId;
use utoipa::{IntoParams, ToSchema};

use super::input::{Body, Id, Query, Segment};
use super::page::{PageQuery, whole};
use super::problem::Problem;
use super::state::Api;
use crate::domain::secrets::{SecretName, SecretScope};
use crate::store::secrets::MAX_VALUE;
use crate::store::{Listed, SecretEntry, SecretVersion, Tenant};

/// The most bytes of a request: in JSON a byte of a value takes up to six (`\u0001`).
pub const MAX_BODY: usize = 6 * MAX_VALUE + 1024;

/// A value to set.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutSecret {
    /// The value. It is never shown again.
    #[schema(write_only)]
    value: String,
    /// What it is given to: `deploy`, the default, `build` or `pipeline`.
    #[serde(default)]
    scope: SecretScope,
    /// For which environment (`production`); left out, for all that have no value of their own.
    environment: Option<String>,
}

/// A former value to use again.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RestoreSecret {
    /// The version that had the value.
    version: i64,
    /// The secret's scope: `deploy`, the default, `build` or `pipeline`.
    #[serde(default)]
    scope: SecretScope,
    /// The secret's environment; left out, the secret for all.
    environment: Option<String>,
}

/// Which of the secrets of this name.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SecretQuery {
    /// The one of this scope: `deploy`, the default, `build` or `pipeline`.
    #[serde(default)]
    #[param(value_type = Option<SecretScope>)]
    scope: SecretScope,
    /// The one for this environment; left out, the one for all.
    environment: Option<String>,
}

/// The names of a project's secrets, and what runs with former values of them.
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
    let name = name(&key, secret.scope, secret.environment.as_deref());
    let put = api.store.put_secret(&tenant, project, name, &secret.value);
    Ok(Json(put.await?))
}

/// Takes a secret away, with its former values.
#[utoipa::path(delete, path = "/projects/{id}/secrets/{key}", tag = "projects", operation_id = "delete_secret",
    params(("id" = Uuid, Path, description = "The project"), ("key" = String, Path, description = "Its name"), SecretQuery),
    responses((status = NO_CONTENT)))]
pub async fn delete(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
    Segment(key): Segment,
    Query(query): Query<SecretQuery>,
) -> Result<StatusCode, Problem> {
    let name = name(&key, query.scope, query.environment.as_deref());
    api.store.delete_secret(&tenant, project, name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The versions of a secret whose values are kept, without the values.
#[utoipa::path(get, path = "/projects/{id}/secrets/{key}/versions", tag = "projects", operation_id = "list_secret_versions",
    params(("id" = Uuid, Path, description = "The project"), ("key" = String, Path, description = "Its name"), SecretQuery),
    responses((status = OK, body = Listed<SecretVersion>)))]
pub async fn versions(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
    Segment(key): Segment,
    Query(query): Query<SecretQuery>,
) -> Result<Json<Listed<SecretVersion>>, Problem> {
    let name = name(&key, query.scope, query.environment.as_deref());
    let versions = api.store.secret_versions(&tenant, project, name).await?;
    Ok(Json(whole(versions)))
}

/// Sets a secret to the value it had in a former version, which becomes its newest one.
#[utoipa::path(post, path = "/projects/{id}/secrets/{key}/restore", tag = "projects", operation_id = "restore_secret", request_body = RestoreSecret,
    params(("id" = Uuid, Path, description = "The project"), ("key" = String, Path, description = "Its name")),
    responses((status = OK, body = SecretEntry)))]
pub async fn restore(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
    Segment(key): Segment,
    Body(wish): Body<RestoreSecret>,
) -> Result<Json<SecretEntry>, Problem> {
    let name = name(&key, wish.scope, wish.environment.as_deref());
    let restored = api
        .store
        .restore_secret(&tenant, project, name, wish.version);
    Ok(Json(restored.await?))
}

const fn name<'a>(
    key: &'a str,
    scope: SecretScope,
    environment: Option<&'a str>,
) -> SecretName<'a> {
    SecretName {
        key,
        scope,
        environment,
    }
}
