//! `towline channels`: the ways by which one is told.

use chrono::Utc;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Session, webhooks};
use crate::{
    api::{
        Client,
        notifications::{self, Channel},
    },
    exit::{Exit, Failure},
    output::{
        Surface,
        table::{Rows, optional, whole, wraps},
        units::age,
    },
    prompt::{self, confirm},
};

/// The most bytes of an address or a token.
const SECRET_LIMIT: u64 = 4096;

/// The ways by which you are told
#[derive(Debug, Subcommand)]
pub enum Channels {
    /// List your channels; addresses and tokens are never shown
    #[command(visible_alias = "list")]
    Ls,
    /// Make one; its address or token comes from stdin, or is asked for
    #[command(subcommand)]
    Add(Add),
    /// Send a message over one now, and show what comes of it
    Test(Which),
    /// Show what was and is to be sent over one
    Deliveries {
        #[command(flatten)]
        which: Which,
        /// How many at most
        #[arg(long, short = 'n', default_value_t = 50)]
        limit: usize,
    },
    /// Switch one on
    Enable(Which),
    /// Switch one off; what waits is not sent any more
    Disable(Which),
    /// Delete one with all that was sent over it
    Rm {
        #[command(flatten)]
        which: Which,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

/// Which channel.
#[derive(Debug, Args)]
pub struct Which {
    /// Its name or id
    channel: String,
}

/// The kinds of channels.
#[derive(Debug, Subcommand)]
pub enum Add {
    /// A channel in Slack, by an incoming webhook whose address is asked for
    Slack {
        /// What you call it
        name: String,
    },
    /// A channel in Discord, by a webhook whose address is asked for
    Discord {
        /// What you call it
        name: String,
    },
    /// A chat with a Telegram bot, whose token is asked for
    Telegram {
        /// What you call it
        name: String,
        /// The chat's number, or @channelname
        #[arg(long, allow_hyphen_values = true)]
        chat: String,
        /// A Bot API server of your own
        #[arg(long, value_name = "URL")]
        server: Option<String>,
    },
    /// A topic of an ntfy server
    Ntfy {
        /// What you call it
        name: String,
        /// The topic
        #[arg(long)]
        topic: String,
        /// The server [default: https://ntfy.sh]
        #[arg(long, value_name = "URL")]
        server: Option<String>,
        /// Whether the topic needs an access token, which is asked for
        #[arg(long)]
        with_token: bool,
    },
    /// A receiver of your own; its address is asked for, and its secret shown once
    Webhook {
        /// What you call it
        name: String,
    },
}

impl Add {
    async fn run(self, session: &Session, client: &Client) -> Result<(), Failure> {
        let (kind, name, settings) = self.read().await?;
        let made = notifications::add(client, kind, &name, &settings).await?;
        if made.secret.is_some() {
            session.output.note(
                "This secret is shown once; the receiver verifies by it. See docs/notifications.md.",
            );
        }
        session.output.result(&made, |_| {
            made.secret.clone().unwrap_or_else(|| {
                format!(
                    "Made the channel {name}. `towline channels test` tries it; `towline notifications rule` says what it tells."
                )
            })
        })
    }

    /// Addresses and tokens are secrets, and stand on no command line.
    async fn read(self) -> Result<(&'static str, String, Value), Failure> {
        let address = "Address of the webhook: ";
        Ok(match self {
            Self::Slack { name } => ("slack", name, json!({ "url": secret(address).await? })),
            Self::Discord { name } => ("discord", name, json!({ "url": secret(address).await? })),
            Self::Webhook { name } => ("webhook", name, json!({ "url": secret(address).await? })),
            Self::Telegram { name, chat, server } => {
                let token = secret("Token of the bot: ").await?;
                let settings = json!({ "bot_token": token, "chat_id": chat, "server": server });
                ("telegram", name, settings)
            }
            Self::Ntfy {
                name,
                topic,
                server,
                with_token,
            } => {
                let token = if with_token {
                    Some(secret("Access token: ").await?)
                } else {
                    None
                };
                let settings = json!({ "topic": topic, "server": server, "token": token });
                ("ntfy", name, settings)
            }
        })
    }
}

async fn secret(question: &str) -> Result<String, Failure> {
    prompt::secret(question, SECRET_LIMIT).await
}

impl Channels {
    /// Talks to the API.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let (client, out) = (session.client()?, &session.output);
        match self {
            Self::Ls => {
                let all = notifications::channels(&client).await?;
                out.result(&all, |surface| table(surface, &all))?;
            }
            Self::Add(add) => add.run(session, &client).await?,
            Self::Test(which) => return test(session, &client, &which).await,
            Self::Deliveries { which, limit } => {
                let channel = which.find(&client).await?;
                let all = notifications::deliveries(&client, channel.id, limit).await?;
                out.result(&all, |surface| webhooks::deliveries(surface, &all))?;
            }
            Self::Enable(which) => which.switch(session, &client, true).await?,
            Self::Disable(which) => which.switch(session, &client, false).await?,
            Self::Rm { which, yes } => {
                let channel = which.find(&client).await?;
                let name = &channel.name;
                confirm(yes.into(), &format!("Delete the channel {name}?"))?;
                notifications::delete(&client, channel.id).await?;
                let done = json!({ "id": channel.id, "deleted": true });
                out.result(&done, |_| format!("Deleted the channel {name}."))?;
            }
        }
        Ok(Exit::Success)
    }
}

async fn test(session: &Session, client: &Client, which: &Which) -> Result<Exit, Failure> {
    let channel = which.find(client).await?;
    let sent = notifications::test(client, channel.id).await?;
    let delivered = sent.state == "delivered";
    session.output.result(&sent, |_| {
        let error = sent.error.as_deref().unwrap_or("no reason is known");
        if delivered {
            format!("{} has taken a message.", channel.name)
        } else {
            format!("{} has taken no message: {error}", channel.name)
        }
    })?;
    Ok(if delivered {
        Exit::Success
    } else {
        Exit::Failed
    })
}

impl Which {
    async fn find(&self, client: &Client) -> Result<Channel, Failure> {
        find(client, &self.channel).await
    }

    async fn switch(
        &self,
        session: &Session,
        client: &Client,
        enabled: bool,
    ) -> Result<(), Failure> {
        let channel = self.find(client).await?;
        let after = notifications::switch(client, channel.id, enabled).await?;
        session
            .output
            .result(&after, |_| format!("{} is {}.", after.name, after.state))
    }
}

/// A channel by its name or id.
pub async fn find(client: &Client, name: &str) -> Result<Channel, Failure> {
    let id = Uuid::try_parse(name).ok();
    let all = notifications::channels(client).await?;
    all.into_iter()
        .find(|channel| channel.name == name || Some(channel.id) == id)
        .ok_or_else(|| {
            Failure::new(Exit::Failed, format!("There is no channel {name:?}"))
                .remedy("`towline channels ls` lists yours")
        })
}

fn table(surface: Surface, all: &[Channel]) -> String {
    let now = Utc::now();
    let mut rows = Rows::new(
        surface,
        [
            whole("name"),
            whole("kind"),
            whole("state"),
            wraps("host"),
            whole("used"),
            wraps("last error"),
            optional("id"),
        ],
    );
    for one in all {
        rows.row([
            one.name.as_str().into(),
            one.kind.as_str().into(),
            one.state.as_str().into(),
            one.host.as_deref().into(),
            age(one.last_attempt_at, now).into(),
            one.last_error.as_deref().unwrap_or_default().into(),
            one.id.to_string().into(),
        ]);
    }
    rows.finish("There are no channels. `towline channels add` makes one.")
}
