//! `towline integrations`: accounts at forges, and what they reach.

use chrono::Utc;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use uuid::Uuid;

use super::{Session, secrets::SECRET_LIMIT, source::short};
use crate::{
    api::{
        self, Client,
        integrations::{self, Branch, Integration, NewIntegration, Repository, Status, Token},
    },
    exit::{Exit, Failure},
    output::{
        Surface,
        table::{Rows, optional, whole, wraps},
        units::age,
    },
    prompt::{self, confirm},
};

/// Accounts at GitHub, GitLab and Bitbucket, and the repositories that they reach
#[derive(Debug, Subcommand)]
pub enum Integrations {
    /// List the team's integrations
    #[command(visible_alias = "list")]
    Ls,
    /// Connect an account; its token is asked for, or read from stdin
    Connect(Connect),
    /// Give an integration another token, which is asked for, or read from stdin
    Token {
        /// The integration's name or id
        integration: String,
        /// Who says the token: for Bitbucket's API tokens, the address of the account
        #[arg(long, value_name = "USER")]
        token_user: Option<String>,
    },
    /// Forget an integration and its token
    Rm {
        /// The integration's name or id
        integration: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// List the repositories that it reaches, those that were used last first
    Repos {
        /// The integration's name or id
        integration: String,
        /// At Bitbucket, the workspace, where the account is in several
        #[arg(long)]
        workspace: Option<String>,
        /// How many
        #[arg(long, short = 'n', default_value_t = 50)]
        limit: usize,
    },
    /// List the branches of a repository
    Branches {
        /// The integration's name or id, and what its forge calls the repository
        #[arg(value_name = "INTEGRATION:OWNER/REPO")]
        repository: String,
        /// How many
        #[arg(long, short = 'n', default_value_t = 50)]
        limit: usize,
    },
    /// Show what its forge was told of the commits that were deployed
    Statuses {
        /// The integration's name or id
        integration: String,
        /// How many
        #[arg(long, short = 'n', default_value_t = 20)]
        limit: usize,
    },
}

/// An account to connect.
#[derive(Debug, Args)]
pub struct Connect {
    /// What you call it
    name: String,
    /// Which forge
    #[arg(long, value_enum)]
    forge: Forge,
    /// Where the forge is, as https://gitlab.example.org [default: its own address]
    #[arg(long)]
    url: Option<String>,
    /// Who says the token: for Bitbucket's API tokens, the address of the account
    #[arg(long, value_name = "USER")]
    token_user: Option<String>,
}

/// Which forge.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Forge {
    Github,
    Gitlab,
    Bitbucket,
}

impl Forge {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Github => "github",
            Self::Gitlab => "gitlab",
            Self::Bitbucket => "bitbucket",
        }
    }
}

impl Integrations {
    /// Talks to the API.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let (client, out) = (session.client()?, &session.output);
        match self {
            Self::Ls => {
                let all = api::list::<Integration>(&client).await?;
                out.result(&all, |surface| table(surface, &all))?;
            }
            Self::Connect(connect) => connect.run(session, &client).await?,
            Self::Token {
                integration,
                token_user,
            } => {
                let known = api::find::<Integration>(&client, &integration).await?;
                let token = ask_for_token().await?;
                let token = Token {
                    token: &token,
                    token_user: token_user.as_deref(),
                };
                let changed = integrations::replace_token(&client, known.id, &token).await?;
                out.result(&changed, |surface| {
                    table(surface, std::slice::from_ref(&changed))
                })?;
            }
            Self::Rm { integration, yes } => {
                let known = api::find::<Integration>(&client, &integration).await?;
                let name = &known.name;
                confirm(
                    yes.into(),
                    &format!("Forget the integration {name} and its token?"),
                )?;
                integrations::delete(&client, known.id).await?;
                let done = json!({ "id": known.id, "deleted": true });
                out.result(&done, |_| format!("Forgot the integration {name}."))?;
            }
            Self::Repos {
                integration,
                workspace,
                limit,
            } => {
                let known = api::find::<Integration>(&client, &integration).await?;
                let workspace = workspace.as_deref();
                let all = integrations::repositories(&client, known.id, workspace, limit).await?;
                out.result(&all, |surface| repositories(surface, &all))?;
            }
            Self::Branches {
                repository: of,
                limit,
            } => {
                let (id, name) = repository(&client, &of).await?;
                let all = integrations::branches(&client, id, &name, limit).await?;
                out.result(&all, |surface| branches(surface, &all))?;
            }
            Self::Statuses { integration, limit } => {
                let known = api::find::<Integration>(&client, &integration).await?;
                let all = integrations::statuses(&client, known.id, limit).await?;
                out.result(&all, |surface| statuses(surface, &all))?;
            }
        }
        Ok(Exit::Success)
    }
}

