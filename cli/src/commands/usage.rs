//! `towline usage`: what the team uses of its plan.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use clap::Args;

use super::Session;
use crate::{
    api::usage::{self, Day},
    exit::{Exit, Failure},
    output::{
        Surface,
        table::{Rows, facts, optional, whole},
        units,
    },
};

/// Show what the team uses of its plan, today and on days before
#[derive(Debug, Args)]
pub struct Usage {
    /// How many days before today to show at most; those without any use are left out
    #[arg(long, default_value_t = 14, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=200))]
    days: u32,
}

impl Usage {
    /// Asks the installation.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let client = session.client()?;
        let used = usage::get(&client, self.days).await?;
        session.output.result(&used, |surface| {
            format!("{}\n{}", limits(surface, &used), table(surface, &used))
        })?;
        Ok(Exit::Success)
    }
}

fn limits(surface: Surface, used: &usage::Usage) -> String {
    let plan = &used.plan;
    let mut today = of(used.current.deployments, plan.max_deployments_per_day);
    if plan.max_deployments_per_day.is_some() {
        let resets = moment(used.current.period_end);
        today = format!("{today}, resets at {resets}");
    }
    let list = [
        ("plan", plan.name.clone()),
        ("projects", of(used.projects, plan.max_projects)),
        ("deployments today", today),
    ];
    facts(surface, &list)
}

fn of(used: u64, limit: Option<u64>) -> String {
    match limit {
        Some(limit) => format!("{used} of {limit}"),
        None => format!("{used} (no limit)"),
    }
}

fn moment(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn table(surface: Surface, used: &usage::Usage) -> String {
    let columns = [
        whole("day (UTC)"),
        whole("deployments"),
        optional("builds"),
        optional("build time"),
        optional("logs"),
    ];
    let mut rows = Rows::new(surface, columns);
    for period in std::iter::once(&used.current).chain(&used.items) {
        rows.row([
            period.period_start.date_naive().to_string().into(),
            period.deployments.to_string().into(),
            period.builds.to_string().into(),
            build_time(period).into(),
            units::bytes(period.log_bytes).into(),
        ]);
    }
    rows.finish("Nothing was used yet.")
}

fn build_time(period: &Day) -> String {
    if period.build_seconds == 0 {
        return "–".into();
    }
    let seconds = i64::try_from(period.build_seconds).unwrap_or(i64::MAX);
    TimeDelta::try_seconds(seconds).map_or_else(|| "–".into(), units::span)
}
