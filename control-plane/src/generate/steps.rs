//! What every CI does with an image: checks what describes its deployment, builds it, and publishes it.

use super::{
    plan::{Ci, Plan, Target},
    quote::shell,
};
use crate::detect::Packing;

/// What checks Kubernetes' objects; in a container, so that nothing is installed.
const KUBECONFORM: &str = "ghcr.io/yannh/kubeconform:v0.7.0";

pub(super) struct Steps {
    pub checked_file: String,
    pub check: String,
    pub build: Vec<String>,
    pub push: Vec<String>,
    pub registry: String,
}

impl Steps {
    pub fn of(plan: &Plan) -> Self {
        let registry = registry(&plan.image);
        let checked_file = match (plan.target, &plan.packing) {
            (Target::Kubernetes, _) => "deployment.yaml".to_owned(),
            (Target::Docker, Packing::Compose { file }) => file.clone(),
            (Target::Docker, _) => "docker-compose.yml".to_owned(),
        };
        let check = match plan.target {
            Target::Kubernetes => format!(
                "docker run --rm --volume \"$PWD/{checked_file}:/{checked_file}:ro\" {KUBECONFORM} -strict -summary /{checked_file}"
            ),
            // A secret that only the deployment has is no fault of the file.
            Target::Docker => format!(
                "docker compose --file {} config --quiet --no-interpolate",
                shell(&checked_file)
            ),
        };
        // The commit, as each CI tells it.
        let commit = match plan.ci {
            Some(Ci::GitlabCi) => "CI_COMMIT_SHA",
            Some(Ci::BitbucketPipelines) => "BITBUCKET_COMMIT",
            Some(Ci::Jenkins) => "GIT_COMMIT",
            Some(Ci::GithubActions | Ci::Towline) | None => "GITHUB_SHA",
        };
        let image = format!("\"{}:${commit}\"", plan.image);
        let build = match &plan.packing {
            Packing::Compose { file } => {
                format!("docker compose --file {} build --pull", shell(file))
            }
            Packing::Dockerfile { file } => {
                format!("docker build --pull --file {} --tag {image} .", shell(file))
            }
            Packing::Generated | Packing::Unknown => format!("docker build --pull --tag {image} ."),
        };
        Self {
            checked_file,
            check,
            build: vec![build],
            push: vec![
                format!(
                    "printf '%s' \"$REGISTRY_PASSWORD\" | docker login --username \"$REGISTRY_USERNAME\" --password-stdin {registry}"
                ),
                format!("docker push {image}"),
            ],
            registry,
        }
    }
}

/// Where an image lies: the first part of its name if that is a host.
fn registry(image: &str) -> String {
    let first = image.split_once('/').map(|(first, _)| first);
    let host = first.filter(|first| first.contains(['.', ':']) || *first == "localhost");
    host.unwrap_or("docker.io").to_owned()
}
