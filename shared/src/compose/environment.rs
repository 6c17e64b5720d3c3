//! Variables that would steer the programs Towline runs, and where a project may set variables.

use super::Examiner;
use crate::policy::Rule;

/// What starts the names of variables that docker, compose, buildx, the loader or Go itself obey.
const RESERVED_PREFIXES: [&str; 11] = [
    "DOCKER_",
    "COMPOSE_",
    "BUILDX_",
    "BUILDKIT_",
    "LD_",
    "XDG_",
    "OTEL_",
    "SSL_",
    "SSH_",
    "GIT_",
    "TOWLINE_",
];
const RESERVED_NAMES: [&str; 14] = [
    "PATH",
    "HOME",
    "PWD",
    "TMPDIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "GODEBUG",
    "GOTRACEBACK",
    "GOMAXPROCS",
    "GOGC",
    "GOMEMLIMIT",
    "GOCOVERDIR",
];
/// Reserved for secrets, but of no harm in a project's `.env`, where people have them.
const DOTENV_ALLOWED: [&str; 4] = [
    "COMPOSE_PROFILES",
    "COMPOSE_PROJECT_NAME",
    "COMPOSE_FILE",
    "COMPOSE_PATH_SEPARATOR",
];

/// Whether a variable steers the programs that apply a project, so that neither a secret nor a
/// `.env` file may set it: `DOCKER_CONFIG` alone would let a project run programs as root.
pub fn is_reserved_variable(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let is_prefixed = RESERVED_PREFIXES
        .iter()
        .any(|prefix| name.starts_with(prefix));
    is_prefixed || RESERVED_NAMES.contains(&name.as_str())
}

impl Examiner<'_> {
    /// Compose reads `.env` beside the compose file and takes its variables for its own.
    pub(super) fn dotenv(&mut self, folder: &str) {
        let path = if folder.is_empty() {
            ".env".to_owned()
        } else {
            format!("{folder}/.env")
        };
        let is_first = self.read.insert((path.clone(), folder.to_owned()));
        let Some(file) = self
            .files
            .iter()
            .find(|file| file.path == path)
            .filter(|_| is_first)
        else {
            return;
        };
        let text = String::from_utf8_lossy(&file.content).into_owned();
        for (index, line) in text.lines().enumerate() {
            let name = variable_name(line);
            if is_reserved_variable(name) && !DOTENV_ALLOWED.contains(&name) {
                let message =
                    format!("`{name}` would steer the host's own programs; remove it from {path}");
                self.error(
                    &path,
                    u32::try_from(index + 1).unwrap_or(u32::MAX),
                    Rule::Environment,
                    message,
                );
            }
        }
    }
}

/// The name that a line of an environment file sets.
fn variable_name(line: &str) -> &str {
    let line = line.trim_start_matches('\u{feff}').trim_start();
    let line = line
        .strip_prefix("export")
        .filter(|rest| rest.starts_with([' ', '\t']))
        .unwrap_or(line);
    let line = line.trim_start();
    let end = line
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .unwrap_or(line.len());
    &line[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_programs_is_reserved() {
        for name in [
            "DOCKER_CONFIG",
            "docker_host",
            "PATH",
            "LD_PRELOAD",
            "https_proxy",
            "COMPOSE_BAKE",
            "GODEBUG",
        ] {
            assert!(is_reserved_variable(name), "{name}");
        }
        for name in [
            "PASSWORD",
            "GOOGLE_KEY",
            "PATH_PREFIX",
            "DATABASE_URL",
            "HOMEPAGE",
            "DOCKERHUB",
        ] {
            assert!(!is_reserved_variable(name), "{name}");
        }
    }

    #[test]
    fn names_are_found_in_every_spelling() {
        for line in [
            "DOCKER_CONFIG=x",
            " export DOCKER_CONFIG=x",
            "DOCKER_CONFIG: x",
            "\tDOCKER_CONFIG = x",
            "export\tDOCKER_CONFIG=x",
        ] {
            assert_eq!(variable_name(line), "DOCKER_CONFIG", "{line}");
        }
        assert_eq!(variable_name("# DOCKER_CONFIG=x"), "");
    }
}
