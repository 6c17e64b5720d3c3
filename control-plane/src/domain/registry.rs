//! Registries of images: how they are named, who logs in, and what images are called there.

use super::names::InvalidName;

/// The most registries of a team.
pub const MAX_REGISTRIES: usize = towline_shared::spec::MAX_REGISTRIES;
/// The name by which images of Docker Hub are known.
pub const DOCKER_HUB: &str = "docker.io";
/// The longest name of a registry: a host's, and a port.
const MAX_HOST: usize = 259;
/// The longest name of a user.
const MAX_USER: usize = 255;
/// The shortest password: shorter ones are not masked in logs.
const MIN_PASSWORD: usize = 4;
/// The longest password; some registries give JSON documents as such.
pub const MAX_PASSWORD: usize = 4096;
/// The longest note.
const MAX_NOTE: usize = 200;
/// The longest name that images of a project begin with; engines take 255, and the service's name follows.
const MAX_REPOSITORY: usize = 180;

/// A registry as names of images begin: a host, with its port where that is not the usual one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryHost(String);

/// What the names of a project's images begin with: a registry, and a path there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageRepository {
    registry: RegistryHost,
    path: String,
}

fn invalid(field: &'static str, message: impl Into<String>) -> InvalidName {
    InvalidName {
        field,
        message: message.into(),
        remedy: "see docs/registries.md for what is taken".to_owned(),
    }
}

impl RegistryHost {
    /// Reads one. Docker Hub has several names, of which images know one.
    ///
    /// # Errors
    /// When it is no host, as engines tell one from a part of an image's name.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let text = text.trim().to_ascii_lowercase();
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text.as_str(), None),
        };
        let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
        let is_host = host.split('.').all(is_label);
        let is_told_apart = host.contains('.') || port.is_some() || host == "localhost";
        if text.len() > MAX_HOST || !is_host || !port.is_none_or(is_port) || !is_told_apart {
            let message = format!(
                "{text:?} is no registry: one is a host, with a port where that is not the usual one, and without https:// and \
                 a path"
            );
            return Err(invalid("registry", message));
        }
        let hub = ["index.docker.io", "registry-1.docker.io", "hub.docker.com"];
        Ok(Self(if hub.contains(&text.as_str()) {
            DOCKER_HUB.to_owned()
        } else {
            text
        }))
    }

    /// As names of images begin.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host and port at which its API is.
    pub fn api(&self) -> &str {
        match self.0.as_str() {
            DOCKER_HUB => "registry-1.docker.io",
            host => host,
        }
    }
}

impl ImageRepository {
    /// Reads one: `registry.example.com/acme/shop`.
    ///
    /// # Errors
    /// When it is none that images could have.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let wrong = |message: String| invalid("repository", message);
        let Some((registry, path)) = text.trim().split_once('/') else {
            return Err(wrong(format!(
                "{text:?} names no repository: one is a registry and a path, as registry.example.com/acme/shop"
            )));
        };
        let registry = RegistryHost::parse(registry).map_err(|error| wrong(error.message))?;
        if text.len() > MAX_REPOSITORY {
            return Err(wrong(format!("it has at most {MAX_REPOSITORY} characters")));
        }
        if !path.split('/').all(is_component) {
            return Err(wrong(format!(
                "{path:?} is no path of images: its parts are small letters and digits, with single dots, underscores or dashes \
                 between them, and without a tag"
            )));
        }
        Ok(Self {
            registry,
            path: path.to_owned(),
        })
    }

    /// Its registry.
    pub const fn registry(&self) -> &RegistryHost {
        &self.registry
    }

    /// The whole.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry.as_str(), self.path)
    }
}

fn is_label(label: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (1..=63).contains(&label.len())
        && label.chars().all(|c| is_plain(c) || c == '-')
        && label.starts_with(is_plain)
        && label.ends_with(is_plain)
}

fn is_component(part: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    part.split(['.', '_', '-'])
        .all(|piece| !piece.is_empty() && piece.chars().all(is_plain))
}

