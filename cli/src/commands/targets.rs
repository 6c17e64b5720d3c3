//! `towline targets`: where deployments go.

mod docker;

use chrono::Utc;
use clap::Subcommand;

use docker::{AddDocker, RotateDocker};

use super::{Session, agents::status};
use crate::{
    api::{
        self,
        targets::{self, Target},
    },
    exit::{Exit, Failure},
    output::{
        Surface,
        style::Style,
        table::{Field, Rows, facts, optional, whole, wraps},
    },
};

/// Where deployments go
#[derive(Debug, Subcommand)]
pub enum Targets {
    /// List them
    Ls,
    /// Add a host that has no agent, whose engine is reached over TLS
    AddDocker(AddDocker),
    /// Give such a target another client's files
    RotateDocker(RotateDocker),
    /// Take such a target away; what runs there goes on
    #[command(visible_alias = "remove")]
    Rm {
        /// Its name or id
        target: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Say what a target's host is for: `builder` for one that builds for others
    Label {
        /// Its name or id
        target: String,
        /// All its labels from now on; without any it has none
        labels: Vec<String>,
    },
    /// Show one
    Show {
        /// Its name or id
        target: String,
    },
}

impl Targets {
    /// Talks to the API.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let client = session.client()?;
        match self {
            Self::Ls => {
                let targets = api::list::<Target>(&client).await?;
                session
                    .output
                    .result(&targets, |surface| table(surface, &targets))?;
            }
            Self::AddDocker(add) => add.run(session, &client).await?,
            Self::RotateDocker(rotate) => rotate.run(session, &client).await?,
            Self::Rm { target, yes } => docker::remove(session, &client, &target, yes).await?,
            Self::Label { target, labels } => {
                let target = api::find::<Target>(&client, &target).await?;
                let labelled = targets::label(&client, target.id, &labels).await?;
                session
                    .output
                    .result(&labelled, |surface| details(surface, &labelled))?;
            }
            Self::Show { target } => {
                let target = api::find::<Target>(&client, &target).await?;
                session
                    .output
                    .result(&target, |surface| details(surface, &target))?;
            }
        }
        Ok(Exit::Success)
    }
}

fn table(surface: Surface, targets: &[Target]) -> String {
    let mut rows = Rows::new(
        surface,
        [
            whole("name"),
            whole("status"),
            wraps("ready"),
            wraps("certificates"),
            optional("engine"),
            optional("compose"),
            optional("labels"),
        ],
    );
    for target in targets {
        rows.row([
            target.name.as_str().into(),
            status(&target.status),
            readiness(target),
            docker::ending(target, Utc::now()),
            target.engine.as_deref().into(),
            target.compose.as_deref().into(),
            Field::from(target.labels.join(" ")),
        ]);
    }
    rows.finish("There are no targets. `towline agents token NAME` begins the enrolment of a host.")
}

fn readiness(target: &Target) -> Field {
    match (target.ready.as_deref(), target.reason.as_deref()) {
        (Some("ready"), _) => Field::styled("ready", Style::Good),
        (Some(_), Some(reason)) => Field::styled(format!("no: {reason}"), Style::Warning),
        (Some(word), None) => Field::styled(word, Style::Warning),
        (None, _) => "–".into(),
    }
}

fn details(surface: Surface, target: &Target) -> String {
    let mut list = facts_of(target);
    if let Some(engine) = &target.docker_tls {
        list.extend(docker::facts_of(engine, Utc::now()));
    }
    if let Some(cluster) = &target.cluster {
        list.extend([
            ("namespace", cluster.namespace.clone()),
            ("other namespaces", cluster.namespaces.join(" ")),
            ("kinds of the cluster", cluster.cluster_scoped.join(" ")),
            ("service accounts", cluster.service_accounts.join(" ")),
        ]);
    }
    facts(surface, &list)
}

fn facts_of(target: &Target) -> Vec<(&'static str, String)> {
    let text = |known: &Option<String>| known.clone().unwrap_or_default();
    vec![
        ("name", target.name.clone()),
        ("id", target.id.to_string()),
        ("type", text(&target.r#type)),
        (
            "agent",
            target.agent_id.map(|id| id.to_string()).unwrap_or_default(),
        ),
        ("status", target.status.clone()),
        ("ready", text(&target.ready)),
        ("reason", text(&target.reason)),
        ("engine", text(&target.engine)),
        ("compose", text(&target.compose)),
        ("labels", target.labels.join(" ")),
    ]
}
