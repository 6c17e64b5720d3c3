//! `towline login`: trust an installation and keep a key to it.

use clap::Args;
use towline_pki::Fingerprint;

use super::Session;
use crate::{
    api::{Client, address, me},
    config::{ApiKey, Config, ConfigFile, Context, DEFAULT_CONTEXT},
    connection::{Connection, parse_url},
    exit::{Exit, Failure},
    output::plain,
    prompt,
    trust::Trust,
};

/// Keys are far shorter.
const KEY_LIMIT: u64 = 4096;

/// Log in to an installation with an API key
#[derive(Debug, Args)]
pub struct Login {
    /// The control plane's address, https://HOST:PORT
    url: String,
    /// The API key; others may see it in the list of processes, so better leave it out and type or
    /// pipe it
    #[arg(long, value_name = "KEY", conflicts_with = "key_stdin")]
    key: Option<String>,
    /// Read the API key from stdin
    #[arg(long)]
    key_stdin: bool,
    /// Trust the installation's own CA by its SHA-256, as the control plane printed it
    #[arg(long, value_name = "SHA256", conflicts_with = "ca")]
    ca_fingerprint: Option<Fingerprint>,
    /// Trust the CA in this PEM file
    #[arg(long, value_name = "FILE")]
    ca: Option<String>,
}

impl Login {
    /// Checks the key against the installation and stores both.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let trust = match (self.ca_fingerprint, &self.ca) {
            (Some(fingerprint), _) => Trust::Fingerprint(fingerprint),
            (None, ca) => session.trust(ca.as_deref())?,
        };
        let url = parse_url(&self.url)?;
        let key = match &self.key {
            Some(key) => ApiKey::new(key)?,
            None => ApiKey::new(&prompt::secret("API key: ", KEY_LIMIT).await?)?,
        };
        let connection = Connection {
            url,
            trust,
            key: Some(key.clone()),
        };
        let me = me::get(&Client::new(&connection)?).await?;
        let file = session.config_file()?;
        store(
            session,
            &file,
            connection.trust.context(&connection.url, key),
        )?;
        session.output.result(&me, |surface| {
            let text = format!(
                "Logged in to {} as {} of team {}.",
                address(&connection.url),
                me.user.name,
                me.team.name
            );
            plain::for_reader(&text, surface.reader).into_owned()
        })?;
        Ok(Exit::Success)
    }
}

/// Keeps a login and makes it the current one.
pub fn store(session: &Session, file: &ConfigFile, context: Context) -> Result<(), Failure> {
    let name = session.named_context().unwrap_or(DEFAULT_CONTEXT);
    keep(file, file.read()?, name, context)
}

/// Keeps a login beside those there are: as the command line says, else under the default name, else
/// under this one, with a number where that is taken, too. Gives the name.
pub fn store_beside(
    session: &Session,
    file: &ConfigFile,
    context: Context,
    otherwise: &str,
) -> Result<String, Failure> {
    let config = file.read()?;
    let name = session.named_context().map_or_else(
        || free_name(otherwise, |name| config.contexts.contains_key(name)),
        str::to_owned,
    );
    keep(file, config, &name, context)?;
    Ok(name)
}

fn free_name(otherwise: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let names = [DEFAULT_CONTEXT.to_owned(), otherwise.to_owned()];
    let mut number = 1_u64;
    names
        .into_iter()
        .find(|name| !is_taken(name))
        .unwrap_or_else(|| {
            loop {
                number += 1;
                let name = format!("{otherwise}-{number}");
                if !is_taken(&name) {
                    return name;
                }
            }
        })
}

fn keep(
    file: &ConfigFile,
    mut config: Config,
    name: &str,
    context: Context,
) -> Result<(), Failure> {
    config.contexts.insert(name.to_owned(), context);
    config.current = Some(name.to_owned());
    file.write(&config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_beside_others_takes_none_of_their_names() {
        let mut taken: Vec<String> = Vec::new();
        for expected in [DEFAULT_CONTEXT, "shop", "shop-2", "shop-3"] {
            let name = free_name("shop", |name| taken.iter().any(|one| one == name));
            assert_eq!(name, expected);
            taken.push(name);
        }
    }
}
