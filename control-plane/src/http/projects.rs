//! What a team deploys.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use http::{HeaderName, StatusCode, header};
use serde::Deserialize;
use towline_shared::ids::ProjectId;
use utoipa::ToSchema;

use super::input::{Body, Id, Query};
use super::page::PageQuery;
use super::problem::{Problem, ProblemDocument};
use super::router::API;
use super::state::Api;
use crate::ops::{self, FromTemplate};
use crate::store::{Listed, Project, ProjectChange, StoreError, Tenant};

/// A project to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateProject {
    /// Small letters, digits and dashes, at most 63, beginning with a letter or digit; unique in the team.
    #[schema(pattern = "^[a-z0-9][a-z0-9-]{0,62}$")]
    name: String,
    /// The template that it is made from, by name; without one it is empty.
    #[schema(example = "node-server")]
    template: Option<String>,
    /// What is chosen of the template's parameters; the others have their defaults.
    #[serde(default)]
    parameters: BTreeMap<String, String>,
}

impl CreateProject {
    /// What it is made from.
    fn from(&self) -> Result<Option<FromTemplate>, Problem> {
        match &self.template {
            Some(name) => Ok(Some(FromTemplate {
                name: name.clone(),
                parameters: self.parameters.clone(),
            })),
            None if self.parameters.is_empty() => Ok(None),
            None => Err(
                Problem::invalid("parameters", "there is no template that has parameters")
                    .remedy("name a template, or leave the parameters out"),
            ),
        }
    }
}

/// The team's projects.
#[utoipa::path(get, path = "/projects", tag = "projects", operation_id = "list_projects", params(PageQuery),
    responses((status = OK, body = Listed<Project>)))]
pub async fn list(
    State(api): State<Api>,
    tenant: Tenant,
    Query(query): Query<PageQuery>,
) -> Result<Json<Listed<Project>>, Problem> {
    Ok(Json(api.store.list_projects(&tenant, query.page()?).await?))
}

/// Makes a project, empty or from a template. Secrets that the template needs get random values, which nobody sees.
#[utoipa::path(post, path = "/projects", tag = "projects", operation_id = "create_project", request_body = CreateProject,
    responses((status = CREATED, body = Project, headers(("Location" = String, description = "The project"))),
        (status = FORBIDDEN, body = ProblemDocument, content_type = "application/problem+json",
            description = "The role does not allow it, `plugin_veto`, or `quota_exceeded`: the plan allows no more projects (`limit`, `used`)")))]
pub async fn create(
    State(api): State<Api>,
    tenant: Tenant,
    Body(new): Body<CreateProject>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<Project>), Problem> {
    let from = new.from()?;
    let project =
        ops::create_project(&api.store, &api.egress, &tenant, &new.name, from.as_ref()).await?;
    let location = format!("{API}/projects/{}", project.id);
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, location)],
        Json(project),
    ))
}

/// A project.
#[utoipa::path(get, path = "/projects/{id}", tag = "projects", operation_id = "show_project", params(("id" = Uuid, Path, description = "The project")),
    responses((status = OK, body = Project)))]
pub async fn show(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
) -> Result<Json<Project>, Problem> {
    Ok(Json(api.store.project(&tenant, project).await?))
}

/// What is to change of a project.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeProject {
    /// For how many of its last releases its hosts keep images, so that going back is quick; 5 unless something else is
    /// said. They follow at the next deployment.
    #[schema(minimum = 1, maximum = 50)]
    keep_releases: Option<u16>,
    /// In which namespace of a cluster its objects are that name none; empty for the agent's own choice. They move there at the
    /// next deployment.
    #[schema(example = "shop")]
    namespace: Option<String>,
}

/// Changes what is decided of a project beside its files. What is left out stays.
#[utoipa::path(patch, path = "/projects/{id}", tag = "projects", operation_id = "change_project", request_body = ChangeProject,
    params(("id" = Uuid, Path, description = "The project")), responses((status = OK, body = Project)))]
pub async fn change(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
    Body(change): Body<ChangeProject>,
) -> Result<Json<Project>, Problem> {
    let change = ProjectChange {
        keep_releases: change.keep_releases,
        namespace: change.namespace,
    };
    let changed = api.store.change_project(&tenant, project, change);
    Ok(Json(changed.await?))
}

/// Takes a project away. What it has deployed stays where it runs.
#[utoipa::path(delete, path = "/projects/{id}", tag = "projects", operation_id = "delete_project",
    params(("id" = Uuid, Path, description = "The project")), responses((status = NO_CONTENT)))]
pub async fn delete(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
) -> Result<StatusCode, Problem> {
    api.store.delete_project(&tenant, project).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The project that a field `project` names, by id or name.
pub async fn project_named(
    api: &Api,
    tenant: &Tenant,
    named: Option<&str>,
) -> Result<Option<Project>, Problem> {
    let Some(named) = named else {
        return Ok(None);
    };
    match api.store.find_project(tenant, named).await {
        Err(StoreError::NotFound(_)) => {
            Err(Problem::invalid("project", "there is no such project")
                .remedy("give the id or the name of one of the team's projects"))
        }
        found => Ok(Some(found?)),
    }
}
