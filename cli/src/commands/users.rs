//! `towline users`: the people of the installation, for its administrators.

use chrono::Utc;
use clap::Subcommand;

use super::Session;
use crate::{
    api::{
        self, members,
        users::{self, Person},
    },
    exit::{Exit, Failure},
    output::{
        Surface,
        table::{Rows, optional, whole},
        units::age,
    },
};

/// The people of the installation, for its administrators
#[derive(Debug, Subcommand)]
pub enum Users {
    /// List them
    #[command(visible_alias = "list")]
    Ls,
    /// Make a link by which somebody chooses a new password; it works once, for an hour
    ResetLink {
        /// The person's e-mail address or id
        user: String,
    },
}

impl Users {
    /// Talks to the API.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let (client, out) = (session.client()?, &session.output);
        match self {
            Self::Ls => {
                let all = api::list::<Person>(&client).await?;
                out.result(&all, |surface| table(surface, &all))?;
            }
            Self::ResetLink { user } => {
                let person = members::find::<Person>(&client, &user).await?;
                let made = users::reset_link(&client, person.id).await?;
                out.note("This link is shown once. Whoever has it chooses the password.");
                out.result(&made, |_| made.link.clone())?;
            }
        }
        Ok(Exit::Success)
    }
}

fn table(surface: Surface, people: &[Person]) -> String {
    let now = Utc::now();
    let columns = [
        whole("email"),
        optional("name"),
        whole("role"),
        whole("since"),
    ];
    let mut rows = Rows::new(surface, columns);
    for person in people {
        rows.row([
            person.email.as_str().into(),
            person.name.as_str().into(),
            person.role.as_str().into(),
            age(person.created_at, now).into(),
        ]);
    }
    rows.finish("Nobody is here.")
}
