//! `./dev bench`: the bars of this release, each against something measured in the same run.
//!
//! Prints a table and writes JSON. Absolute times mean little on shared machines, so every figure that can be is a
//! ratio; loops are bounded in count and time.
#![allow(
    clippy::cast_precision_loss,
    reason = "figures are shown with four digits"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a benchmark that cannot be measured stops and says why"
)]

mod cluster;
mod container;
mod deploy;
mod docker_api;
mod fleet;
mod footprint;
mod lag;
mod logs;
mod relay;
mod report;
mod salt;

use std::path::PathBuf;

use clap::Parser;
use towline_tests::engine::EngineKind;
use towline_tests::server::DatabaseKind;
use towline_tests::story::Installation;

#[derive(Parser)]
#[command(about = "Measures Towline against the bare tools, in one run")]
struct Arguments {
    /// How many deploys of each kind.
    #[arg(long, default_value_t = 10)]
    rounds: usize,
    /// How many log lines.
    #[arg(long, default_value_t = 500_000)]
    lines: u64,
    /// How many lines' way to a subscriber is timed.
    #[arg(long, default_value_t = 300)]
    ticks: usize,
    /// What `towline-load --bare` has measured just before: its rows join the table.
    #[arg(long)]
    load: Option<PathBuf>,
    /// Measure this alone.
    #[arg(long)]
    only: Option<Part>,
    /// Where the JSON goes.
    #[arg(long, default_value = "target/bench.json")]
    json: PathBuf,
}

/// What can be measured alone.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Part {
    /// Images that one host builds and another runs.
    Relay,
    /// The docker command line through the control plane.
    DockerApi,
    /// Releases in a cluster.
    Cluster,
}

fn main() -> std::io::Result<()> {
    let arguments = Arguments::parse();
    let rows = match arguments.only {
        Some(Part::Relay) => relay::measure(),
        Some(Part::DockerApi) => docker_api::measure(),
        Some(Part::Cluster) => cluster::measure(),
        None => all(&arguments)?,
    };
    println!("{}", report::table(&rows));
    std::fs::write(&arguments.json, report::json(&rows))?;
    println!("written to {}", arguments.json.display());
    Ok(())
}

fn all(arguments: &Arguments) -> std::io::Result<Vec<report::Row>> {
    let mut story = Installation::start(DatabaseKind::Sqlite, EngineKind::New);
    let mut rows = footprint::measure(&mut story);
    rows.extend(deploy::measure(&story, arguments.rounds));
    rows.extend(lag::measure(&story, arguments.ticks));
    rows.extend(logs::measure(&mut story, arguments.lines));
    if let Some(load) = &arguments.load {
        rows.extend(fleet::rows(load)?);
    }
    rows.extend(relay::measure());
    rows.extend(docker_api::measure());
    rows.extend(cluster::measure());
    Ok(rows)
}
