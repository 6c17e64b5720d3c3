//! `towline registries`: registries that the team logs in to; `towline projects registry`: where a project's built
//! images go.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Session, secrets::SECRET_LIMIT};
use crate::{
    api::{
        self, Client,
        projects::Project,
        registries::{self, Check, NewRegistry, Password, Registry},
    },
    exit::{Exit, Failure},
    output::{
        Surface,
        table::{Rows, optional, whole, wraps},
    },
    prompt::{self, confirm},
};

/// Registries that deployments and builds log in to
#[derive(Debug, Subcommand)]
pub enum Registries {
    /// List the team's registries
    #[command(visible_alias = "list")]
    Ls,
    /// Add a registry; the password is asked for, or read from stdin
    Add(Add),
    /// Give a registry's login another password, which is asked for, or read from stdin
    SetPassword {
        /// The registry, or its id
        registry: String,
        /// Do not ask the registry whether it takes it: only agents reach it
        #[arg(long)]
        no_check: bool,
    },
    /// Forget a registry and its password
    #[command(visible_alias = "remove")]
    Rm {
        /// The registry, or its id
        registry: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

/// A registry to add.
#[derive(Debug, Args)]
pub struct Add {
    /// The registry, as names of images begin: ghcr.io, registry.example.com:5000, docker.io
    registry: String,
    /// Who logs in
    #[arg(long, short)]
    user: String,
    /// What you want to know of it
    #[arg(long)]
    note: Option<String>,
    /// Do not ask the registry whether it takes the login: only agents reach it
    #[arg(long)]
    no_check: bool,
}

/// Where a project's built images go.
#[derive(Debug, Args)]
pub struct OfProject {
    /// The project's name or id
    project: String,
    /// What the images' names begin with, as registry.example.com/acme/shop; left out, it is shown
    repository: Option<String>,
    /// Push them nowhere from now on
    #[arg(long, conflicts_with = "repository")]
    none: bool,
}

impl Registries {
    /// Talks to the API.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let (client, out) = (session.client()?, &session.output);
        match self {
            Self::Ls => {
                let all = api::list::<Registry>(&client).await?;
                out.result(&all, |surface| table(surface, &all))?;
            }
            Self::Add(add) => add.run(session, &client).await?,
            Self::SetPassword { registry, no_check } => {
                let known = api::find::<Registry>(&client, &registry).await?;
                let password = ask_for_password().await?;
                let new = Password {
                    password: &password,
                    check: Check::from(no_check),
                };
                let changed = registries::set_password(&client, known.id, &new).await?;
                out.result(&changed, |_| {
                    format!("{} has another password.", changed.name)
                })?;
            }
            Self::Rm { registry, yes } => {
                let known = api::find::<Registry>(&client, &registry).await?;
                let name = &known.name;
                let question = format!("Forget the registry {name} and its password?");
                confirm(yes.into(), &question)?;
                registries::remove(&client, known.id).await?;
                let done = json!({ "id": known.id, "deleted": true });
                out.result(&done, |_| format!("Forgot the registry {name}."))?;
            }
        }
        Ok(Exit::Success)
    }
}

impl Add {
    async fn run(self, session: &Session, client: &Client) -> Result<(), Failure> {
        let password = ask_for_password().await?;
        let new = NewRegistry {
            registry: &self.registry,
            user: &self.user,
            password: &password,
            note: self.note.as_deref(),
            check: Check::from(self.no_check),
        };
        let made = registries::add(client, &new).await?;
        session.output.result(&made, |_| {
            format!(
                "Added {0}. Deployments log in to it from now on; `towline projects registry PROJECT {0}/…` has a project's \
                 images pushed to it.",
                made.name
            )
        })
    }
}

impl OfProject {
    /// Talks to the API.
    pub async fn run(self, session: &Session, client: &Client) -> Result<(), Failure> {
        let project = api::find::<Project>(client, &self.project).await?;
        let name = &project.name;
        if self.none {
            registries::forget_of_project(client, project.id).await?;
            let done = json!({ "project_id": project.id, "repository": null });
            return session.output.result(&done, |_| {
                format!("The images of {name} are pushed nowhere from its next deployment on.")
            });
        }
        let Some(repository) = &self.repository else {
            let shown = registries::of_project(client, project.id).await?;
            return session.output.result(&shown, |_| shown.repository.clone());
        };
        let set = registries::set_of_project(client, project.id, repository).await?;
        session.output.result(&set, |_| {
            format!(
                "The images of {name} are pushed to {} from its next deployment on.",
                set.repository
            )
        })
    }
}

async fn ask_for_password() -> Result<String, Failure> {
    prompt::secret("Password or token: ", SECRET_LIMIT).await
}

fn table(surface: Surface, all: &[Registry]) -> String {
    let columns = [
        whole("registry"),
        whole("user"),
        wraps("note"),
        whole("projects"),
        optional("id"),
    ];
    let mut rows = Rows::new(surface, columns);
    for one in all {
        rows.row([
            one.name.as_str().into(),
            one.user.as_str().into(),
            one.note.as_str().into(),
            one.projects.to_string().into(),
            one.id.to_string().into(),
        ]);
    }
    rows.finish("There are no registries. `towline registries add REGISTRY --user USER` adds one.")
}
