//! Saying what a project is, and generating the files that it lacks.

use serde::Serialize;
use towline_shared::ids::ProjectId;
use towline_shared::spec::ProjectFile;

use super::OpsError;
use super::source::{self, At};
use crate::detect::{self, Detected, Tree};
use crate::egress::Egress;
use crate::generate::{self, Ci, Plan, Refused, Target, Variable};
use crate::store::{Store, StoreError, Tenant};

/// What is to be generated.
#[derive(Clone, Debug)]
pub struct GenerationWish {
    /// Where it is to run.
    pub target: Target,
    /// What tests it and builds its image.
    pub ci: Option<Ci>,
    /// The image in a registry.
    pub image: Option<String>,
    /// The name under which the world reaches it on Kubernetes.
    pub host: Option<String>,
    /// What its containers find in their environment.
    pub environment: Vec<Variable>,
}

/// What was detected and generated.
#[derive(Debug)]
pub struct Generation {
    /// What the project is.
    pub detected: Detected,
    /// The files, and whether the project has them.
    pub files: Vec<(ProjectFile, FileState)>,
}

/// Whether a project has a generated file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FileState {
    /// It has none of this path.
    New,
    /// It has this very one.
    Same,
    /// It has another of this path, which stays.
    Kept,
}

impl Generation {
    /// The files that the project does not have.
    pub fn new_files(&self) -> Vec<ProjectFile> {
        let new = self
            .files
            .iter()
            .filter(|(_, state)| *state == FileState::New);
        new.map(|(file, _)| file.clone()).collect()
    }
}

/// Looks at a project, with the last commit of its branch where it comes from a repository.
pub async fn generate(
    store: &Store,
    egress: &Egress,
    tenant: &Tenant,
    project: ProjectId,
    wish: GenerationWish,
) -> Result<Generation, OpsError> {
    let project = store.project(tenant, project).await?;
    let own = store.read_files(tenant, project.id).await?;
    let at = At::Branch(None);
    let sourced = source::look(store, egress, tenant, &project, &own, at).await?;
    let branch = sourced
        .as_ref()
        .and_then(|sourced| sourced.commit.branch.clone());
    let view = sourced.map_or(own, |sourced| sourced.view);
    // What was generated before says nothing of what the project is.
    let generated = store.generated_paths(tenant, project.id).await?;
    let (read, named): (Vec<_>, Vec<_>) = view
        .iter()
        .filter(|file| !generated.contains(&file.path))
        .cloned()
        .partition(|file| !file.content.is_empty());
    let named = named.iter().map(|file| file.path.as_str());
    let detected = detect::detect(&Tree::new(&read, named));
    let plan = Plan {
        target: wish.target,
        ci: wish.ci,
        host: wish.host,
        environment: wish.environment,
        ..Plan::new(&project.name, &detected)
    };
    let plan = Plan {
        image: wish.image.unwrap_or(plan.image),
        branch: branch.unwrap_or(plan.branch),
        ..plan
    };
    let files = generate::generate(&plan).map_err(refused)?;
    let files = files.into_iter().map(|file| {
        let known = view.iter().find(|known| known.path == file.path);
        let state = match known {
            None => FileState::New,
            Some(known) if known.content == file.content => FileState::Same,
            Some(_) => FileState::Kept,
        };
        (file, state)
    });
    Ok(Generation {
        detected,
        files: files.collect(),
    })
}

fn refused(error: Refused) -> OpsError {
    match error {
        Refused::Invalid(invalid) => StoreError::Invalid {
            field: invalid.field,
            message: invalid.message,
            remedy: invalid.remedy.to_owned(),
        }
        .into(),
        Refused::Template(fault) => StoreError::Damaged(fault).into(),
    }
}
