//! The files that a repository needs to be built, deployed and tested, and does not have: [`generate`] writes them from a
//! [`Plan`], which detection makes and people may change.
//!
//! It is pure. The text is in `files/`, one template for each kind of file and for each language's Dockerfile; what they
//! put in is computed in `recipe`, one file for each language. Every value is checked by the plan ([`Plan::check`])
//! and then written in the notation of its place (`quote`), so that no value can say anything but itself.

mod plan;
mod probe;
mod quote;
mod recipe;
mod steps;
mod templates;

use towline_shared::spec::{FileMode, ProjectFile};

pub use plan::{Ci, Invalid, Plan, Target, Variable};

use crate::detect::{Packing, Serving};
use crate::domain::pipeline_file;
use recipe::Recipe;

/// Why nothing was generated.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// A value of the plan cannot stand in the files.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// A template does not fit its values, which is a fault of ours.
    #[error("a template cannot be filled in: {0}")]
    Template(String),
}

/// Writes the files of a plan, in the order of their paths.
pub fn generate(plan: &Plan) -> Result<Vec<ProjectFile>, Refused> {
    plan.check()?;
    let recipe = recipe::of(plan);
    let fault = |error: &minijinja::Error| Refused::Template(format!("{error:#}"));
    let templates = templates::environment().map_err(fault)?;
    let context = templates::context(plan, &recipe);
    let mut files = Vec::new();
    for (path, template) in contents(plan, &recipe) {
        let template = templates
            .get_template(template)
            .map_err(|error| fault(&error))?;
        let text = template
            .render(context.clone())
            .map_err(|error| fault(&error))?;
        files.push(ProjectFile {
            path: path.to_owned(),
            content: templates::tidy(&text).into_bytes(),
            mode: FileMode::Regular,
        });
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(files)
}

/// Which files a plan has: their paths and templates. What the repository has of its own is not written.
fn contents(plan: &Plan, recipe: &Recipe) -> Vec<(&'static str, &'static str)> {
    let mut files = Vec::new();
    if plan.packing == Packing::Generated {
        files.push(("Dockerfile", recipe.dockerfile));
        files.push((".dockerignore", ".dockerignore"));
        if plan.app.serving == Serving::Static {
            files.push(("nginx.conf", "nginx.conf"));
        }
    }
    let own_compose = matches!(plan.packing, Packing::Compose { .. });
    match plan.target {
        Target::Docker if !own_compose => files.push(("docker-compose.yml", "docker-compose.yml")),
        Target::Docker => {}
        Target::Kubernetes => files.push(("deployment.yaml", "deployment.yaml")),
    }
    let ci = plan.ci.map(|ci| match ci {
        Ci::GithubActions => (".github/workflows/ci.yml", "github.yml"),
        Ci::GitlabCi => (".gitlab-ci.yml", "gitlab.yml"),
        Ci::BitbucketPipelines => ("bitbucket-pipelines.yml", "bitbucket.yml"),
        Ci::Jenkins => ("Jenkinsfile", "Jenkinsfile"),
        Ci::Towline => (pipeline_file::PATH, "towline.yml"),
    });
    files.extend(ci);
    files
}

#[cfg(test)]
mod checkers;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;
