//! `towline activity` and `towline audit`: what was done in the team.

use std::io::Write as _;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use serde_json::Value;

use super::Session;
use crate::{
    api::{
        self, Client,
        activity::{self, AuditEntry, Filter, Subject},
        members::Member,
        projects::Project,
    },
    exit::{Exit, Failure},
    output::{
        Surface,
        table::{Rows, optional, whole},
        units::age,
    },
};

/// Show what was done in the team, the newest first
#[derive(Debug, Args)]
pub struct Activity {
    /// Of this project only
    #[arg(long, short)]
    project: Option<String>,
    #[command(flatten)]
    which: Which,
    /// How many
    #[arg(long, short = 'n', default_value_t = 20)]
    limit: usize,
}

/// The audit log of the team, for its owners and admins
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// List its entries, the newest first
    Ls {
        #[command(flatten)]
        which: Which,
        /// How many
        #[arg(long, short = 'n', default_value_t = 20)]
        limit: usize,
    },
    /// Write all of it to stdout, the oldest first, as JSON, one entry a line
    Export {
        /// From then on (RFC 3339)
        #[arg(long, value_name = "TIME")]
        since: Option<DateTime<Utc>>,
        /// Before then (RFC 3339)
        #[arg(long, value_name = "TIME")]
        until: Option<DateTime<Utc>>,
    },
}

/// What both lists can be cut to.
#[derive(Debug, Args)]
pub struct Which {
    /// Of this person only: an e-mail address or an id
    #[arg(long, short)]
    user: Option<String>,
    /// Of this kind only, such as deployment.create
    #[arg(long, short)]
    action: Option<String>,
    /// From then on (RFC 3339)
    #[arg(long, value_name = "TIME")]
    since: Option<DateTime<Utc>>,
    /// Before then (RFC 3339)
    #[arg(long, value_name = "TIME")]
    until: Option<DateTime<Utc>>,
}

impl Which {
    async fn filter(self, client: &Client) -> Result<Filter, Failure> {
        let user = match self.user {
            Some(user) => Some(api::find::<Member>(client, &user).await?.id),
            None => None,
        };
        Ok(Filter {
            user,
            action: self.action,
            since: self.since,
            until: self.until,
            ..Filter::default()
        })
    }
}

impl Activity {
    /// Asks the installation.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let client = session.client()?;
        let mut filter = self.which.filter(&client).await?;
        if let Some(project) = self.project {
            filter.project = Some(api::find::<Project>(&client, &project).await?.id);
        }
        let listed = activity::list(&client, &filter, self.limit).await?;
        session
            .output
            .result(&listed, |surface| table(&listed, surface))?;
        Ok(Exit::Success)
    }
}

impl Audit {
    /// Asks the installation.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let client = session.client()?;
        match self {
            Self::Ls { which, limit } => {
                let filter = which.filter(&client).await?;
                let listed = activity::audit(&client, &filter, limit).await?;
                session
                    .output
                    .result(&listed, |surface| audit_table(&listed, surface))?;
            }
            Self::Export { since, until } => {
                let filter = Filter {
                    since,
                    until,
                    ..Filter::default()
                };
                let mut stdout = std::io::stdout().lock();
                activity::export(&client, &filter, |piece| stdout.write_all(piece)).await?;
                stdout.flush()?;
            }
        }
        Ok(Exit::Success)
    }
}

fn table(listed: &[activity::Activity], surface: Surface) -> String {
    let columns = [
        whole("when"),
        whole("who"),
        whole("action"),
        optional("project"),
        optional("details"),
    ];
    let mut rows = Rows::new(surface, columns);
    let now = Utc::now();
    for one in listed {
        let who = one.user.as_ref().map_or("–", |user| user.name.as_str());
        let project = one
            .project
            .as_ref()
            .map_or("–", |project| project.name.as_str());
        rows.row([
            age(Some(one.created_at), now).into(),
            who.into(),
            one.action.as_str().into(),
            project.into(),
            details(&one.metadata).into(),
        ]);
    }
    rows.finish("Nothing was done yet that matches.")
}

fn audit_table(listed: &[AuditEntry], surface: Surface) -> String {
    let columns = [
        whole("when"),
        whole("who"),
        optional("from"),
        whole("action"),
        whole("to"),
        optional("details"),
    ];
    let mut rows = Rows::new(surface, columns);
    let now = Utc::now();
    for entry in listed {
        let who = entry.actor.id.map_or_else(
            || entry.actor.kind.clone(),
            |id| format!("{} {id}", entry.actor.kind),
        );
        rows.row([
            age(Some(entry.created_at), now).into(),
            who.into(),
            entry.actor.address.as_deref().unwrap_or("–").into(),
            entry.action.as_str().into(),
            subject(&entry.subject).into(),
            details(&entry.detail).into(),
        ]);
    }
    rows.finish("No entry matches.")
}

fn subject(subject: &Subject) -> String {
    match subject.id {
        Some(id) => format!("{} {id}", subject.kind),
        None => subject.kind.clone(),
    }
}

/// The plain fields in one line: what is no word or number is for `--json`.
fn details(detail: &Value) -> String {
    let Some(fields) = detail.as_object() else {
        return "–".into();
    };
    let plain = fields.iter().filter_map(|(name, value)| match value {
        Value::String(text) => Some(format!("{name}: {text}")),
        Value::Number(_) | Value::Bool(_) => Some(format!("{name}: {value}")),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    });
    let plain: Vec<String> = plain.collect();
    if plain.is_empty() {
        "–".into()
    } else {
        plain.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn details_are_the_plain_fields() {
        let table = [
            (json!({"name": "shop", "n": 2}), "n: 2, name: shop"),
            (json!({"to": "failed", "change": null}), "to: failed"),
            (json!({"list": [1]}), "–"),
            (Value::Null, "–"),
        ];
        for (detail, line) in table {
            assert_eq!(details(&detail), line);
        }
    }
}
