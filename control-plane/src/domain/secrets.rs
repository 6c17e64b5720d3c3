//! What secrets are for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::names::{InvalidName, check_name, check_variable};

/// What a secret is given to.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum SecretScope {
    /// The building of images for another host.
    Build,
    /// Deployments.
    #[default]
    Deploy,
    /// Whatever is built or deployed from a commit.
    Pipeline,
}

/// A word that names no scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no scope of a secret")]
pub struct UnknownScope(String);

/// Which secret of a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecretName<'a> {
    /// The name of the variable.
    pub key: &'a str,
    /// What it is given to.
    pub scope: SecretScope,
    /// For which environment; without it for all that have none of their own.
    pub environment: Option<&'a str>,
}

impl SecretScope {
    /// All.
    pub const ALL: [Self; 3] = [Self::Build, Self::Deploy, Self::Pipeline];

    /// The name in the API and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Deploy => "deploy",
            Self::Pipeline => "pipeline",
        }
    }
}

impl fmt::Display for SecretScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for SecretScope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or_else(|| UnknownScope(text.to_owned()))
    }
}

impl SecretName<'_> {
    /// Checks what people have given.
    pub fn check(&self) -> Result<(), InvalidName> {
        check_variable("key", self.key)?;
        check_environment(self.environment)
    }
}

impl<'a> From<&'a str> for SecretName<'a> {
    /// What deployments to all environments are given.
    fn from(key: &'a str) -> Self {
        Self {
            key,
            scope: SecretScope::Deploy,
            environment: None,
        }
    }
}

/// Checks the name of an environment: a name like that of a project.
pub fn check_environment(environment: Option<&str>) -> Result<(), InvalidName> {
    environment.map_or(Ok(()), |name| check_name("environment", name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_read_as_they_are_written() {
        for scope in SecretScope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(scope));
        }
        assert!("Deploy".parse::<SecretScope>().is_err());
    }

    #[test]
    fn the_part_of_a_name_that_is_wrong_is_named() {
        let name = |key, environment| SecretName {
            key,
            scope: SecretScope::Deploy,
            environment,
        };
        let field = |name: SecretName<'_>| name.check().err().map(|error| error.field);
        assert_eq!(field(name("A", Some("production"))), None);
        assert_eq!(field(name("A-B", Some("production"))), Some("key"));
        assert_eq!(field(name("A", Some(""))), Some("environment"));
        assert_eq!(field(name("A", Some("Production"))), Some("environment"));
    }
}
