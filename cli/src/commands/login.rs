//! `towline login`: trust an installation and keep a key to it.

use clap::Args;
use towline_pki::Fingerprint;

use super::Session;
use crate::{
    api::{Client, address, me},
    config::{ApiKey, ConfigFile, Context, DEFAULT_CONTEXT},
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
    let mut config = file.read()?;
    config.contexts.insert(name.to_owned(), context);
    config.current = Some(name.to_owned());
    file.write(&config)
}

/// Keeps a login beside those there are: as the command line says, else under the default name when
/// that is free, else under this one. Gives the name.
pub fn store_beside(
    session: &Session,
    file: &ConfigFile,
    context: Context,
    otherwise: &str,
) -> Result<String, Failure> {
    let mut config = file.read()?;
    let name = match session.named_context() {
        Some(name) => name,
        None if config.contexts.contains_key(DEFAULT_CONTEXT) => otherwise,
        None => DEFAULT_CONTEXT,
    };
    config.contexts.insert(name.to_owned(), context);
    config.current = Some(name.to_owned());
    file.write(&config)?;
    Ok(name.to_owned())
}