impl Connect {
    async fn run(self, session: &Session, client: &Client) -> Result<(), Failure> {
        let token = ask_for_token().await?;
        let new = NewIntegration {
            name: &self.name,
            forge: self.forge.as_str(),
            url: self.url.as_deref(),
            token: Token {
                token: &token,
                token_user: self.token_user.as_deref(),
            },
        };
        let made = integrations::connect(client, &new).await?;
        session.output.result(&made, |_| {
            format!(
                "Connected {} at {}. `towline integrations repos {}` lists what it reaches.",
                made.login, made.url, made.name
            )
        })
    }
}

async fn ask_for_token() -> Result<String, Failure> {
    prompt::secret("Token: ", SECRET_LIMIT).await
}

/// An integration, and a repository that it reaches: `INTEGRATION:OWNER/REPO`.
pub async fn repository(client: &Client, text: &str) -> Result<(Uuid, String), Failure> {
    let Some((integration, name)) = text.split_once(':') else {
        return Err(Failure::usage(format!("{text:?} names no repository"))
            .remedy("write INTEGRATION:OWNER/REPO, as github:ada/shop"));
    };
    let known = api::find::<Integration>(client, integration).await?;
    Ok((known.id, name.to_owned()))
}

fn table(surface: Surface, all: &[Integration]) -> String {
    let columns = [
        whole("integration"),
        whole("forge"),
        whole("account"),
        wraps("url"),
        wraps("scopes"),
        whole("projects"),
        wraps("last error"),
        optional("id"),
    ];
    let mut rows = Rows::new(surface, columns);
    for one in all {
        let scopes = one.scopes.as_ref().map(|scopes| scopes.join(" "));
        rows.row([
            one.name.as_str().into(),
            one.forge.as_str().into(),
            one.login.as_str().into(),
            one.url.as_str().into(),
            scopes.unwrap_or_default().into(),
            one.projects.to_string().into(),
            one.last_error.as_deref().unwrap_or_default().into(),
            one.id.to_string().into(),
        ]);
    }
    rows.finish(
        "There are no integrations. `towline integrations connect NAME --forge github` makes one.",
    )
}

fn repositories(surface: Surface, all: &[Repository]) -> String {
    let columns = [wraps("repository"), whole("visibility"), whole("branch")];
    let mut rows = Rows::new(surface, columns);
    for one in all {
        rows.row([
            one.name.as_str().into(),
            one.visibility.as_str().into(),
            one.default_branch.as_deref().unwrap_or_default().into(),
        ]);
    }
    rows.finish("The account's token reaches no repository.")
}

fn branches(surface: Surface, all: &[Branch]) -> String {
    let mut rows = Rows::new(surface, [wraps("branch"), whole("commit")]);
    for one in all {
        rows.row([one.name.as_str().into(), short(&one.commit_sha).into()]);
    }
    rows.finish("The repository has no branch.")
}

fn statuses(surface: Surface, all: &[Status]) -> String {
    let now = Utc::now();
    let columns = [
        whole("age"),
        wraps("repository"),
        whole("commit"),
        wraps("context"),
        whole("tells"),
        whole("state"),
        wraps("error"),
    ];
    let mut rows = Rows::new(surface, columns);
    for one in all {
        rows.row([
            age(one.created_at, now).into(),
            one.repository.as_str().into(),
            short(&one.commit_sha).into(),
            one.context.as_str().into(),
            one.commit_state.as_str().into(),
            one.state.as_str().into(),
            one.error.as_deref().unwrap_or_default().into(),
        ]);
    }
    rows.finish("The forge was told of no commit yet.")
}
