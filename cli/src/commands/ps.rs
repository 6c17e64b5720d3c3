//! `towline ps`: the containers of a target.

use clap::Args;

use super::Session;
use crate::{
    api::{
        self,
        containers::{self, Container},
        targets::Target,
    },
    exit::{Exit, Failure},
    output::{
        Surface,
        style::Style,
        table::{Field, Rows, optional, whole, wraps},
    },
};

/// List the containers of a target
#[derive(Debug, Args)]
pub struct Ps {
    /// The target's name or id
    target: String,
}

impl Ps {
    /// Asks the target's agent.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let client = session.client()?;
        let target = api::find::<Target>(&client, &self.target).await?;
        let containers = containers::list(&client, target.id).await?;
        session.output.result(&containers, |surface| {
            table(surface, &containers, &target.name)
        })?;
        Ok(Exit::Success)
    }
}

fn table(surface: Surface, containers: &[Container], target: &str) -> String {
    let mut rows = Rows::new(
        surface,
        [
            whole("container"),
            optional("project"),
            optional("service"),
            wraps("image"),
            wraps("status"),
            wraps("ports"),
        ],
    );
    for container in containers {
        rows.row([
            container.name.as_str().into(),
            container.project.as_str().into(),
            container.service.as_str().into(),
            container.image.as_str().into(),
            status(container),
            container.ports.join(", ").into(),
        ]);
    }
    rows.finish(&format!("There are no containers on {target}."))
}

fn status(container: &Container) -> Field {
    let word = if container.status.is_empty() {
        &container.state
    } else {
        &container.status
    };
    let style = match (container.state.as_str(), container.health.as_deref()) {
        ("running", Some("unhealthy")) | ("restarting" | "dead", _) => Style::Bad,
        ("running", Some("starting")) => Style::Busy,
        ("running", _) => Style::Good,
        _ => Style::Quiet,
    };
    Field::styled(word, style)
}
