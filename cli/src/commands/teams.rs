//! `towline teams`: the teams that you are in.

use chrono::Utc;
use clap::Subcommand;
use serde_json::json;

use super::{Session, login};
use crate::{
    api::Client,
    api::{
        me,
        teams::{self, Team},
    },
    exit::{Exit, Failure},
    output::{
        Surface,
        table::{Rows, whole},
        units::age,
    },
    prompt::confirm,
};

/// The teams that you are in
#[derive(Debug, Subcommand)]
pub enum Teams {
    /// List them
    Ls,
    /// Make a further one, and log in to it
    Create {
        /// Its name
        name: String,
    },
    /// Give the team of this login another name
    Rename {
        /// The new name
        name: String,
    },
    /// Delete the team of this login; its projects and agents must be gone
    Rm {
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

impl Teams {
    /// Talks to the API.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let out = &session.output;
        match self {
            Self::Ls => {
                let all = teams::list(&session.client()?).await?;
                out.result(&all, |surface| table(surface, &all))?;
            }
            Self::Create { name } => create(session, &name).await?,
            Self::Rename { name } => {
                let renamed = teams::rename(&session.client()?, &name).await?;
                out.result(&renamed, |_| {
                    format!("The team is called {} now.", renamed.name)
                })?;
            }
            Self::Rm { yes } => {
                let client = session.client()?;
                let team = me::get(&client).await?.team;
                let question = format!(
                    "Delete the team {} with everybody's keys for it? This login ends at once.",
                    team.name
                );
                confirm(yes.into(), &question)?;
                teams::delete(&client).await?;
                let done = json!({ "id": team.id, "deleted": true });
                out.result(&done, |_| format!("Deleted the team {}.", team.name))?;
            }
        }
        Ok(Exit::Success)
    }
}

async fn create(session: &Session, name: &str) -> Result<(), Failure> {
    let connection = session.connection()?;
    let file = session.config_file()?;
    // The key is told once: first make sure that it can be kept.
    file.check_writable()?;
    let made = teams::create(&Client::new(&connection)?, name).await?;
    let context = connection
        .trust
        .context(&connection.url, made.api_key.key.clone());
    let login = login::store_beside(session, &file, context, &made.name).inspect_err(|_| {
        session.output.note(&format!(
            "The team is made, but the login cannot be stored. Keep this key: {}",
            made.api_key.key.reveal()
        ));
    })?;
    session.output.result(&made, |_| {
        format!(
            "Made the team {}. The login {login} is for it, and is in use now.",
            made.name
        )
    })
}

fn table(surface: Surface, all: &[Team]) -> String {
    let now = Utc::now();
    let columns = [whole("name"), whole("role"), whole("id"), whole("made")];
    let mut rows = Rows::new(surface, columns);
    for team in all {
        let role = team.role.as_deref().unwrap_or("single projects");
        let holds = if team.is_own { " (yours)" } else { "" };
        rows.row([
            team.name.as_str().into(),
            format!("{role}{holds}").into(),
            team.id.to_string().into(),
            age(team.created_at, now).into(),
        ]);
    }
    rows.finish("You are in no team. `towline teams create NAME` makes one.")
}
