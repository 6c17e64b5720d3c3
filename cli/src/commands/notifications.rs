//! `towline notifications`: what one was told, and what one is told of.

use std::collections::BTreeMap;

use chrono::Utc;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Session, channels};
use crate::{
    api::{
        Client,
        notifications::{self, Channel, Notification, Rule},
    },
    exit::{Exit, Failure},
    output::{
        Surface,
        table::{Rows, optional, whole, wraps},
        units::age,
    },
};

/// What you were told, and what you are told of
#[derive(Debug, Subcommand)]
pub enum Notifications {
    /// List what you were told, the newest first
    #[command(visible_alias = "list")]
    Ls {
        /// Only what you have not read
        #[arg(long)]
        unread: bool,
        /// How many at most
        #[arg(long, short = 'n', default_value_t = 50)]
        limit: usize,
    },
    /// Mark one as read, or all
    Read {
        /// Its id [default: all]
        notification: Option<Uuid>,
    },
    /// Show what you are told of, and where
    Rules,
    /// Choose where you are told of an event
    Rule(Choose),
}

/// Where one is told of an event.
#[derive(Debug, Args)]
pub struct Choose {
    /// What happens, such as deployment.failed
    event: String,
    /// In the product: none, own (of deployments that you asked for) or all [default: as it is]
    #[arg(long, value_name = "WHICH")]
    in_product: Option<String>,
    /// Over a channel, as NAME or NAME=own or NAME=none; may be given several times
    #[arg(long = "channel", value_name = "NAME[=WHICH]")]
    channels: Vec<String>,
    /// As it was before you chose anything
    #[arg(long, conflicts_with_all = ["in_product", "channels"])]
    default: bool,
}

impl Notifications {
    /// Talks to the API.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let (client, out) = (session.client()?, &session.output);
        match self {
            Self::Ls { unread, limit } => {
                let all = notifications::list(&client, unread, limit).await?;
                out.result(&all, |surface| table(surface, &all))?;
            }
            Self::Read {
                notification: Some(id),
            } => {
                let read = notifications::read(&client, id).await?;
                out.result(&read, |_| format!("Read: {}", read.message))?;
            }
            Self::Read { notification: None } => {
                let read = notifications::read_all(&client).await?;
                out.result(&read, |_| format!("Marked {} as read.", read.read))?;
            }
            Self::Rules => {
                let rules = notifications::rules(&client).await?;
                show(session, &client, &rules).await?;
            }
            Self::Rule(choose) => {
                let rule = choose.rule(&client).await?;
                let rules = notifications::choose(&client, &rule).await?;
                show(session, &client, &rules).await?;
            }
        }
        Ok(Exit::Success)
    }
}

impl Choose {
    /// What is not said stays as it is.
    async fn rule(&self, client: &Client) -> Result<Value, Failure> {
        if self.default {
            return Ok(json!({ "event": self.event }));
        }
        let rules = notifications::rules(client).await?;
        let before = rules.into_iter().find(|rule| rule.event == self.event);
        let before = before.ok_or_else(|| {
            Failure::new(Exit::Failed, format!("There is no event {:?}", self.event))
                .remedy("`towline notifications rules` lists all")
        })?;
        let mut told: BTreeMap<Uuid, String> = BTreeMap::new();
        for channel in before.channels {
            told.insert(channel.channel_id, channel.tell);
        }
        for given in &self.channels {
            let (name, tell) = given.rsplit_once('=').unwrap_or((given, "all"));
            let channel = channels::find(client, name).await?;
            told.insert(channel.id, tell.to_owned());
        }
        let channels: Vec<_> = told
            .into_iter()
            .filter(|(_, tell)| tell != "none")
            .map(|(id, tell)| json!({ "channel_id": id, "tell": tell }))
            .collect();
        let in_product = self.in_product.as_ref().unwrap_or(&before.in_product);
        Ok(json!({ "event": self.event, "in_product": in_product, "channels": channels }))
    }
}

async fn show(session: &Session, client: &Client, rules: &[Rule]) -> Result<(), Failure> {
    let all = notifications::channels(client).await?;
    session
        .output
        .result(&rules, |surface| matrix(surface, rules, &all))
}

fn matrix(surface: Surface, rules: &[Rule], all: &[Channel]) -> String {
    let name = |id: Uuid| {
        let channel = all.iter().find(|channel| channel.id == id);
        channel.map_or_else(|| id.to_string(), |channel| channel.name.clone())
    };
    let mut rows = Rows::new(
        surface,
        [
            whole("event"),
            whole("in product"),
            wraps("channels"),
            optional("chosen"),
        ],
    );
    for rule in rules {
        let told: Vec<_> = rule
            .channels
            .iter()
            .map(|channel| format!("{}={}", name(channel.channel_id), channel.tell))
            .collect();
        rows.row([
            rule.event.as_str().into(),
            rule.in_product.as_str().into(),
            told.join(" ").into(),
            if rule.is_default {
                "by default"
            } else {
                "by you"
            }
            .into(),
        ]);
    }
    rows.finish("There are no events.")
}

fn table(surface: Surface, all: &[Notification]) -> String {
    let now = Utc::now();
    let mut rows = Rows::new(
        surface,
        [
            whole("age"),
            whole("read"),
            wraps("message"),
            optional("team"),
            optional("event"),
            optional("id"),
        ],
    );
    for one in all {
        rows.row([
            age(one.created_at, now).into(),
            if one.is_read { "yes" } else { "no" }.into(),
            one.message.as_str().into(),
            one.team.as_ref().map(|team| team.name.as_str()).into(),
            one.r#type.as_str().into(),
            one.id.to_string().into(),
        ]);
    }
    rows.finish("You were told nothing.")
}
