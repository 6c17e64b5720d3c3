//! `towline webhooks`: who is told what happens to a project's deployments.

use chrono::Utc;
use clap::Subcommand;
use serde_json::json;
use uuid::Uuid;

use super::Session;
use crate::{
    api::{
        self,
        projects::Project,
        webhooks::{self, Delivery, Webhook},
    },
    exit::{Exit, Failure},
    output::{
        Surface,
        table::{Rows, optional, whole, wraps},
        units::{age, moment},
    },
    prompt::confirm,
};

/// Who is told what happens to deployments
#[derive(Debug, Subcommand)]
pub enum Webhooks {
    /// List a project's webhooks
    Ls {
        /// The project's name or id
        project: String,
    },
    /// Make one; its secret is shown once
    Add {
        /// The project's name or id
        project: String,
        /// Where messages go, as https://example.org/hook
        url: String,
        /// What it is told of
        #[arg(
            long = "event",
            value_name = "EVENT",
            value_delimiter = ',',
            default_value = "deployment.succeeded,deployment.failed,deployment.cancelled"
        )]
        events: Vec<String>,
    },
    /// Delete one with all that was sent to it
    Rm {
        /// Its id
        webhook: Uuid,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Send it a message that says nothing but that it works
    Test {
        /// Its id
        webhook: Uuid,
    },
    /// Show what was and is to be sent to it
    Deliveries {
        /// Its id
        webhook: Uuid,
        /// How many at most
        #[arg(long, short = 'n', default_value_t = 50)]
        limit: usize,
    },
    /// Send a message once more
    Replay {
        /// The delivery's id
        delivery: Uuid,
    },
}

impl Webhooks {
    /// Talks to the API.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let (client, out) = (session.client()?, &session.output);
        match self {
            Self::Ls { project } => {
                let project = api::find::<Project>(&client, &project).await?;
                let all = webhooks::list(&client, project.id).await?;
                out.result(&all, |surface| hooks(surface, &all))?;
            }
            Self::Add {
                project,
                url,
                events,
            } => {
                let project = api::find::<Project>(&client, &project).await?;
                let made = webhooks::add(&client, project.id, &url, &events).await?;
                out.note(
                    "This secret is shown once; the receiver verifies by it. See docs/webhooks.md.",
                );
                out.result(&made, |_| made.secret.clone().unwrap_or_default())?;
            }
            Self::Rm { webhook, yes } => {
                let question =
                    format!("Delete the webhook {webhook} with all that was sent to it?");
                confirm(yes.into(), &question)?;
                webhooks::delete(&client, webhook).await?;
                let done = json!({ "id": webhook, "deleted": true });
                out.result(&done, |_| format!("Deleted the webhook {webhook}."))?;
            }
            Self::Test { webhook } => {
                let queued = webhooks::test(&client, webhook).await?;
                out.result(&queued, |_| queued_text(&queued, webhook))?;
            }
            Self::Deliveries { webhook, limit } => {
                let all = webhooks::deliveries(&client, webhook, limit).await?;
                out.result(&all, |surface| deliveries(surface, &all))?;
            }
            Self::Replay { delivery } => {
                let queued = webhooks::replay(&client, delivery).await?;
                out.result(&queued, |_| {
                    format!("Sends it once more, as the delivery {}.", queued.id)
                })?;
            }
        }
        Ok(Exit::Success)
    }
}

fn queued_text(queued: &Delivery, webhook: Uuid) -> String {
    format!(
        "Sends a test, as the delivery {}. `towline webhooks deliveries {webhook}` shows what comes back.",
        queued.id
    )
}

fn hooks(surface: Surface, all: &[Webhook]) -> String {
    let now = Utc::now();
    let mut rows = Rows::new(
        surface,
        [
            whole("id"),
            wraps("url"),
            whole("state"),
            wraps("events"),
            optional("made"),
        ],
    );
    for one in all {
        rows.row([
            one.id.to_string().into(),
            one.url.as_str().into(),
            one.state.as_str().into(),
            one.event_types.join(" ").into(),
            age(one.created_at, now).into(),
        ]);
    }
    rows.finish("There are no webhooks. `towline webhooks add PROJECT URL` makes one.")
}

/// Messages that were and are to be sent.
pub fn deliveries(surface: Surface, all: &[Delivery]) -> String {
    let now = Utc::now();
    let mut rows = Rows::new(
        surface,
        [
            whole("id"),
            whole("event"),
            whole("state"),
            whole("attempts"),
            whole("answer"),
            whole("age"),
            optional("next"),
            wraps("error"),
        ],
    );
    for one in all {
        let status = one.response_status.map(|status| status.to_string());
        rows.row([
            one.id.to_string().into(),
            one.event_type.as_str().into(),
            one.state.as_str().into(),
            one.attempts.to_string().into(),
            status.unwrap_or_default().into(),
            age(one.created_at, now).into(),
            moment(one.next_attempt_at).into(),
            one.error.as_deref().unwrap_or_default().into(),
        ]);
    }
    rows.finish("Nothing was sent yet.")
}
