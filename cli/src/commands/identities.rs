//! `towline identities`: what one is at providers of identities, and signs in by.

use chrono::Utc;
use clap::Subcommand;
use serde_json::json;
use uuid::Uuid;

use super::Session;
use crate::{
    api::account::{self, Identity},
    exit::{Exit, Failure},
    output::{
        Surface,
        table::{Rows, optional, whole},
        units::age,
    },
};

/// What you are at GitHub, Google or your company's provider, and sign in by
#[derive(Debug, Subcommand)]
pub enum Identities {
    /// List them; they are linked on the page /sign-in
    #[command(visible_alias = "list")]
    Ls,
    /// Let one sign you in no more
    Unlink {
        /// Its id
        id: Uuid,
    },
}

impl Identities {
    /// Talks to the API.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let client = session.client()?;
        match self {
            Self::Ls => {
                let all = account::identities(&client).await?;
                session
                    .output
                    .result(&all, |surface| table(surface, &all))?;
            }
            Self::Unlink { id } => {
                account::unlink(&client, id).await?;
                let done = json!({ "id": id, "unlinked": true });
                session
                    .output
                    .result(&done, |_| format!("Unlinked the identity {id}."))?;
            }
        }
        Ok(Exit::Success)
    }
}

fn table(surface: Surface, identities: &[Identity]) -> String {
    let now = Utc::now();
    let columns = [
        whole("id"),
        whole("provider"),
        whole("e-mail"),
        whole("last used"),
        optional("linked"),
    ];
    let mut rows = Rows::new(surface, columns);
    for one in identities {
        rows.row([
            one.id.to_string().into(),
            one.provider.as_str().into(),
            one.email.as_deref().unwrap_or("-").into(),
            age(one.last_used_at, now).into(),
            age(one.created_at, now).into(),
        ]);
    }
    rows.finish("You have linked no identity.")
}
