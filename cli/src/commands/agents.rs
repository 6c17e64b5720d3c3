//! `towline agents`: hosts that dial in.

use std::fmt::Write as _;
use std::time::Duration;

use chrono::Utc;
use clap::Subcommand;

use super::{
    Session,
    agent_rollout::Rollout,
    agent_upgrade::{self, Wait},
    period,
};
use crate::{
    api::{
        self,
        agents::{self, Agent},
        enrolment_tokens::{self, Enrolment},
    },
    exit::{Exit, Failure},
    output::{
        Surface, plain,
        style::Style,
        table::{Field, Rows, facts, optional, whole},
        units::{age, bytes, moment},
    },
    prompt::confirm,
};

/// Hosts that dial in
#[derive(Debug, Subcommand)]
pub enum Agents {
    /// Make a single-use token with which a host enrols
    Token {
        /// The name that the agent and its target will have
        name: String,
        /// How long the token is valid, at most 15m
        #[arg(long, default_value = "15m", value_parser = period::parse)]
        ttl: Duration,
    },
    /// List the agents
    Ls,
    /// Show one agent
    Show {
        /// Its name or id
        agent: String,
    },
    /// Have an agent become the one that the control plane has for its host
    ///
    /// The host verifies it by its own release keys, tries it, waits until its jobs have ended, and changes over; when the
    /// new one is not welcomed soon, the former comes back. Containers are not touched.
    Upgrade {
        /// Its name or id
        agent: String,
        /// Do not wait for how it ends
        #[arg(long)]
        no_wait: bool,
    },
    Rollout(Rollout),
    /// Show how far an agent is with its last upgrade
    UpgradeStatus {
        /// Its name or id
        agent: String,
    },
    /// End an agent's right to connect, at once and for ever
    Revoke {
        /// Its name or id
        agent: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

impl Agents {
    /// Talks to the API.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let client = session.client()?;
        match self {
            Self::Token { name, ttl } => {
                let minutes = u32::try_from(ttl.as_secs().div_ceil(60)).unwrap_or(u32::MAX);
                let token = enrolment_tokens::create(&client, &name, minutes).await?;
                session
                    .output
                    .result(&token, |surface| instructions(surface, &token))?;
            }
            Self::Ls => {
                let agents = api::list::<Agent>(&client).await?;
                session
                    .output
                    .result(&agents, |surface| table(surface, &agents))?;
            }
            Self::Show { agent } => {
                let agent = api::find::<Agent>(&client, &agent).await?;
                session
                    .output
                    .result(&agent, |surface| details(surface, &agent))?;
            }
            Self::Upgrade { agent, no_wait } => {
                let agent = api::find::<Agent>(&client, &agent).await?;
                let wait = if no_wait { Wait::No } else { Wait::UntilItEnds };
                return agent_upgrade::run(session, &client, &agent, wait).await;
            }
            Self::Rollout(rollout) => return rollout.run(session, &client).await,
            Self::UpgradeStatus { agent } => {
                let agent = api::find::<Agent>(&client, &agent).await?;
                return agent_upgrade::show(session, &client, &agent).await;
            }
            Self::Revoke { agent, yes } => {
                let agent = api::find::<Agent>(&client, &agent).await?;
                let question = format!(
                    "Revoke the agent {:?}? It is cut off at once, its running deployments fail, and the host has to \
                     enrol anew.",
                    agent.name
                );
                confirm(yes.into(), &question)?;
                let revoked = agents::revoke(&client, agent.id).await?;
                session
                    .output
                    .result(&revoked, |_| format!("Revoked the agent {:?}.", agent.name))?;
            }
        }
        Ok(Exit::Success)
    }
}

fn instructions(surface: Surface, token: &Enrolment) -> String {
    let command = token
        .command
        .clone()
        .unwrap_or_else(|| format!("towline-agent enroll --token {}", token.token));
    let ends = age(Some(token.expires_at), Utc::now());
    let text = format!(
        "Run this as root on the host that shall become {}; the token works once and ends {ends}:",
        token.name,
    );
    let (first, second) = match &token.install {
        Some(install) => (install, Some(&command)),
        None => (&command, None),
    };
    let mut text = format!(
        "{}\n\n  {}\n",
        plain::for_reader(&text, surface.reader),
        plain::for_reader(first, surface.reader)
    );
    if let Some(second) = second {
        let second = plain::for_reader(second, surface.reader);
        let _ = write!(
            text,
            "\nIt installs the agent and starts it; add --install-docker where Docker is missing, or --dry-run to see what it would do.\n\
             Where the agent is installed already:\n\n  {second}\n"
        );
    }
    text
}

fn table(surface: Surface, agents: &[Agent]) -> String {
    let now = Utc::now();
    let mut rows = Rows::new(
        surface,
        [
            whole("name"),
            whole("status"),
            optional("host"),
            whole("engine"),
            optional("compose"),
            optional("version"),
            optional("last seen"),
        ],
    );
    for agent in agents {
        rows.row([
            agent.name.as_str().into(),
            status(&agent.status),
            agent.hostname.as_deref().into(),
            agent.engine.as_deref().into(),
            agent.compose.as_deref().into(),
            agent.version.as_deref().into(),
            age(agent.last_seen_at, now).into(),
        ]);
    }
    rows.finish("There are no agents. `towline agents token NAME` begins the enrolment of a host.")
}

/// A status of an agent or target.
pub fn status(word: &str) -> Field {
    let style = match word {
        "online" => Style::Good,
        "offline" => Style::Warning,
        _ => Style::Bad,
    };
    Field::styled(word, style)
}

fn details(surface: Surface, agent: &Agent) -> String {
    let text = |known: &Option<String>| known.clone().unwrap_or_default();
    let capacity = match (agent.cores, agent.memory) {
        (Some(cores), Some(memory)) => format!("{cores} cores, {}", bytes(memory)),
        _ => String::new(),
    };
    let list = [
        ("name", agent.name.clone()),
        ("id", agent.id.to_string()),
        ("status", agent.status.clone()),
        (
            "target",
            agent.target_id.map(|id| id.to_string()).unwrap_or_default(),
        ),
        ("host", text(&agent.hostname)),
        (
            "system",
            format!("{} {}", text(&agent.os), text(&agent.arch))
                .trim()
                .to_owned(),
        ),
        ("capacity", capacity),
        ("engine", text(&agent.engine)),
        ("compose", text(&agent.compose)),
        ("version", text(&agent.version)),
        ("connected", moment(agent.connected_at)),
        ("last seen", moment(agent.last_seen_at)),
        ("certificate until", moment(agent.certificate_expires_at)),
    ];
    facts(surface, &list)
}
