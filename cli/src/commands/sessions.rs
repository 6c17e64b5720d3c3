//! `towline sessions`: the browsers in which one is signed in.

use chrono::Utc;
use clap::Subcommand;
use serde_json::json;
use uuid::Uuid;

use super::Session;
use crate::{
    api::account::{self, SignIn},
    exit::{Exit, Failure},
    output::{
        Surface,
        table::{Rows, optional, whole},
        units::age,
    },
};

/// The browsers in which you are signed in
#[derive(Debug, Subcommand)]
pub enum Sessions {
    /// List them
    #[command(visible_alias = "list")]
    Ls,
    /// Sign out in one of them, at once
    Revoke {
        /// Its id
        id: Uuid,
    },
}

impl Sessions {
    /// Talks to the API.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let client = session.client()?;
        match self {
            Self::Ls => {
                let all = account::sessions(&client).await?;
                session
                    .output
                    .result(&all, |surface| table(surface, &all))?;
            }
            Self::Revoke { id } => {
                account::revoke(&client, id).await?;
                let done = json!({ "id": id, "revoked": true });
                session
                    .output
                    .result(&done, |_| format!("Ended the session {id}."))?;
            }
        }
        Ok(Exit::Success)
    }
}

fn table(surface: Surface, sessions: &[SignIn]) -> String {
    let now = Utc::now();
    let columns = [
        whole("id"),
        whole("address"),
        whole("last used"),
        optional("began"),
        optional("browser"),
    ];
    let mut rows = Rows::new(surface, columns);
    for one in sessions {
        rows.row([
            one.id.to_string().into(),
            one.address.as_str().into(),
            age(one.last_used_at, now).into(),
            age(one.created_at, now).into(),
            one.user_agent.as_str().into(),
        ]);
    }
    rows.finish("You are signed in in no browser.")
}
