//! What projects begin from.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use http::{HeaderName, StatusCode, header};
use serde::{Deserialize, Serialize};
use towline_shared::ids::ProjectId;
use towline_shared::spec::ProjectFile;
use utoipa::ToSchema;

use super::input::{Body, Segment};
use super::problem::{Problem, ProblemDocument};
use super::projects::project_named;
use super::router::API;
use super::state::Api;
use crate::ops;
use crate::store::{TeamTemplate, Tenant};
use crate::templates::{self, Category, Parameter, Published, Template};

/// A template in a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct TemplateEntry {
    /// Its name, by which it is asked for.
    name: String,
    /// What it makes.
    description: String,
    /// What kind of thing that is; none of a team's own.
    category: Option<Category>,
    /// The language of its code.
    language: Option<String>,
    /// Whether it comes with Towline, or is the team's own.
    is_official: bool,
}

/// All templates that a project can be made from.
#[derive(Debug, Serialize, ToSchema)]
pub struct Templates {
    /// The official ones, then the team's own, each by name.
    items: Vec<TemplateEntry>,
}

/// A template with all that it has.
#[derive(Debug, Serialize, ToSchema)]
pub struct TemplateShown {
    /// What the list says of it.
    #[serde(flatten)]
    template: TemplateEntry,
    /// What may be chosen.
    parameters: Vec<Parameter>,
    /// The secrets that a project of it needs.
    secrets: Vec<TemplateSecret>,
    /// The services that the world reaches.
    ports: Vec<Published>,
    /// The volumes that outlive its containers.
    volumes: Vec<String>,
    /// What it is for people.
    readme: String,
    /// Its files, as they are with the defaults.
    files: Vec<TemplateFile>,
}

/// A secret that a project of a template needs.
#[derive(Debug, Serialize, ToSchema)]
pub struct TemplateSecret {
    /// The name of the variable.
    name: String,
    /// What it is for.
    description: String,
    /// Whether a new project has a random value of its own; otherwise it must be set.
    is_generated: bool,
}

/// A file of a template.
#[derive(Debug, Serialize, ToSchema)]
pub struct TemplateFile {
    /// Its path.
    path: String,
    /// Its text.
    content: String,
}

/// A template to make of a project.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTemplate {
    /// Small letters, digits and dashes, at most 63; no other template of the team, and no official one, is called so.
    #[schema(pattern = "^[a-z0-9][a-z0-9-]{0,62}$")]
    name: String,
    /// One line, at most 300 characters.
    #[serde(default)]
    description: String,
    /// The project whose files it takes, by id or name. Of its secrets it takes the names alone.
    project: String,
}

impl From<&Template> for TemplateEntry {
    fn from(template: &Template) -> Self {
        let manifest = &template.manifest;
        let language = manifest
            .language
            .and_then(|language| serde_json::to_value(language).ok());
        Self {
            name: template.name.to_owned(),
            description: manifest.description.clone(),
            category: Some(manifest.category),
            language: language.and_then(|word| word.as_str().map(str::to_owned)),
            is_official: true,
        }
    }
}

impl From<TeamTemplate> for TemplateEntry {
    fn from(template: TeamTemplate) -> Self {
        Self {
            name: template.name,
            description: template.description,
            category: None,
            language: template.language,
            is_official: false,
        }
    }
}

impl From<ProjectFile> for TemplateFile {
    fn from(file: ProjectFile) -> Self {
        Self {
            path: file.path,
            content: String::from_utf8_lossy(&file.content).into_owned(),
        }
    }
}

/// The templates that a project can be made from: the official ones and the team's own.
#[utoipa::path(get, path = "/templates", tag = "templates", operation_id = "list_templates",
    responses((status = OK, body = Templates)))]
pub async fn list(State(api): State<Api>, tenant: Tenant) -> Result<Json<Templates>, Problem> {
    let own = api.store.list_templates(&tenant).await?;
    let official = templates::official().iter().map(TemplateEntry::from);
    Ok(Json(Templates {
        items: official
            .chain(own.into_iter().map(TemplateEntry::from))
            .collect(),
    }))
}

