//! `towline agents`: hosts that dial in.

use chrono::Utc;
use clap::Subcommand;

use super::{
    Session,
    agent_rollout::Rollout,
    agent_token::Token,
    agent_upgrade::{self, Wait},
};
use crate::{
    api::{
        self,
        agents::{self, Agent},
    },
    exit::{Exit, Failure},
    output::{
        Surface,
        style::Style,
        table::{Field, Rows, facts, optional, whole},
        units::{age, bytes, moment},
    },
    prompt::confirm,
};

/// Hosts that dial in
#[derive(Debug, Subcommand)]
pub enum Agents {
    Token(Token),
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
            Self::Token(token) => token.run(session, &client).await?,
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
