//! Saying what a project is, and generating the files that it lacks.

use std::collections::HashMap;

use serde::Deserialize;
use towline_shared::ids::ProjectId;
use towline_shared::spec::ProjectFile;
use utoipa::ToSchema;

use super::OpsError;
use super::source::{self, At};
use crate::detect::{self, Detected, Tree};
use crate::domain::regeneration::{FileState, Outcome, Present, regenerate};
use crate::egress::Egress;
use crate::generate::{self, Ci, Plan, Refused, Target, Variable};
use crate::store::{GeneratedWrite, Store, StoreError, Tenant};

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
    /// The files, by path.
    pub files: Vec<GeneratedFile>,
}

/// A generated file, and what becomes of the project's own of that path.
#[derive(Clone, Debug)]
pub struct GeneratedFile {
    /// Its path.
    pub path: String,
    /// What was generated.
    pub generated: String,
    /// What the project or its repository has of this path.
    pub present: Option<Vec<u8>>,
    /// What becomes of it.
    pub outcome: Outcome,
    /// What was generated last under its path, if the project has that.
    base: Option<Vec<u8>>,
}

/// What becomes of files of which somebody has changed the same lines as the generator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Conflicts {
    /// They stay as they are.
    #[default]
    Keep,
    /// They get both versions of those places, between markers.
    Mark,
}

impl Generation {
    /// What is to be written.
    pub fn writes(&self, conflicts: Conflicts) -> Vec<GeneratedWrite> {
        let files = self.files.iter();
        files.filter_map(|file| file.write(conflicts)).collect()
    }
}

impl GeneratedFile {
    fn write(&self, conflicts: Conflicts) -> Option<GeneratedWrite> {
        let is_another = |base: &Vec<u8>| *base != self.generated.as_bytes();
        let is_due = match self.outcome.state {
            FileState::New | FileState::Updated | FileState::Merged => true,
            FileState::Conflict => conflicts == Conflicts::Mark,
            FileState::Kept => false,
            // A later generation is merged with this one.
            FileState::Same => self.base.as_ref().is_some_and(is_another),
        };
        is_due.then(|| GeneratedWrite {
            path: self.path.clone(),
            text: self.outcome.text.clone(),
            generated: self.generated.clone(),
            was: self.present.clone(),
        })
    }

    /// What a file becomes that the project may have already.
    fn beside(file: ProjectFile, known: Option<&ProjectFile>, base: Option<Vec<u8>>) -> Self {
        let generated = String::from_utf8_lossy(&file.content).into_owned();
        let present = known.map(|known| Present {
            content: &known.content,
            base: base.as_deref(),
        });
        Self {
            path: file.path,
            outcome: regenerate(present, &generated),
            generated,
            present: known.map(|known| known.content.clone()),
            base,
        }
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
    let mut bases = store.generated_bases(tenant, project.id).await?;
    let (read, named): (Vec<_>, Vec<_>) = view
        .iter()
        .cloned()
        .partition(|file| !file.content.is_empty());
    let named: Vec<_> = named.into_iter().map(|file| file.path).collect();
    let detected = seen(&read, &named, &bases);
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
        let base = bases.remove(&file.path);
        GeneratedFile::beside(file, known, base)
    });
    Ok(Generation {
        detected,
        files: files.collect(),
    })
}

/// What a project is, by files that were read and those of which the names alone are known. What was generated before says nothing of it.
pub(super) fn seen(
    read: &[ProjectFile],
    named: &[String],
    bases: &HashMap<String, Vec<u8>>,
) -> Detected {
    let is_own = |path: &str| !bases.contains_key(path);
    let read: Vec<_> = read
        .iter()
        .filter(|file| is_own(&file.path))
        .cloned()
        .collect();
    let named = named.iter().map(String::as_str).filter(|path| is_own(path));
    detect::detect(&Tree::new(&read, named))
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
