//! A team's logins of registries, as a job is given them.

use towline_shared::spec::{REGISTRY_PASSWORD, Secret, Terms};

/// Under what docker keeps a login of Docker Hub.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

/// A login, with its password.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Login {
    pub registry: String,
    pub user: String,
    pub password: String,
}

impl Login {
    /// Under what docker keeps it.
    pub fn key(&self) -> &str {
        match self.registry.as_str() {
            "docker.io" => DOCKER_HUB_KEY,
            registry => registry,
        }
    }
}

/// A job's logins. One whose password was not given, because the team has it no longer, is left out.
pub(super) fn of(terms: &Terms, secrets: &[Secret]) -> Vec<Login> {
    let logins = terms.registries().filter_map(|login| {
        let mut secrets = secrets.iter();
        let password = secrets.find(|secret| secret.name == login.secret)?;
        Some(Login {
            registry: login.registry.clone(),
            user: login.user.clone(),
            password: password.value.clone(),
        })
    });
    logins.collect()
}

/// Whether a secret is a password of a registry, of which no project sees anything.
pub(super) fn is_password(secret: &Secret) -> bool {
    secret.name.starts_with(REGISTRY_PASSWORD)
}
