//! What a project's repository is, and the files that it lacks.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use towline_shared::ids::ProjectId;
use utoipa::ToSchema;

use super::input::{Body, Id};
use super::problem::Problem;
use super::state::Api;
use crate::detect::Detected;
use crate::generate::{Ci, Target, Variable};
use crate::ops::{self, FileState, Generation, GenerationWish};
use crate::store::Tenant;

/// What is to be generated.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Generate {
    /// Where it is to run: `docker`, unless something else is said.
    target: Option<Target>,
    /// What tests it and builds its image; nothing, when left out.
    ci: Option<Ci>,
    /// The image in a registry, without a tag, for the CI's and Kubernetes' files.
    #[schema(example = "registry.example.com/team/shop")]
    image: Option<String>,
    /// The name under which the world reaches it on Kubernetes; without one there is no Ingress.
    host: Option<String>,
    /// What its containers find in their environment; a variable without a value is a secret.
    #[serde(default)]
    environment: Vec<Variable>,
    /// Whether the new files become files of the project; otherwise they are only shown.
    #[serde(default)]
    mode: GenerateMode,
}

/// What becomes of the generated files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GenerateMode {
    /// They are shown.
    #[default]
    Preview,
    /// Those that are new become files of the project.
    Write,
}

/// What was detected and generated.
#[derive(Debug, Serialize, ToSchema)]
pub struct Generated {
    /// What the project is, and why we think so.
    detected: Detected,
    /// The files, by path.
    files: Vec<GeneratedFile>,
}

/// A generated file.
#[derive(Debug, Serialize, ToSchema)]
pub struct GeneratedFile {
    /// Its path.
    path: String,
    /// `new`, `same`: the project has it already, or `kept`: the project or its repository has another of this path,
    /// which stays.
    #[schema(value_type = String)]
    state: FileState,
    /// What was generated.
    content: String,
}

/// Says what a project is, and generates the files that it lacks. What the project or its repository has is never
/// overwritten.
#[utoipa::path(post, path = "/projects/{id}/generate", tag = "projects", operation_id = "generate_files", request_body = Generate,
    params(("id" = Uuid, Path, description = "The project")), responses((status = OK, body = Generated)))]
pub async fn generate(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
    Body(wish): Body<Generate>,
) -> Result<Json<Generated>, Problem> {
    let wanted = GenerationWish {
        target: wish.target.unwrap_or(Target::Docker),
        ci: wish.ci,
        image: wish.image,
        host: wish.host,
        environment: wish.environment,
    };
    let made = ops::generate(&api.store, &api.egress, &tenant, project, wanted).await?;
    if wish.mode == GenerateMode::Write {
        let new = made.new_files();
        api.store.add_generated(&tenant, project, &new).await?;
    }
    let Generation { detected, files } = made;
    let file = |(file, state): (towline_shared::spec::ProjectFile, FileState)| GeneratedFile {
        path: file.path,
        state,
        content: String::from_utf8_lossy(&file.content).into_owned(),
    };
    Ok(Json(Generated {
        detected,
        files: files.into_iter().map(file).collect(),
    }))
}
