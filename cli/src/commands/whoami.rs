//! `towline whoami`.

use clap::Args;

use super::Session;
use crate::{
    api::{Client, address, me},
    exit::{Exit, Failure},
    output::table::facts,
};

/// Show which installation, user and team you are
#[derive(Debug, Args)]
pub struct Whoami {}

impl Whoami {
    /// Asks the installation.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let connection = session.connection()?;
        let client = Client::new(&connection)?;
        let me = me::get(&client).await?;
        session.output.result(&me, |surface| {
            let list = [
                ("installation", address(client.base()).to_owned()),
                ("user", format!("{} <{}>", me.user.name, me.user.email)),
                ("team", me.team.name.clone()),
                ("API key", me.key.name.clone()),
            ];
            facts(surface, &list)
        })?;
        Ok(Exit::Success)
    }
}
