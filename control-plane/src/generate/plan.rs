//! What is generated, and for where.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    detect::{App, Detected, Packing, Serving},
    domain::names::{check_name, check_variable},
};

/// The most characters of a command.
const MAX_COMMAND: usize = 1000;
/// The most characters of an environment variable's value.
const MAX_VALUE: usize = 4096;
/// The most entries of a list.
const MAX_ENTRIES: usize = 100;

/// What is generated, and for where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The project's name.
    pub name: String,
    /// What the repository has of its own.
    pub packing: Packing,
    /// What runs.
    pub app: App,
    /// Where it runs.
    pub target: Target,
    /// What tests it and builds its image; nothing when nobody asked for that.
    pub ci: Option<Ci>,
    /// The branch from which images are published.
    pub branch: String,
    /// The image in a registry, without a tag (`registry.example.com/team/shop`).
    pub image: String,
    /// What its containers find in their environment.
    pub environment: Vec<Variable>,
    /// The name under which the world reaches it on Kubernetes; without one there is no Ingress.
    pub host: Option<String>,
}

/// A variable of the environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value. None: it is a secret, which the deployment must be given under this name.
    pub value: Option<String>,
}

/// Where it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// On a Docker engine, by a compose file.
    Docker,
    /// In a Kubernetes cluster.
    Kubernetes,
}

impl Target {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Docker, Self::Kubernetes];
}

/// What runs the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ci {
    /// GitHub Actions.
    GithubActions,
    /// GitLab CI.
    GitlabCi,
    /// Bitbucket Pipelines.
    BitbucketPipelines,
    /// Jenkins.
    Jenkins,
    /// Towline itself, on a push.
    Towline,
}

impl Ci {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::GithubActions,
        Self::GitlabCi,
        Self::BitbucketPipelines,
        Self::Jenkins,
        Self::Towline,
    ];
}

/// A value that cannot stand in the files.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}; {remedy}")]
pub struct Invalid {
    /// The field of the plan.
    pub field: &'static str,
    /// What is wrong with it.
    pub message: String,
    /// What to do.
    pub remedy: &'static str,
}

impl Plan {
    /// The plan for what was detected: for Docker, without CI.
    pub fn new(name: &str, detected: &Detected) -> Self {
        Self {
            name: name.to_owned(),
            packing: detected.packing.clone(),
            app: detected.app.clone(),
            target: Target::Docker,
            ci: None,
            branch: "main".to_owned(),
            image: format!("registry.example.com/{name}"),
            environment: Vec::new(),
            host: None,
        }
    }

    /// Whether its values can stand in files, each by itself and together.
    pub fn check(&self) -> Result<(), Invalid> {
        check_name("name", &self.name)
            .map_err(|error| invalid("name", error.message, "choose another name"))?;
        self.check_packing()?;
        text(
            "branch",
            &self.branch,
            200,
            is_reference,
            "give a branch's name",
        )?;
        text(
            "image",
            &self.image,
            255,
            is_image,
            "give an image's name without a tag, in lower-case letters",
        )?;
        if let Some(host) = &self.host {
            text(
                "host",
                host,
                253,
                is_host,
                "give a host's name, in lower-case letters",
            )?;
        }
        few("environment", self.environment.len())?;
        for variable in &self.environment {
            check_variable("environment", &variable.name).map_err(|error| {
                invalid(
                    "environment",
                    error.message,
                    "use letters, digits and underscores",
                )
            })?;
            let value = variable.value.as_deref().unwrap_or_default();
            let fits = |value: &str| !value.chars().any(is_invisible);
            text_or_nothing(
                "environment",
                value,
                MAX_VALUE,
                fits,
                "leave out control characters; make it a secret",
            )?;
        }
        self.check_app()
    }

    fn check_packing(&self) -> Result<(), Invalid> {
        let remedy = "say what its language is and how it is started, or add a Dockerfile";
        match &self.packing {
            Packing::Unknown => Err(invalid(
                "packing",
                "it is not known how to run this".into(),
                remedy,
            )),
            Packing::Generated if self.app.language.is_none() || !self.app.runs() => Err(invalid(
                "start",
                "it is not known how to run this".into(),
                remedy,
            )),
            Packing::Compose { file } | Packing::Dockerfile { file } => text(
                "packing",
                file,
                256,
                is_path,
                "name a file of the repository",
            ),
            Packing::Generated => Ok(()),
        }
    }