/// Checks who logs in.
///
/// # Errors
/// When no registry takes it.
pub fn check_user(user: &str) -> Result<(), InvalidName> {
    let is_plain = (1..=MAX_USER).contains(&user.len())
        && user.chars().all(|c| c.is_ascii_graphic() && c != ':');
    if is_plain {
        return Ok(());
    }
    let message = format!("it has 1 to {MAX_USER} visible characters, without a colon");
    Err(invalid("user", message))
}

/// Checks a password or token.
///
/// # Errors
/// When it is too short, too long, or has characters that no header carries.
pub fn check_password(password: &str) -> Result<(), InvalidName> {
    let fits = (MIN_PASSWORD..=MAX_PASSWORD).contains(&password.len())
        && !password.chars().any(char::is_control);
    if fits {
        return Ok(());
    }
    let message =
        format!("it has {MIN_PASSWORD} to {MAX_PASSWORD} bytes, without control characters");
    Err(invalid("password", message))
}

/// Checks what people are told about a login.
///
/// # Errors
/// When it is too long, or not of one line.
pub fn check_note(note: &str) -> Result<(), InvalidName> {
    if note.chars().count() <= MAX_NOTE && !note.chars().any(char::is_control) {
        return Ok(());
    }
    let message = format!("it has at most {MAX_NOTE} characters, on one line");
    Err(invalid("note", message))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn registries_are_hosts_as_engines_know_them() {
        let table = [
            ("ghcr.io", "ghcr.io"),
            (" Registry.Example.com:5000 ", "registry.example.com:5000"),
            ("localhost", "localhost"),
            ("127.0.0.1:5000", "127.0.0.1:5000"),
            ("registry:5000", "registry:5000"),
            ("index.docker.io", "docker.io"),
        ];
        for (text, expected) in table {
            assert_eq!(RegistryHost::parse(text).unwrap().as_str(), expected);
        }
        assert_eq!(
            RegistryHost::parse("docker.io").unwrap().api(),
            "registry-1.docker.io"
        );
        let wrong = [
            "",
            "acme",
            "https://ghcr.io",
            "ghcr.io/acme",
            "ada@ghcr.io",
            "ghcr.io:0",
            "ghcr.io:99999",
            "ghcr.io:",
            ".ghcr.io",
            "-a.b",
            "a..b",
            "ghcr.io\r\nx",
        ];
        for text in wrong.iter().copied().chain([&*"a.".repeat(200)]) {
            let error = RegistryHost::parse(text).unwrap_err();
            assert_eq!(error.field, "registry", "{text}");
        }
    }

    #[test]
    fn repositories_are_what_images_may_be_called() {
        let repository = ImageRepository::parse("GHCR.io/acme/web_shop-1").unwrap();
        assert_eq!(repository.name(), "ghcr.io/acme/web_shop-1");
        assert_eq!(repository.registry().as_str(), "ghcr.io");
        for text in [
            "ghcr.io",
            "ghcr.io/",
            "acme/shop",
            "ghcr.io/acme/",
            "ghcr.io//shop",
            "ghcr.io/Acme",
            "ghcr.io/acme:latest",
            "ghcr.io/acme@sha256:1",
            "ghcr.io/a..b",
            "ghcr.io/-a",
            "ghcr.io/a b",
        ] {
            let error = ImageRepository::parse(text).unwrap_err();
            assert_eq!(error.field, "repository", "{text}");
        }
        let long = format!("ghcr.io/{}", "a".repeat(MAX_REPOSITORY));
        assert!(ImageRepository::parse(&long).is_err());
    }

    #[test]
    fn logins_have_limits() {
        assert!(check_user("robot$acme+ci").is_ok());
        for user in ["", "a:b", "a b", "ä", &"a".repeat(256)] {
            assert_eq!(check_user(user).unwrap_err().field, "user");
        }
        assert!(check_password("a pass: {\"x\":1}").is_ok());
        for password in ["", "abc", "abcd\n", &"a".repeat(MAX_PASSWORD + 1)] {
            assert_eq!(check_password(password).unwrap_err().field, "password");
        }
        assert!(check_note("").is_ok() && check_note("reads only").is_ok());
        for note in ["a\nb", &"ä".repeat(201)] {
            assert_eq!(check_note(note).unwrap_err().field, "note");
        }
    }
}
