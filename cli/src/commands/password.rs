//! `towline password`: changes the password that one signs in with in a browser.

use clap::Args;
use serde_json::json;

use super::Session;
use crate::{
    api::account,
    exit::{Exit, Failure},
    prompt,
};

/// The most bytes of a password.
pub const PASSWORD_LIMIT: u64 = 1024;

/// Change the password that you sign in with in a browser
///
/// Asks for the present one and the new one, or reads them from stdin, a line each. All browsers are
/// signed out; API keys stay.
#[derive(Debug, Args)]
pub struct Password {}

/// The password that somebody new chooses, if they do.
pub async fn chosen(wanted: bool) -> Result<Option<String>, Failure> {
    if wanted {
        prompt::new_password(PASSWORD_LIMIT).await.map(Some)
    } else {
        Ok(None)
    }
}

impl Password {
    /// Talks to the API.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let client = session.client()?;
        let (present, new) = prompt::changed_password(PASSWORD_LIMIT).await?;
        account::change_password(&client, &present, &new).await?;
        let done = json!({ "changed": true });
        session.output.result(&done, |_| {
            "The password is changed. All browsers are signed out.".to_owned()
        })?;
        Ok(Exit::Success)
    }
}