    fn check_app(&self) -> Result<(), Invalid> {
        let app = &self.app;
        let commands = [
            ("build", &app.build),
            ("start", &app.start),
            ("test", &app.test),
        ];
        for (field, command) in commands
            .into_iter()
            .filter_map(|(field, command)| Some((field, command.as_deref()?)))
        {
            let remedy = "give one line that begins with a word, has no here-document and does not end in a backslash";
            text(field, command, MAX_COMMAND, is_command, remedy)?;
        }
        if let Some(version) = &app.version {
            let fits = |text: &str| {
                text.split('.')
                    .all(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit()))
            };
            text(
                "version",
                version,
                20,
                fits,
                "give numbers with dots between",
            )?;
        }
        if let Some(output) = &app.output {
            let fits = |text: &str| text == "." || (is_path(text) && !text.contains(' '));
            text(
                "output",
                output,
                256,
                fits,
                "name a file or folder of the repository",
            )?;
        } else if app.serving == Serving::Static && self.packing == Packing::Generated {
            return Err(invalid(
                "output",
                "static files need a folder".into(),
                "name the folder that is served",
            ));
        }
        if app.serving == Serving::Static && app.port.is_none() {
            return Err(invalid("port", "a web server needs one".into(), "use 8080"));
        }
        if let Some(path) = &app.health {
            let fits = |text: &str| {
                text.starts_with('/')
                    && text
                        .chars()
                        .all(|c| c.is_ascii_alphanumeric() || "/._~-".contains(c))
            };
            text("health", path, 200, fits, "give a path such as /health")?;
        }
        if app.port.is_some_and(|port| port < 1024) && self.packing == Packing::Generated {
            return Err(invalid(
                "port",
                "only root can listen there".into(),
                "use a port from 1024, as containers run as another user",
            ));
        }
        self.check_lists()
    }

    fn check_lists(&self) -> Result<(), Invalid> {
        let app = &self.app;
        few("manifests", app.manifests.len())?;
        for path in &app.manifests {
            text(
                "manifests",
                path,
                256,
                is_path,
                "name files of the repository",
            )?;
        }
        few("local", app.local.len())?;
        for path in &app.local {
            let fits = |text: &str| text == "." || is_path(text);
            text(
                "local",
                path,
                256,
                fits,
                "name files or folders of the repository",
            )?;
        }
        few("packages", app.packages.len())?;
        for package in &app.packages {
            let fits = |text: &str| {
                text.chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "+.-_".contains(c))
                    && !text.starts_with('-')
            };
            text("packages", package, 100, fits, "use a package's name")?;
        }
        few("volumes", app.volumes.len())?;
        for volume in &app.volumes {
            // Kubernetes' names do not end so.
            let name = if volume.name.ends_with('-') {
                ""
            } else {
                &volume.name
            };
            check_name("volumes", name)
                .map_err(|error| invalid("volumes", error.message, "choose another name"))?;
            let fits =
                |text: &str| text.strip_prefix('/').is_some_and(is_path) && !text.contains(' ');
            text(
                "volumes",
                &volume.path,
                256,
                fits,
                "give the folder's path in the container",
            )?;
        }
        Ok(())
    }
}

fn invalid(field: &'static str, message: String, remedy: &'static str) -> Invalid {
    Invalid {
        field,
        message,
        remedy,
    }
}

fn text(
    field: &'static str,
    value: &str,
    most: usize,
    fits: impl Fn(&str) -> bool,
    remedy: &'static str,
) -> Result<(), Invalid> {
    if value.is_empty() {
        return Err(invalid(field, "it is empty".to_owned(), remedy));
    }
    text_or_nothing(field, value, most, fits, remedy)
}

fn text_or_nothing(
    field: &'static str,
    value: &str,
    most: usize,
    fits: impl Fn(&str) -> bool,
    remedy: &'static str,
) -> Result<(), Invalid> {
    if value.chars().count() > most {
        return Err(invalid(
            field,
            format!("it has more than {most} characters"),
            remedy,
        ));
    }
    if !fits(value) {
        return Err(invalid(
            field,
            format!("{value:?} cannot stand there"),
            remedy,
        ));
    }
    Ok(())
}

fn few(field: &'static str, entries: usize) -> Result<(), Invalid> {
    if entries <= MAX_ENTRIES {
        return Ok(());
    }
    Err(invalid(
        field,
        format!("it has more than {MAX_ENTRIES} entries"),
        "leave some out",
    ))
}

/// What some reader takes for a line end or does not show at all.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
}

/// One line that a Dockerfile takes for a command, and for nothing else: no flag, no JSON, no here-document, no
/// continuation.
fn is_command(text: &str) -> bool {
    let begins = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '/' | '_' | '(');
    text.starts_with(begins)
        && !text.chars().any(is_invisible)
        && !text.contains("<<")
        && !text.trim_end().ends_with(['\\', '`'])
}

fn is_path(text: &str) -> bool {
    let plain =
        |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '+' | '@' | ' ' | '/');
    let part = |part: &str| {
        !matches!(part, "" | "." | "..") && !part.starts_with(['-', ' ']) && !part.ends_with(' ')
    };
    text.chars().all(plain) && text.split('/').all(part)
}

fn is_reference(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
    text.chars().all(plain)
        && !text.starts_with(['-', '/'])
        && !text.contains("..")
        && !text.ends_with('/')
}

fn is_image(text: &str) -> bool {
    let plain = |c: char| {
        c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-' | ':')
    };
    let part = |part: &str| {
        !part.is_empty()
            && part.chars().all(plain)
            && part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.ends_with(|c: char| c.is_ascii_alphanumeric())
    };
    let parts: Vec<&str> = text.split('/').collect();
    // Only a registry has a port.
    parts.iter().all(|one| part(one))
        && parts.iter().skip(1).all(|one| !one.contains(':'))
        && (parts.len() > 1 || !text.contains(':'))
}

fn is_host(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    text.split('.').all(|part| {
        !part.is_empty()
            && part.len() <= 63
            && part.chars().all(plain)
            && !part.starts_with('-')
            && !part.ends_with('-')
    })
}
