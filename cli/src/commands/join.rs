//! `towline join`: accepts an invitation into a team.

use clap::Args;

use super::{
    Session,
    link::{Link, Page},
    login, password,
};
use crate::{
    api::{Client, address, members, setup::Installed},
    connection::Connection,
    exit::{Exit, Failure},
    output::table::facts,
};

/// Accept an invitation into a team, and log in
#[derive(Debug, Args)]
pub struct Join {
    /// The link that somebody of the team gave you
    link: String,
    /// Your name, if you are new to the installation; without it you join with the stored login
    #[arg(long)]
    name: Option<String>,
    /// Choose a password, too, for signing in in a browser; it is asked for, or read from stdin
    #[arg(long, requires = "name")]
    password: bool,
    /// Trust the CA in this PEM file, when the link carries no fingerprint
    #[arg(long, value_name = "FILE")]
    ca: Option<String>,
}

impl Join {
    /// Joins, and stores the login for the team.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let link = Link::parse(&self.link, Page::Join)?;
        let file = session.config_file()?;
        // The key is told once: first make sure that it can be kept.
        file.check_writable()?;
        let (connection, joined) = if let Some(name) = &self.name {
            let (connection, token) = link.connection(session, self.ca.as_deref())?;
            let client = Client::new(&connection)?;
            let password = password::chosen(self.password).await?;
            let joined = members::accept(&client, &token, name, password.as_deref()).await?;
            (connection, joined)
        } else {
            let connection = session.connection()?;
            link.expect_at(&connection.url)?;
            let client = Client::new(&connection)?;
            let joined = members::join(&client, link.token()).await?;
            (connection, joined)
        };
        let key = joined.api_key.key.clone();
        let context = connection.trust.context(&connection.url, key);
        let name =
            login::store_beside(session, &file, context, &joined.team.name).inspect_err(|_| {
                session.output.note(&format!(
                    "You are in the team, but the login cannot be stored. Keep this key: {}",
                    joined.api_key.key.reveal()
                ));
            })?;
        session.output.result(&joined, |surface| {
            said(&connection, &joined, &name, surface)
        })?;
        Ok(Exit::Success)
    }
}

fn said(
    connection: &Connection,
    joined: &Installed,
    name: &str,
    surface: crate::output::Surface,
) -> String {
    let list = [
        ("installation", address(&connection.url).to_owned()),
        (
            "user",
            format!("{} <{}>", joined.user.name, joined.user.email),
        ),
        ("team", joined.team.name.clone()),
        ("login", name.to_owned()),
    ];
    format!("You are in.\n{}", facts(surface, &list))
}
