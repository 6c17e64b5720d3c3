//! `towline keys`: API keys.

use chrono::Utc;
use clap::Subcommand;
use serde_json::json;

use super::Session;
use crate::{
    api::{
        self,
        api_keys::{self, Key, NewKeyRequest},
    },
    exit::{Exit, Failure},
    output::{
        Surface,
        table::{Rows, optional, whole},
        units::age,
    },
    prompt::confirm,
};

/// API keys
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// List them
    Ls,
    /// Make one; it is shown once
    Create {
        /// What it is for
        name: String,
        /// What it may be used for, such as projects:read or deployments:write (several times); everything when left
        /// out. docs/permissions.md lists them
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
        /// The one project that it is for, by name or id
        #[arg(long)]
        project: Option<String>,
        /// Answer it so often in a minute at most
        #[arg(long, value_name = "REQUESTS")]
        requests_per_minute: Option<u32>,
        /// End it after so many days
        #[arg(long, value_name = "DAYS")]
        expires_in_days: Option<u32>,
    },
    /// End one at once
    Revoke {
        /// Its name or id
        key: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

impl Keys {
    /// Talks to the API.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let client = session.client()?;
        match self {
            Self::Ls => {
                let keys = api::list::<Key>(&client).await?;
                session
                    .output
                    .result(&keys, |surface| table(surface, &keys))?;
            }
            Self::Create {
                name,
                scopes,
                project,
                requests_per_minute,
                expires_in_days,
            } => {
                let new = NewKeyRequest {
                    name,
                    scopes: (!scopes.is_empty()).then_some(scopes),
                    project,
                    requests_per_minute,
                    expires_in_days,
                };
                let made = api_keys::create(&client, &new).await?;
                session.output.note("This key is shown once; keep it now.");
                session
                    .output
                    .result(&made, |_| made.key.reveal().to_owned())?;
            }
            Self::Revoke { key, yes } => {
                let key = api_keys::find(&client, &key).await?;
                let question = format!(
                    "End the API key {:?}? Whoever uses it is locked out at once.",
                    key.name
                );
                confirm(yes.into(), &question)?;
                api_keys::revoke(&client, key.id).await?;
                let done = json!({ "id": key.id, "revoked": true });
                session
                    .output
                    .result(&done, |_| format!("Ended the API key {:?}.", key.name))?;
            }
        }
        Ok(Exit::Success)
    }
}

/// What a key may be used for.
fn purpose(key: &Key) -> String {
    let scopes = key.scopes.join(" ");
    match &key.project_name {
        None => scopes,
        Some(project) => format!("{scopes} on {project}"),
    }
}

fn table(surface: Surface, keys: &[Key]) -> String {
    let now = Utc::now();
    let mut rows = Rows::new(
        surface,
        [
            whole("name"),
            whole("id"),
            whole("for"),
            whole("created"),
            optional("last used"),
            optional("expires"),
        ],
    );
    for key in keys {
        rows.row([
            key.name.as_str().into(),
            key.id.to_string().into(),
            purpose(key).into(),
            age(key.created_at, now).into(),
            age(key.last_used_at, now).into(),
            age(key.expires_at, now).into(),
        ]);
    }
    rows.finish("There are no API keys. `towline keys create NAME` makes one.")
}
