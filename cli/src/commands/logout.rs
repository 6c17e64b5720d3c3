//! `towline logout`: forget a login.

use clap::Args;
use serde_json::json;

use super::Session;
use crate::exit::{Exit, Failure};

/// Forget a stored login
#[derive(Debug, Args)]
pub struct Logout {}

impl Logout {
    /// Takes the current or the named login out of the file. The key stays valid.
    #[expect(clippy::unused_self, reason = "every command is run in this way")]
    pub fn run(self, session: &Session) -> Result<Exit, Failure> {
        let file = session.config_file()?;
        let mut config = file.read()?;
        let name = session
            .named_context()
            .map(str::to_owned)
            .or(config.current.clone());
        let Some(name) = name else {
            return Err(Failure::usage("You are not logged in"));
        };
        if config.contexts.remove(&name).is_none() {
            return Err(Failure::usage(format!("There is no context {name:?}"))
                .remedy("`towline contexts ls` lists them"));
        }
        if config.current.as_ref() == Some(&name) {
            config.current = config.contexts.keys().next().cloned();
        }
        file.write(&config)?;
        session.output.result(&json!({ "forgotten": name }), |_| {
            format!(
                "Forgot the login {name:?}. Its API key is still valid: end it with `towline keys revoke` from \
                 another login."
            )
        })?;
        Ok(Exit::Success)
    }
}
