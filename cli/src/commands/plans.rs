//! `towline plans`: what teams may use.

use std::str::FromStr;

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::Session;
use crate::{
    api::{
        self, members,
        plans::{self, Plan},
    },
    exit::{Exit, Failure},
    output::{
        Surface,
        table::{Rows, whole},
    },
};

/// What teams may use
#[derive(Debug, Subcommand)]
pub enum Plans {
    /// List the plans
    Ls,
    /// Change a plan, for administrators of the installation; it holds at once
    Change {
        /// Its name or id
        plan: String,
        /// What changes
        #[command(flatten)]
        to: Changes,
    },
}

/// What changes of a plan.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub struct Changes {
    /// The price of a month, in cents
    #[arg(long, value_name = "CENTS")]
    price: Option<u32>,
    /// The most projects of a team: a number, or none for no limit
    #[arg(long, value_name = "LIMIT")]
    max_projects: Option<Limit>,
    /// The most deployments of a team on a UTC day
    #[arg(long, value_name = "LIMIT")]
    max_deployments_per_day: Option<Limit>,
    /// The most requests of a team in a minute
    #[arg(long, value_name = "LIMIT")]
    max_requests_per_minute: Option<Limit>,
    /// The most teams that belong to a person
    #[arg(long, value_name = "LIMIT")]
    max_teams: Option<Limit>,
}

/// A limit, or that there is none.
#[derive(Clone, Copy, Debug)]
struct Limit(Option<u32>);

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Self(None)),
            number => number
                .parse()
                .map(|limit| Self(Some(limit)))
                .map_err(|_| "give a number, or none".to_owned()),
        }
    }
}

impl Changes {
    /// What the API is told: what is left out stays.
    fn named(&self) -> Map<String, Value> {
        let limit = |limit: Option<Limit>| limit.map(|Limit(limit)| limit.into());
        let fields = [
            ("price", self.price.map(Value::from)),
            ("max_projects", limit(self.max_projects)),
            (
                "max_deployments_per_day",
                limit(self.max_deployments_per_day),
            ),
            (
                "max_requests_per_minute",
                limit(self.max_requests_per_minute),
            ),
            ("max_teams", limit(self.max_teams)),
        ];
        let named = fields
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)));
        named.collect()
    }
}

impl Plans {
    /// Talks to the API.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let (client, out) = (session.client()?, &session.output);
        match self {
            Self::Ls => {
                let all = api::list::<Plan>(&client).await?;
                out.result(&all, |surface| table(surface, &all))?;
            }
            Self::Change { plan, to } => {
                let plan = members::find::<Plan>(&client, &plan).await?;
                let changed = plans::change(&client, plan.id, &to.named()).await?;
                out.result(&changed, |surface| {
                    table(surface, std::slice::from_ref(&changed))
                })?;
            }
        }
        Ok(Exit::Success)
    }
}

fn table(surface: Surface, all: &[Plan]) -> String {
    let columns = [
        whole("plan"),
        whole("price"),
        whole("projects"),
        whole("deployments a day"),
        whole("requests a minute"),
        whole("teams"),
    ];
    let limit =
        |limit: Option<u64>| limit.map_or_else(|| "no limit".to_owned(), |limit| limit.to_string());
    let mut rows = Rows::new(surface, columns);
    for plan in all {
        rows.row([
            plan.name.as_str().into(),
            format!(
                "{}.{:02} {}",
                plan.price / 100,
                plan.price % 100,
                plan.currency
            )
            .into(),
            limit(plan.max_projects).into(),
            limit(plan.max_deployments_per_day).into(),
            limit(plan.max_requests_per_minute).into(),
            limit(plan.max_teams).into(),
        ]);
    }
    rows.finish("There are no plans.")
}
