//! `towline source`: the repository that a project comes from.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Session, integrations, secrets::SECRET_LIMIT};
use crate::{
    api::{
        self,
        projects::Project,
        sources::{self, Login, NewSource, Source as Found},
    },
    exit::{Exit, Failure},
    output::{Surface, table::facts},
    prompt::{self, confirm},
};

/// The repository that a project comes from
#[derive(Debug, Subcommand)]
pub enum Source {
    /// Show it
    Show {
        /// The project's name or id
        project: String,
    },
    /// Set it; it is read at once, and nothing is changed if it cannot be
    Set(Set),
    /// Forget it: the project consists of its own files alone again
    Forget {
        /// The project's name or id
        project: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

/// A repository to set.
#[derive(Debug, Args)]
pub struct Set {
    /// The project's name or id
    project: String,
    /// The repository's address, as https://git.example.org/team/shop.git
    #[arg(required_unless_present = "from")]
    url: Option<String>,
    /// Read it by an integration's token, in place of an address: its name or id, and what the forge calls the repository
    #[arg(long, value_name = "INTEGRATION:OWNER/REPO", conflicts_with_all = ["url", "user"])]
    from: Option<String>,
    /// Which branch is deployed when nothing else is said [default: the one that the repository shows first]
    #[arg(long, short)]
    branch: Option<String>,
    /// Where in the repository the project is [default: all of it]
    #[arg(long)]
    folder: Option<String>,
    /// Who reads it, when it is private; the password or token is asked for. Forges take any user beside a token
    #[arg(long)]
    user: Option<String>,
    /// Read the password or token from stdin
    #[arg(long, requires = "user")]
    password_stdin: bool,
}

impl Source {
    /// Talks to the API.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        match self {
            Self::Show { project } => {
                let client = session.client()?;
                let project = api::find::<Project>(&client, &project).await?;
                let found = sources::show(&client, project.id).await?;
                session
                    .output
                    .result(&found, |surface| details(surface, &found))?;
            }
            Self::Set(set) => set.run(session).await?,
            Self::Forget { project, yes } => {
                let client = session.client()?;
                let project = api::find::<Project>(&client, &project).await?;
                let question = format!("Forget the repository of the project {:?}?", project.name);
                confirm(yes.into(), &question)?;
                sources::forget(&client, project.id).await?;
                let done = json!({ "id": project.id, "forgotten": true });
                session.output.result(&done, |_| {
                    format!("{} consists of its own files alone.", project.name)
                })?;
            }
        }
        Ok(Exit::Success)
    }
}

impl Set {
    async fn run(self, session: &Session) -> Result<(), Failure> {
        let password = match &self.user {
            None => None,
            Some(_) => Some(prompt::secret("Password or token: ", SECRET_LIMIT).await?),
        };
        let client = session.client()?;
        let project = api::find::<Project>(&client, &self.project).await?;
        let login = self.user.as_deref().zip(password.as_deref());
        let from = match &self.from {
            None => None,
            Some(from) => Some(integrations::repository(&client, from).await?),
        };
        let (integration, repository) = from.unzip();
        let new = NewSource {
            url: self.url.as_deref(),
            integration,
            repository: repository.as_deref(),
            branch: self.branch.as_deref(),
            folder: self.folder.as_deref(),
            login: login.map(|(user, password)| Login { user, password }),
        };
        let set = sources::set(&client, project.id, &new).await?;
        session.output.result(&set, |surface| {
            format!(
                "{}\n\n`towline deploy --project {} --target TARGET` deploys it.",
                details(surface, &set).trim_end(),
                project.name
            )
        })
    }
}

fn details(surface: Surface, source: &Found) -> String {
    let or = |text: &str, otherwise: &str| match text {
        "" => otherwise.to_owned(),
        text => text.to_owned(),
    };
    facts(
        surface,
        &[
            ("repository", source.url.clone()),
            (
                "branch",
                or(
                    source.branch.as_deref().unwrap_or_default(),
                    "the repository's own",
                ),
            ),
            ("folder", or(&source.folder, "all of it")),
            (
                "read by",
                match &source.integration {
                    Some(name) => format!("the integration {name}"),
                    None => or(source.login.as_deref().unwrap_or_default(), "anybody"),
                },
            ),
            (
                "last read",
                format!("{} {}", short(&source.commit_sha), source.title),
            ),
        ],
    )
}

/// A commit as people write it.
pub fn short(commit: &str) -> &str {
    commit.get(..10).unwrap_or(commit)
}
