//! `towline installation`: all teams at once, for administrators of the installation.

use chrono::Utc;
use clap::Subcommand;
use serde_json::Value;

use super::{Session, agents::status};
use crate::{
    api::{
        More,
        installation::{self, AgentOfTeam, Configuration, Storage, TeamOverview},
    },
    exit::{Exit, Failure},
    output::{
        Surface,
        table::{Rows, facts, optional, whole},
        units::{age, bytes, share},
    },
};

/// All teams at once, for administrators of the installation
#[derive(Debug, Subcommand)]
pub enum Installation {
    /// List all teams
    Teams,
    /// List the agents of all teams
    Agents,
    /// Show how much room everything takes, and how much there is
    Storage,
    /// Show what the server runs with; secrets are hidden
    Configuration,
}

impl Installation {
    /// Talks to the API.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let (client, out) = (session.client()?, &session.output);
        match self {
            Self::Teams => {
                let all = installation::teams(&client).await?;
                out.result(&all, |surface| teams(surface, &all))?;
            }
            Self::Agents => {
                let all = installation::agents(&client).await?;
                out.result(&all, |surface| agents(surface, &all))?;
            }
            Self::Storage => {
                let storage = installation::storage(&client).await?;
                out.result(&storage, |surface| room(surface, &storage))?;
            }
            Self::Configuration => {
                let shown = installation::configuration(&client).await?;
                out.result(&shown, |surface| settings(surface, &shown))?;
            }
        }
        Ok(Exit::Success)
    }
}

fn teams(surface: Surface, all: &[TeamOverview]) -> String {
    let now = Utc::now();
    let columns = [
        whole("team"),
        whole("owner"),
        whole("plan"),
        whole("members"),
        whole("projects"),
        whole("agents"),
        optional("since"),
        optional("id"),
    ];
    let mut rows = Rows::new(surface, columns);
    for team in all {
        rows.row([
            team.name.as_str().into(),
            team.owner.as_str().into(),
            team.plan.as_str().into(),
            team.members.to_string().into(),
            team.projects.to_string().into(),
            team.agents.to_string().into(),
            age(team.created_at, now).into(),
            team.id.to_string().into(),
        ]);
    }
    rows.finish("There are no teams.")
}

fn agents(surface: Surface, all: &[AgentOfTeam]) -> String {
    let now = Utc::now();
    let columns = [
        whole("team"),
        whole("agent"),
        whole("status"),
        optional("host"),
        optional("engine"),
        whole("version"),
        optional("last seen"),
    ];
    let mut rows = Rows::new(surface, columns);
    for AgentOfTeam { team, agent } in all {
        rows.row([
            team.name.as_str().into(),
            agent.name.as_str().into(),
            status(&agent.status),
            agent.hostname.as_deref().into(),
            agent.engine.as_deref().into(),
            agent.version.as_deref().into(),
            age(agent.last_seen_at, now).into(),
        ]);
    }
    rows.finish("There are no agents in any team.")
}

fn room(surface: Surface, storage: &Storage) -> String {
    let columns = [
        whole("database"),
        whole("kind"),
        whole("size"),
        whole("free for new rows"),
    ];
    let mut rows = Rows::new(surface, columns);
    for one in &storage.databases {
        rows.row([
            one.name.as_str().into(),
            one.kind.as_str().into(),
            bytes(one.bytes).into(),
            one.reusable_bytes.map(bytes).as_deref().into(),
        ]);
    }
    let disk = &storage.data_dir;
    let used = disk.disk_bytes.saturating_sub(disk.available_bytes);
    let facts = facts(
        surface,
        &[
            ("data directory", disk.path.clone()),
            ("its disk", share(used, disk.disk_bytes)),
            ("available", bytes(disk.available_bytes)),
        ],
    );
    format!("{}\n\n{facts}", rows.finish("There is no database."))
}

fn settings(surface: Surface, shown: &Configuration) -> String {
    let mut rows = Rows::new(surface, [whole("setting"), whole("value")]);
    rows.row(["version".into(), shown.version.as_str().into()]);
    for (name, value) in flat("", &shown.settings) {
        rows.row([name.as_str().into(), value.as_str().into()]);
    }
    rows.finish("Nothing is set.")
}

/// Settings below settings, under names with dots as in a file.
fn flat(above: &str, settings: &More) -> Vec<(String, String)> {
    let named = settings.iter().flat_map(|(name, value)| {
        let name = format!("{above}{name}");
        match value {
            Value::Object(below) => flat(&format!("{name}."), below),
            Value::String(text) => vec![(name, text.clone())],
            other => vec![(name, other.to_string())],
        }
    });
    named.collect()
}
