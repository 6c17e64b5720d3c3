//! `towline users`: the people of the installation, for its administrators.

use chrono::Utc;
use clap::{Subcommand, ValueEnum};

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
    prompt::confirm,
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
    /// Make somebody an administrator of the installation, or take that from them
    Role {
        /// The person's e-mail address or id
        user: String,
        /// What they may do in the installation
        role: UserRole,
    },
    /// Shut somebody out: their sessions end, their keys open nothing, and what is theirs stays
    Suspend {
        /// The person's e-mail address or id
        user: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Let somebody in again
    Resume {
        /// The person's e-mail address or id
        user: String,
    },
    /// Turn off the second factor of somebody who has lost it and the recovery codes
    RemoveSecondFactor {
        /// The person's e-mail address or id
        user: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

/// What somebody may do in the installation.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum UserRole {
    /// To work in teams
    User,
    /// To administer the installation, too
    Admin,
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
            Self::Role { user, role } => {
                let role = match role {
                    UserRole::User => "user",
                    UserRole::Admin => "admin",
                };
                change(session, &user, "role", role).await?;
            }
            Self::Suspend { user, yes } => {
                let question = format!(
                    "Suspend {user}? Their sessions end and their keys open nothing; what is theirs stays and runs on."
                );
                confirm(yes.into(), &question)?;
                change(session, &user, "state", "suspended").await?;
            }
            Self::Resume { user } => change(session, &user, "state", "active").await?,
            Self::RemoveSecondFactor { user, yes } => {
                let person = members::find::<Person>(&client, &user).await?;
                let question = format!(
                    "Turn off the second factor of {}? Make sure first that it is they who ask: their password is \
                     enough from then on.",
                    person.email
                );
                confirm(yes.into(), &question)?;
                users::remove_second_factor(&client, person.id).await?;
                out.note(&format!(
                    "{} signs in by the password alone, and is told so.",
                    person.email
                ));
            }
        }
        Ok(Exit::Success)
    }
}

async fn change(session: &Session, user: &str, field: &str, value: &str) -> Result<(), Failure> {
    let client = session.client()?;
    let person = members::find::<Person>(&client, user).await?;
    let changed = users::change(&client, person.id, field, value).await?;
    session.output.result(&changed, |surface| {
        table(surface, std::slice::from_ref(&changed))
    })
}

fn table(surface: Surface, people: &[Person]) -> String {
    let now = Utc::now();
    let columns = [
        whole("email"),
        optional("name"),
        whole("role"),
        whole("state"),
        optional("plan"),
        optional("second factor"),
        whole("since"),
    ];
    let mut rows = Rows::new(surface, columns);
    for person in people {
        rows.row([
            person.email.as_str().into(),
            person.name.as_str().into(),
            person.role.as_str().into(),
            person.state.as_deref().into(),
            person.plan.as_deref().into(),
            person.second_factor.as_deref().into(),
            age(person.created_at, now).into(),
        ]);
    }
    rows.finish("Nobody is here.")
}
