//! `towline setup`: the first user of a new installation.

use clap::Args;
use reqwest::Url;

use super::{
    Session,
    link::{Link, Page},
    login, password,
};
use crate::{
    api::{
        Client, address,
        setup::{self, Installed, NewSetup},
    },
    exit::{Exit, Failure},
    output::table::facts,
};

/// Make the first user of a new installation, and log in
#[derive(Debug, Args)]
pub struct Setup {
    /// The link that the control plane printed at its first start
    link: String,
    /// Your e-mail address
    #[arg(long)]
    email: String,
    /// Your name
    #[arg(long)]
    name: String,
    /// Choose a password, too, for signing in in a browser; it is asked for, or read from stdin
    #[arg(long)]
    password: bool,
    /// Trust the CA in this PEM file, when the link carries no fingerprint
    #[arg(long, value_name = "FILE")]
    ca: Option<String>,
}

impl Setup {
    /// Completes the set-up and stores the login.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let link = Link::parse(&self.link, Page::Setup)?;
        let file = session.config_file()?;
        // The key is told once: first make sure that it can be kept.
        file.check_writable()?;
        let (connection, token) = link.connection(session, self.ca.as_deref())?;
        let client = Client::new(&connection)?;
        let password = password::chosen(self.password).await?;
        let setup = NewSetup {
            token: &token,
            email: &self.email,
            name: &self.name,
            password: password.as_deref(),
        };
        let installed = setup::complete(&client, &setup).await?;
        let context = connection
            .trust
            .context(&connection.url, installed.api_key.key.clone());
        login::store(session, &file, context).inspect_err(|_| {
            session.output.note(&format!(
                "The set-up is done, but the login cannot be stored. Keep this key: {}",
                installed.api_key.key.reveal()
            ));
        })?;
        session.output.result(&installed, |surface| {
            said(&installed, &connection.url, surface)
        })?;
        Ok(Exit::Success)
    }
}

fn said(installed: &Installed, url: &Url, surface: crate::output::Surface) -> String {
    let list = [
        ("installation", address(url).to_owned()),
        (
            "user",
            format!("{} <{}>", installed.user.name, installed.user.email),
        ),
        ("team", installed.team.name.clone()),
        ("API key", format!("{} (stored)", installed.api_key.name)),
    ];
    format!(
        "You are logged in.\n{}\nNext: enrol a host with `towline agents token NAME`.",
        facts(surface, &list)
    )
}
