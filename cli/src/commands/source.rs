//! `towline source`: the repository that a project comes from.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Session, integrations, secrets::SECRET_LIMIT};
use crate::{
    api::{
        self,
        integrations::Integration,
        projects::Project,
        sources::{self, DeployKey, Login, NewSource, Source as Found},
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
    /// The key by which it is read over ssh
    #[command(subcommand)]
    Key(Key),
    /// The keys by which its server is known over ssh
    #[command(subcommand)]
    HostKey(HostKey),
    /// Forget it: the project consists of its own files alone again
    Forget {
        /// The project's name or id
        project: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

/// The key by which a repository is read over ssh
#[derive(Debug, Subcommand)]
pub enum Key {
    /// Show what the forge is to be given, and by what its server is known
    Show {
        /// The project's name or id
        project: String,
    },
    /// Have the forge let it read the repository, by an integration of the team; it is made if there is none yet
    Install {
        /// The project's name or id
        project: String,
        /// The address that it is for, as ssh://git@github.com/ada/shop.git [default: the project's]
        #[arg(long)]
        url: Option<String>,
        /// The integration's name or id [default: the only one with the forge at that host]
        #[arg(long)]
        by: Option<String>,
    },
    /// Take it away from the forge where it was installed
    Uninstall {
        /// The project's name or id
        project: String,
    },
    /// Make a new one, which counts at once: nothing is read until the forge knows it. Where it was installed, the new one is, too
    Rotate {
        /// The project's name or id
        project: String,
        /// The address that it is for, as ssh://git@git.example.org/team/shop.git [default: the project's]
        #[arg(long)]
        url: Option<String>,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

/// The keys by which a repository's server is known over ssh
#[derive(Debug, Subcommand)]
pub enum HostKey {
    /// Accept those that the server shows now, in place of the ones that are kept
    Accept {
        /// The project's name or id
        project: String,
        /// The address of the repository [default: the project's]
        #[arg(long)]
        url: Option<String>,
        /// What one of them must have, as SHA256:… [default: whatever is shown is accepted]
        #[arg(long)]
        fingerprint: Option<String>,
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
    /// The repository's address, as https://git.example.org/team/shop.git, or over ssh git@git.example.org:team/shop.git
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
    /// Take its submodules, too, each at the commit that the repository names
    #[arg(long)]
    submodules: bool,
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
                let key = if found.is_over_ssh() {
                    Some(sources::key(&client, project.id).await?)
                } else {
                    None
                };
                session.output.result(&found, |surface| {
                    let key = key.map(|key| format!("\n{}", key_details(surface, &key)));
                    details(surface, &found) + &key.unwrap_or_default()
                })?;
            }
            Self::Set(set) => set.run(session).await?,
            Self::Key(key) => key.run(session).await?,
            Self::HostKey(key) => key.run(session).await?,
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

impl Key {
    async fn run(self, session: &Session) -> Result<(), Failure> {
        let client = session.client()?;
        let shown = match self {
            Self::Show { project } => {
                let project = api::find::<Project>(&client, &project).await?;
                sources::key(&client, project.id).await?
            }
            Self::Install { project, url, by } => {
                let project = api::find::<Project>(&client, &project).await?;
                let by = match by {
                    None => None,
                    Some(by) => Some(api::find::<Integration>(&client, &by).await?.id),
                };
                sources::install_key(&client, project.id, url.as_deref(), by).await?
            }
            Self::Uninstall { project } => {
                let project = api::find::<Project>(&client, &project).await?;
                sources::uninstall_key(&client, project.id).await?;
                let done = json!({ "id": project.id, "uninstalled": true });
                return session.output.result(&done, |_| {
                    format!("No forge lets a key of {} in any more.", project.name)
                });
            }
            Self::Rotate { project, url, yes } => {
                let project = api::find::<Project>(&client, &project).await?;
                let question = format!(
                    "Replace the deploy key of {:?}? Nothing is read until the forge knows the new one.",
                    project.name
                );
                confirm(yes.into(), &question)?;
                sources::renew_key(&client, project.id, url.as_deref()).await?
            }
        };
        session
            .output
            .result(&shown, |surface| key_details(surface, &shown))
    }
}

impl HostKey {
    async fn run(self, session: &Session) -> Result<(), Failure> {
        let Self::Accept {
            project,
            url,
            fingerprint,
            yes,
        } = self;
        let client = session.client()?;
        let project = api::find::<Project>(&client, &project).await?;
        if fingerprint.is_none() {
            let question = format!(
                "Accept whatever host key the repository's server of {:?} shows now?",
                project.name
            );
            confirm(yes.into(), &question)?;
        }
        let (url, fingerprint) = (url.as_deref(), fingerprint.as_deref());
        let accepted = sources::accept_host_keys(&client, project.id, url, fingerprint).await?;
        session
            .output
            .result(&accepted, |surface| key_details(surface, &accepted))
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
            submodules: self.submodules.then_some("take"),
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
    let nobody = if source.is_over_ssh() {
        "a deploy key"
    } else {
        "anybody"
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
                "submodules",
                match source.submodules.as_str() {
                    "take" => "are taken".to_owned(),
                    _ => "are left out".to_owned(),
                },
            ),
            (
                "read by",
                match &source.integration {
                    Some(name) => format!("the integration {name}"),
                    None => or(source.login.as_deref().unwrap_or_default(), nobody),
                },
            ),
            (
                "last read",
                format!("{} {}", short(&source.commit_sha), source.title),
            ),
        ],
    )
}

fn key_details(surface: Surface, key: &DeployKey) -> String {
    let page = key.settings_page.as_deref();
    let page = page.unwrap_or("the repository's settings");
    let server: Vec<String> = key
        .host_keys
        .iter()
        .map(|key| format!("{} {}", key.kind, key.fingerprint))
        .collect();
    let from = match key.host_keys_from.as_str() {
        "published" => "published by the forge",
        _ => "shown by the server at the first call; compare them with what its operator says",
    };
    let facts = facts(
        surface,
        &[
            ("key for", key.url.clone()),
            ("fingerprint", key.fingerprint.clone()),
            ("server", server.join(", ")),
            ("", from.to_owned()),
        ],
    );
    let facts = facts.trim_end();
    if let Some(repository) = &key.installed_in {
        return format!(
            "{facts}\n\nThe forge knows it already: it is installed in {repository}.\n"
        );
    }
    format!(
        "{facts}\n\nAdd this as a read-only deploy key at {page}, or by `towline source key install`:\n\n{}\n",
        key.public_key
    )
}

/// A commit as people write it.
pub fn short(commit: &str) -> &str {
    commit.get(..10).unwrap_or(commit)
}
