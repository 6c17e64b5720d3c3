//! `towline secrets`: values that only the deploying host sees.

use chrono::Utc;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::Session;
use crate::{
    api::{
        self, Client, Named,
        projects::Project,
        secrets::{self, KeptVersion, Name, Secret},
    },
    exit::{Exit, Failure},
    output::{
        Surface,
        table::{Rows, optional, whole, wraps},
        units::age,
    },
    prompt::{self, confirm},
};

/// The most bytes of a secret that are read from stdin.
pub const SECRET_LIMIT: u64 = 64 * 1024;

/// Values that only the deploying host sees
#[derive(Debug, Subcommand)]
pub enum Secrets {
    /// List the names of a project's secrets, and what runs with former values; values are never shown
    #[command(visible_alias = "list")]
    Ls {
        /// The project's name or id
        project: String,
    },
    /// Set a secret; the value comes from stdin, or is asked for
    Set(Which),
    /// List the versions of a secret whose values are kept
    Versions(Which),
    /// Set a secret to the value it had in a former version
    Restore {
        #[command(flatten)]
        which: Which,
        /// The version that had the value
        #[arg(long)]
        version: u64,
    },
    /// Take a secret away, with its former values
    Rm {
        #[command(flatten)]
        which: Which,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

/// Which secret.
#[derive(Debug, Args)]
pub struct Which {
    /// The project's name or id
    project: String,
    /// The secret's name, as the compose file says ${NAME}
    key: String,
    /// The one for this environment, such as production [default: the one for all environments]
    #[arg(long, short, value_name = "ENVIRONMENT")]
    env: Option<String>,
    /// What it is given to
    #[arg(long, value_enum, default_value_t = Scope::Deploy)]
    scope: Scope,
}

/// What a secret is given to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scope {
    /// The building of images for another host
    Build,
    /// Deployments
    Deploy,
    /// What is built or deployed from a commit
    Pipeline,
}

impl Scope {
    const fn word(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Deploy => "deploy",
            Self::Pipeline => "pipeline",
        }
    }
}

impl Which {
    async fn project(&self, client: &Client) -> Result<Project, Failure> {
        api::find::<Project>(client, &self.project).await
    }

    fn of(&self, project: &Project) -> Name<'_> {
        Name {
            project: project.id,
            key: &self.key,
            scope: (self.scope != Scope::Deploy).then(|| self.scope.word()),
            environment: self.env.as_deref(),
        }
    }

    /// As people read it.
    fn words(&self, project: &Project) -> String {
        let environment = self.env.as_ref();
        let place = environment.map_or_else(String::new, |name| format!(" for {name}"));
        format!("{} of {}{place}", self.key, project.name)
    }

    fn json(&self, project: &Project) -> serde_json::Value {
        json!({
            "project": project.id,
            "key": self.key,
            "scope": self.scope.word(),
            "environment": self.env,
        })
    }
}

impl Secrets {
    /// Talks to the API.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let client = session.client()?;
        match self {
            Self::Ls { project } => {
                let project = api::find::<Project>(&client, &project).await?;
                let listed = secrets::list(&client, project.id).await?;
                session
                    .output
                    .result(&listed, |surface| table(&listed, surface))?;
            }
            Self::Set(which) => {
                let project = which.project(&client).await?;
                let question = format!("Value of {}: ", which.key);
                let value = prompt::secret(&question, SECRET_LIMIT).await?;
                secrets::set(&client, which.of(&project), &value).await?;
                session.output.result(&which.json(&project), |_| {
                    let next = match which.scope {
                        Scope::Deploy => "The next deployment uses it.",
                        Scope::Build => "The next build for another host uses it.",
                        Scope::Pipeline => "The next pipeline uses it.",
                    };
                    format!("Set {}. {next}", which.words(&project))
                })?;
            }
            Self::Versions(which) => {
                let project = which.project(&client).await?;
                let kept = secrets::versions(&client, which.of(&project)).await?;
                session
                    .output
                    .result(&kept, |surface| versions(&kept, surface))?;
            }
            Self::Restore { which, version } => {
                let project = which.project(&client).await?;
                let restored = secrets::restore(&client, which.of(&project), version).await?;
                session.output.result(&restored, |_| {
                    format!(
                        "Set {} to the value of version {version}, as version {}. The next deployment uses it.",
                        which.words(&project),
                        restored.version
                    )
                })?;
            }
            Self::Rm { which, yes } => {
                let project = which.project(&client).await?;
                let question = format!("Take the secret {} away?", which.words(&project));
                confirm(yes.into(), &question)?;
                secrets::delete(&client, which.of(&project)).await?;
                let mut done = which.json(&project);
                done["deleted"] = true.into();
                session
                    .output
                    .result(&done, |_| format!("Took {} away.", which.words(&project)))?;
            }
        }
        Ok(Exit::Success)
    }
}

fn table(listed: &[Secret], surface: Surface) -> String {
    let now = Utc::now();
    let columns = [
        whole("name"),
        whole("environment"),
        optional("scope"),
        whole("version"),
        whole("set"),
        optional("by"),
        wraps("still runs with"),
    ];
    let mut rows = Rows::new(surface, columns);
    for secret in listed {
        rows.row([
            secret.key.as_str().into(),
            secret.environment.as_deref().unwrap_or("all").into(),
            secret.scope.as_str().into(),
            secret.version.to_string().into(),
            age(secret.updated_at, now).into(),
            person(secret.set_by.as_ref()).into(),
            outdated(secret).into(),
        ]);
    }
    rows.finish("There are no secrets. `towline secrets set PROJECT NAME` sets one.")
}

/// `version 2 on web-1 (0197…)`, for each deployment with a former value.
fn outdated(secret: &Secret) -> String {
    let uses: Vec<_> = secret
        .outdated
        .iter()
        .map(|old| {
            format!(
                "version {} on {} ({})",
                old.version, old.target.name, old.deployment_id
            )
        })
        .collect();
    uses.join(", ")
}

fn versions(kept: &[KeptVersion], surface: Surface) -> String {
    let now = Utc::now();
    let mut rows = Rows::new(surface, [whole("version"), whole("set"), whole("by")]);
    for (place, version) in kept.iter().enumerate() {
        let present = if place == 0 { " (in use)" } else { "" };
        rows.row([
            format!("{}{present}", version.version).into(),
            age(version.set_at, now).into(),
            person(version.set_by.as_ref()).into(),
        ]);
    }
    rows.finish("There are no versions.")
}

fn person(by: Option<&Named>) -> &str {
    by.map_or("–", |by| by.name.as_str())
}
