//! Where a project comes from when nobody uploads it, and the ways of its commits.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use towline_shared::ids::{IntegrationId, PipelineId, ProjectId};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::input::{Body, Id, Query, Second};
use super::page::PageQuery;
use super::problem::{Kind, Problem};
use super::state::Api;
use crate::domain::repository::Submodules;
use crate::ops::{self, FromIntegration, WantedSource};
use crate::store::{Listed, Pipeline, ProjectSource, Tenant};

/// The repository that a project is to come from.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetSource {
    /// Its address: over https without a user or password, or over ssh, where it is read by a deploy key that is made for it; or an
    /// integration and a repository.
    #[schema(example = "https://git.example.org/team/shop.git")]
    url: Option<String>,
    /// The integration by whose token it is read.
    #[schema(value_type = Option<Uuid>)]
    integration: Option<IntegrationId>,
    /// What the integration's forge calls the repository.
    #[schema(example = "ada/shop")]
    repository: Option<String>,
    /// Which branch is deployed when nothing else is said; the one that the repository shows first, when left out.
    #[schema(example = "main")]
    branch: Option<String>,
    /// Where in the repository the project is; all of it, when left out.
    #[schema(example = "apps/web")]
    folder: Option<String>,
    /// `take`: its submodules are taken, too, each at the commit that is named; `leave`, when left out: their folders stay empty.
    #[serde(default)]
    submodules: Submodules,
    /// By what it is read over https, when it is private.
    login: Option<SourceLogin>,
}

/// By what a repository is read. It is never shown again.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceLogin {
    /// The user; forges take any beside a token.
    #[schema(example = "x-access-token")]
    user: String,
    /// The password or token.
    password: String,
}

/// Where a project comes from.
#[utoipa::path(get, path = "/projects/{id}/source", tag = "projects", operation_id = "show_source",
    params(("id" = Uuid, Path, description = "The project")), responses((status = OK, body = ProjectSource)))]
pub async fn show(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
) -> Result<Json<ProjectSource>, Problem> {
    api.store.project(&tenant, project).await?;
    let found = api.store.source(&tenant, project).await?;
    found.map(Json).ok_or_else(|| {
        Problem::new(Kind::NotFound, "the project comes from no repository")
            .remedy("set one by PUT, or upload its files")
    })
}

/// Has a project come from a Git repository. It is read at once, and nothing is changed if it cannot be. Over ssh the
/// first try makes a deploy key: add it at the forge, then try again.
#[utoipa::path(put, path = "/projects/{id}/source", tag = "projects", operation_id = "set_source", request_body = SetSource,
    params(("id" = Uuid, Path, description = "The project")), responses((status = OK, body = ProjectSource)))]
pub async fn set(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
    Body(new): Body<SetSource>,
) -> Result<Json<ProjectSource>, Problem> {
    let (branch, folder) = (new.branch, new.folder.unwrap_or_default());
    let submodules = new.submodules;
    let login = new
        .login
        .map(|login| (login.user, Zeroizing::new(login.password)));
    let (store, egress) = (&api.store, &api.egress);
    let set = match (new.url, new.integration, new.repository, login) {
        (Some(url), None, None, login) => {
            let wanted = WantedSource {
                url,
                branch,
                folder,
                submodules,
                login,
                integration: None,
            };
            ops::set_source(store, egress, &tenant, project, wanted).await?
        }
        (None, Some(id), Some(repository), None) => {
            let from = FromIntegration {
                id,
                repository,
                branch,
                folder,
                submodules,
            };
            ops::set_source_from(store, egress, &tenant, project, from).await?
        }
        _ => {
            let says = "a source has either a url, and a login if it needs one, or an integration and a repository";
            return Err(Problem::invalid("url", says).remedy("give one of the two"));
        }
    };
    Ok(Json(set))
}

/// Has a project consist of its own files alone again.
#[utoipa::path(delete, path = "/projects/{id}/source", tag = "projects", operation_id = "forget_source",
    params(("id" = Uuid, Path, description = "The project")), responses((status = NO_CONTENT)))]
pub async fn forget(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
) -> Result<StatusCode, Problem> {
    ops::forget_source(&api.store, &api.egress, &tenant, project).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The ways of a project's commits to targets, newest first.
#[utoipa::path(get, path = "/projects/{id}/pipelines", tag = "pipelines", operation_id = "list_pipelines",
    params(("id" = Uuid, Path, description = "The project"), PageQuery), responses((status = OK, body = Listed<Pipeline>)))]
pub async fn pipelines(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Listed<Pipeline>>, Problem> {
    let listed = api.store.list_pipelines(&tenant, project, query.page()?);
    Ok(Json(listed.await?))
}

/// One of them, with its parts.
#[utoipa::path(get, path = "/projects/{id}/pipelines/{pipeline}", tag = "pipelines", operation_id = "show_pipeline",
    params(("id" = Uuid, Path, description = "The project"), ("pipeline" = Uuid, Path, description = "The pipeline")),
    responses((status = OK, body = Pipeline)))]
pub async fn pipeline(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
    Second(pipeline): Second<PipelineId>,
) -> Result<Json<Pipeline>, Problem> {
    Ok(Json(api.store.pipeline(&tenant, project, pipeline).await?))
}
