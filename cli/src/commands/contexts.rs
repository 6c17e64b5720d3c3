//! `towline contexts`: several installations.

use clap::Subcommand;
use serde_json::json;

use super::Session;
use crate::{
    exit::{Exit, Failure},
    output::table::{Rows, whole},
};

/// Stored logins
#[derive(Debug, Subcommand)]
pub enum Contexts {
    /// List them
    Ls,
    /// Make one the current one
    Use {
        /// Its name
        name: String,
    },
}

impl Contexts {
    /// Reads or changes the configuration file.
    pub fn run(self, session: &Session) -> Result<Exit, Failure> {
        let file = session.config_file()?;
        let mut config = file.read()?;
        match self {
            Self::Ls => {
                let current = config.current.unwrap_or_default();
                let listed: Vec<_> = config
                    .contexts
                    .iter()
                    .map(|(name, context)| {
                        json!({ "name": name, "url": context.url, "current": *name == current })
                    })
                    .collect();
                session.output.result(&listed, |surface| {
                    let mut rows =
                        Rows::new(surface, [whole("name"), whole("url"), whole("current")]);
                    for (name, context) in &config.contexts {
                        let mark = if *name == current { "*" } else { "" };
                        rows.row([
                            name.as_str().into(),
                            context.url.as_str().into(),
                            mark.into(),
                        ]);
                    }
                    rows.finish("There are no stored logins. `towline login URL` makes one.")
                })?;
            }
            Self::Use { name } => {
                if !config.contexts.contains_key(&name) {
                    return Err(Failure::usage(format!("There is no context {name:?}"))
                        .remedy("`towline contexts ls` lists them"));
                }
                config.current = Some(name.clone());
                file.write(&config)?;
                let done = json!({ "current": name });
                session
                    .output
                    .result(&done, |_| format!("Commands go to {name:?} from now on."))?;
            }
        }
        Ok(Exit::Success)
    }
}
