//! `towline secrets`: values that only the deploying host sees.

use chrono::Utc;
use clap::Subcommand;
use serde_json::json;

use super::Session;
use crate::{
    api::{self, projects::Project, secrets},
    exit::{Exit, Failure},
    output::{
        table::{Rows, whole},
        units::age,
    },
    prompt::{self, confirm},
};

/// The most bytes of a secret that are read from stdin.
pub const SECRET_LIMIT: u64 = 64 * 1024;

/// Values that only the deploying host sees
#[derive(Debug, Subcommand)]
pub enum Secrets {
    /// List the names of a project's secrets; their values are never shown
    Ls {
        /// The project's name or id
        project: String,
    },
    /// Set a secret; the value comes from stdin, or is asked for
    Set {
        /// The project's name or id
        project: String,
        /// The secret's name, as the compose file says ${NAME}
        key: String,
    },
    /// Take a secret away
    Rm {
        /// The project's name or id
        project: String,
        /// The secret's name
        key: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

impl Secrets {
    /// Talks to the API.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let client = session.client()?;
        match self {
            Self::Ls { project } => {
                let project = api::find::<Project>(&client, &project).await?;
                let listed = secrets::list(&client, project.id).await?;
                session.output.result(&listed, |surface| {
                    let now = Utc::now();
                    let mut rows = Rows::new(surface, [whole("name"), whole("set")]);
                    for secret in &listed {
                        rows.row([
                            secret.key.as_str().into(),
                            age(secret.updated_at, now).into(),
                        ]);
                    }
                    rows.finish(
                        "There are no secrets. `towline secrets set PROJECT NAME` sets one.",
                    )
                })?;
            }
            Self::Set { project, key } => {
                let project = api::find::<Project>(&client, &project).await?;
                let value = prompt::secret(&format!("Value of {key}: "), SECRET_LIMIT).await?;
                secrets::set(&client, project.id, &key, &value).await?;
                let done = json!({ "project": project.id, "key": key });
                session.output.result(&done, |_| {
                    format!(
                        "Set {key} of {}. The next deployment uses it.",
                        project.name
                    )
                })?;
            }
            Self::Rm { project, key, yes } => {
                let project = api::find::<Project>(&client, &project).await?;
                confirm(
                    yes.into(),
                    &format!("Take the secret {key} of {:?} away?", project.name),
                )?;
                secrets::delete(&client, project.id, &key).await?;
                let done = json!({ "project": project.id, "key": key, "deleted": true });
                session
                    .output
                    .result(&done, |_| format!("Took {key} of {} away.", project.name))?;
            }
        }
        Ok(Exit::Success)
    }
}