/// A template with its files.
#[utoipa::path(get, path = "/templates/{name}", tag = "templates", operation_id = "show_template",
    params(("name" = String, Path, description = "The template's name")), responses((status = OK, body = TemplateShown)))]
pub async fn show(
    State(api): State<Api>,
    tenant: Tenant,
    Segment(name): Segment,
) -> Result<Json<TemplateShown>, Problem> {
    if let Some(official) = templates::find(&name) {
        return Ok(Json(shown(official)?));
    }
    let template = api.store.template(&tenant, &name).await?;
    let (files, secrets) = api.store.template_content(&tenant, &template).await?;
    let secret = |name| TemplateSecret {
        name,
        description: String::new(),
        is_generated: false,
    };
    Ok(Json(TemplateShown {
        template: template.into(),
        parameters: Vec::new(),
        secrets: secrets.into_iter().map(secret).collect(),
        ports: Vec::new(),
        volumes: Vec::new(),
        readme: readme(&files),
        files: files.into_iter().map(TemplateFile::from).collect(),
    }))
}

fn readme(files: &[ProjectFile]) -> String {
    let readme = files.iter().find(|file| file.path == "README.md");
    readme.map_or_else(String::new, |file| {
        String::from_utf8_lossy(&file.content).into_owned()
    })
}

fn shown(template: &Template) -> Result<TemplateShown, Problem> {
    let files = template
        .files("app", &BTreeMap::new())
        .map_err(|fault| Problem::invalid("name", fault.to_string()))?;
    let manifest = &template.manifest;
    let secrets = manifest.secrets.iter().map(|secret| TemplateSecret {
        name: secret.name.clone(),
        description: secret.description.clone(),
        is_generated: true,
    });
    Ok(TemplateShown {
        template: template.into(),
        parameters: manifest.parameters.clone(),
        secrets: secrets.collect(),
        ports: manifest.ports.clone(),
        volumes: manifest.volumes.clone(),
        readme: readme(&files),
        files: files.into_iter().map(TemplateFile::from).collect(),
    })
}

/// Makes a template of a project: its files as they are now, and the names of its secrets. The team sees it, and nobody else.
#[utoipa::path(post, path = "/templates", tag = "templates", operation_id = "create_template", request_body = CreateTemplate,
    responses((status = CREATED, body = TeamTemplate, headers(("Location" = String, description = "The template"))),
        (status = CONFLICT, body = ProblemDocument, content_type = "application/problem+json",
            description = "The name is taken, or the team has as many as it may have")))]
pub async fn create(
    State(api): State<Api>,
    tenant: Tenant,
    Body(new): Body<CreateTemplate>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<TeamTemplate>), Problem> {
    let project = find_project(&api, &tenant, &new.project).await?;
    let CreateTemplate {
        name, description, ..
    } = new;
    let made = ops::create_template(&api.store, &tenant, name, description, project).await?;
    let location = format!("{API}/templates/{}", made.name);
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, location)],
        Json(made),
    ))
}

async fn find_project(api: &Api, tenant: &Tenant, named: &str) -> Result<ProjectId, Problem> {
    let found = project_named(api, tenant, Some(named)).await?;
    found
        .map(|project| project.id)
        .ok_or_else(|| Problem::invalid("project", "there is no such project"))
}

/// Deletes a template of the team. Projects that were made from it stay.
#[utoipa::path(delete, path = "/templates/{name}", tag = "templates", operation_id = "delete_template",
    params(("name" = String, Path, description = "The template's name")), responses((status = NO_CONTENT)))]
pub async fn delete(
    State(api): State<Api>,
    tenant: Tenant,
    Segment(name): Segment,
) -> Result<StatusCode, Problem> {
    api.store.delete_template(&tenant, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
