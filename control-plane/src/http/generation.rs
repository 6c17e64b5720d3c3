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
use crate::domain::regeneration::FileState;
use crate::domain::release_diff::unified;
use crate::generate::{Ci, Target, Variable};
use crate::ops::{self, Conflicts, Generation, GenerationWish};
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
    /// What becomes of files of which somebody has changed the same lines as the generator: `keep`, the default, or
    /// `mark`, which puts both versions of those places between markers.
    #[serde(default)]
    conflicts: Conflicts,
}

/// What becomes of the generated files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GenerateMode {
    /// They are shown.
    #[default]
    Preview,
    /// Those that are new, updated or merged become files of the project.
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
    /// `new`; `same`: the project has it already; `updated`: the project has what was generated before, and nobody has
    /// changed that; `merged`: somebody's changes stay in what is generated now; `conflict`: somebody has changed the same
    /// lines; `kept`: the project or its repository has another of this path, which stays.
    #[schema(value_type = String)]
    state: FileState,
    /// What the file has, or would have; of a conflict, with markers.
    content: String,
    /// How that differs from what the project has, as a unified diff; null where it does not.
    diff: Option<String>,
}

/// Says what a project is, and generates the files that it lacks. What was generated before is merged with what somebody
/// has made of it since; whatever else the project or its repository has stays as it is.
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
        let writes = made.writes(wish.conflicts);
        api.store.write_generated(&tenant, project, &writes).await?;
    }
    let Generation { detected, files } = made;
    Ok(Json(Generated {
        detected,
        files: files.into_iter().map(GeneratedFile::from).collect(),
    }))
}

impl From<ops::GeneratedFile> for GeneratedFile {
    fn from(file: ops::GeneratedFile) -> Self {
        let diff = file.present.as_deref().and_then(|present| {
            let present = std::str::from_utf8(present).ok()?;
            let (old, new) = (format!("a/{}", file.path), format!("b/{}", file.path));
            let text = &file.outcome.text;
            (present != text).then(|| unified((&old, present), (&new, text)))
        });
        Self {
            path: file.path,
            state: file.outcome.state,
            content: file.outcome.text,
            diff,
        }
    }
}
