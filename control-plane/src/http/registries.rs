//! Registries that a team logs in to, and where its projects' built images go.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use towline_shared::ids::{ProjectId, RegistryId};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::auth::may_test;
use super::input::{Body, Id, Query};
use super::page::PageQuery;
use super::problem::{Kind, Problem};
use super::state::Api;
use crate::domain::names::InvalidName;
use crate::domain::registry::{ImageRepository, RegistryHost};
use crate::ops;
use crate::store::{Listed, NewRegistry, ProjectRegistry, Registry, StoreError, Tenant};

/// A registry to log in to.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddRegistry {
    /// The registry, as names of images begin: a host, with its port where that is not the usual one; `docker.io` for
    /// Docker Hub. A team has one login of each.
    #[schema(example = "registry.example.com:5000")]
    registry: String,
    /// Who logs in.
    #[schema(example = "acme-robot")]
    user: String,
    /// The password, or a token in its place. It is never shown again.
    #[schema(write_only)]
    password: String,
    /// What the team wants to know of it.
    #[serde(default)]
    #[schema(example = "pulls and pushes; expires in March")]
    note: String,
    /// Whether the registry is asked whether it takes the login.
    #[serde(default)]
    check: Check,
}

/// Another password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetRegistryPassword {
    /// The password, or a token in its place. It is never shown again.
    #[schema(write_only)]
    password: String,
    /// Whether the registry is asked whether it takes the login.
    #[serde(default)]
    check: Check,
}

/// Whether a registry is asked whether it takes a login.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// At once, by the control plane.
    #[default]
    Now,
    /// Not at all: only agents reach it.
    Skip,
}

/// Where images go.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetProjectRegistry {
    /// What the names of the project's built images begin with: one of the team's registries, and a path there. The
    /// service's name follows.
    #[schema(example = "registry.example.com/acme/shop")]
    repository: String,
}

impl From<Check> for ops::Check {
    fn from(check: Check) -> Self {
        match check {
            Check::Now => Self::Now,
            Check::Skip => Self::Skip,
        }
    }
}

fn unfit(error: InvalidName) -> Problem {
    StoreError::from(error).into()
}

/// Asking a registry is paid for like any test of a credential.
fn may_check(api: &Api, tenant: &Tenant, check: Check) -> Result<(), Problem> {
    match check {
        Check::Now => may_test(api, tenant.user(), "logins"),
        Check::Skip => Ok(()),
    }
}

/// The team's registries.
#[utoipa::path(get, path = "/registries", tag = "registries", operation_id = "list_registries", params(PageQuery),
    responses((status = OK, body = Listed<Registry>)))]
pub async fn list(
    State(api): State<Api>,
    tenant: Tenant,
    Query(query): Query<PageQuery>,
) -> Result<Json<Listed<Registry>>, Problem> {
    let listed = api.store.list_registries(&tenant, query.page()?);
    Ok(Json(listed.await?))
}

/// Adds a registry. It is asked whether it takes the login, and nothing is kept if it does not.
#[utoipa::path(post, path = "/registries", tag = "registries", operation_id = "add_registry", request_body = AddRegistry,
    responses((status = CREATED, body = Registry)))]
pub async fn add(
    State(api): State<Api>,
    tenant: Tenant,
    Body(new): Body<AddRegistry>,
) -> Result<(StatusCode, Json<Registry>), Problem> {
    let password = Zeroizing::new(new.password);
    let registry = RegistryHost::parse(&new.registry).map_err(unfit)?;
    may_check(&api, &tenant, new.check)?;
    let wanted = NewRegistry {
        registry,
        user: new.user,
        password,
        note: new.note,
    };
    let (store, check) = (&api.store, new.check.into());
    let made = ops::add_registry(store, &api.egress, &tenant, wanted, check);
    Ok((StatusCode::CREATED, Json(made.await?)))
}

/// One of them.
#[utoipa::path(get, path = "/registries/{id}", tag = "registries", operation_id = "show_registry",
    params(("id" = Uuid, Path, description = "The registry")), responses((status = OK, body = Registry)))]
pub async fn show(
    State(api): State<Api>,
    tenant: Tenant,
    Id(registry): Id<RegistryId>,
) -> Result<Json<Registry>, Problem> {
    Ok(Json(api.store.registry(&tenant, registry).await?))
}

/// Gives its login another password, which the registry is asked about first. Jobs that begin from now on have it.
#[utoipa::path(put, path = "/registries/{id}/password", tag = "registries", operation_id = "set_registry_password",
    params(("id" = Uuid, Path, description = "The registry")), request_body = SetRegistryPassword,
    responses((status = OK, body = Registry)))]
pub async fn set_password(
    State(api): State<Api>,
    tenant: Tenant,
    Id(registry): Id<RegistryId>,
    Body(new): Body<SetRegistryPassword>,
) -> Result<Json<Registry>, Problem> {
    let password = Zeroizing::new(new.password);
    api.store.registry(&tenant, registry).await?;
    may_check(&api, &tenant, new.check)?;
    let (store, check) = (&api.store, new.check.into());
    let changed =
        ops::set_registry_password(store, &api.egress, &tenant, registry, &password, check);
    Ok(Json(changed.await?))
}

/// Forgets it and its password. Refused while projects push to it.
#[utoipa::path(delete, path = "/registries/{id}", tag = "registries", operation_id = "remove_registry",
    params(("id" = Uuid, Path, description = "The registry")), responses((status = NO_CONTENT)))]
pub async fn remove(
    State(api): State<Api>,
    tenant: Tenant,
    Id(registry): Id<RegistryId>,
) -> Result<StatusCode, Problem> {
    api.store.remove_registry(&tenant, registry).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Where a project's built images are pushed to.
#[utoipa::path(get, path = "/projects/{id}/registry", tag = "registries", operation_id = "show_project_registry",
    params(("id" = Uuid, Path, description = "The project")), responses((status = OK, body = ProjectRegistry)))]
pub async fn show_of_project(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
) -> Result<Json<ProjectRegistry>, Problem> {
    let found = api.store.project_registry(&tenant, project).await?;
    found.map(Json).ok_or_else(|| {
        Problem::new(
            Kind::NotFound,
            "the project's images are pushed to no registry",
        )
        .remedy("say where they go by PUT, or `towline projects registry PROJECT REPOSITORY`")
    })
}

/// Has a project's built images pushed to a registry from its next deployment on.
#[utoipa::path(put, path = "/projects/{id}/registry", tag = "registries", operation_id = "set_project_registry",
    params(("id" = Uuid, Path, description = "The project")), request_body = SetProjectRegistry,
    responses((status = OK, body = ProjectRegistry)))]
pub async fn set_of_project(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
    Body(wish): Body<SetProjectRegistry>,
) -> Result<Json<ProjectRegistry>, Problem> {
    api.store.project(&tenant, project).await?;
    let repository = ImageRepository::parse(&wish.repository).map_err(unfit)?;
    let set = ops::set_project_registry(&api.store, &tenant, project, Some(&repository));
    set.await?
        .map(Json)
        .ok_or_else(|| Problem::not_found("project"))
}

/// Has a project's built images pushed nowhere from its next deployment on. What was pushed stays there.
#[utoipa::path(delete, path = "/projects/{id}/registry", tag = "registries", operation_id = "forget_project_registry",
    params(("id" = Uuid, Path, description = "The project")), responses((status = NO_CONTENT)))]
pub async fn forget_of_project(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
) -> Result<StatusCode, Problem> {
    ops::set_project_registry(&api.store, &tenant, project, None).await?;
    Ok(StatusCode::NO_CONTENT)
}
