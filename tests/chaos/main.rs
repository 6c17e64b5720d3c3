//! `./dev chaos`: three hosts, a control plane on PostgreSQL, and everything that can break breaking, while people
//! deploy, cancel, remove, read logs and enrol hosts. At the end the containers' own ledger, the engines and the
//! database must agree.
//!
//! The seed decides what breaks, in which order and for how long, and what people ask for; how it falls together in
//! time differs from run to run.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a part that cannot be started or asked stops the run and says why"
)]

mod client;
mod curtain;
mod diary;
mod dice;
mod follower;
mod guests;
mod judge;
#[cfg(test)]
mod judge_tests;
mod lane;
mod look;
mod owner;
mod plan;
mod project;
mod report;
mod world;

use std::{
    env,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::bail;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use towline_tests::{
    engine::Engine,
    patience::within,
    scratch::{self, leftovers},
    server::ServerProcess,
};

use crate::{
    client::Client,
    curtain::Curtain,
    diary::{Diary, Entries},
    dice::Dice,
    judge::{Verdict, judge},
    lane::{Host, suffer_all},
    look::{Findings, unfinished},
    owner::Owner,
    plan::{Plan, PlaneFault},
    report::Report,
    world::{Project, World},
};

/// How long all that is left over may take to end when nothing is broken any more.
const HEAL_LIMIT: Duration = Duration::from_mins(4);

#[derive(Parser)]
#[command(
    name = "towline-chaos",
    about = "Breaks everything for some minutes and judges what came of it"
)]
struct Arguments {
    /// How long things break; healing and judging come after it.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=120))]
    minutes: u64,
    /// What breaks when; left out, another one each time.
    #[arg(long)]
    seed: Option<u64>,
    /// Where the JSON goes.
    #[arg(long, default_value = "target/chaos.json")]
    json: PathBuf,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let Some(run_folder) = env::var_os(scratch::RUN).map(PathBuf::from) else {
        bail!(
            "{} must name an empty folder: every part of the run lies below it",
            scratch::RUN
        );
    };
    let seed = arguments.seed.unwrap_or_else(new_seed);
    let length = Duration::from_mins(arguments.minutes);
    eprintln!("chaos: seed {seed}; starting three engines, PostgreSQL and a control plane");
    let mut world = World::start();
    let curtain = Arc::new(Curtain::new(length));
    let _signals = heed_signals(&curtain)?;
    let entries = run(&mut world, seed, length, &curtain);
    if curtain.is_interrupted() {
        eprintln!("chaos: interrupted");
        return Ok(ExitCode::from(130));
    }
    eprintln!("chaos: looking at what is there");
    let findings = Findings::gather(&mut world);
    drop(world);
    let mut verdict = judge(&entries, &findings);
    let left = leftovers(&run_folder).into_iter();
    verdict
        .disagreements
        .extend(left.map(|what| format!("left behind: {what}")));
    let report = Report::new(seed, length, &entries, &findings, &verdict);
    println!("{}", report.table());
    std::fs::write(&arguments.json, report.json())?;
    println!("written to {}", arguments.json.display());
    Ok(conclude(&verdict, seed))
}

fn new_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(1, |now| now.as_secs())
}

/// On SIGINT and SIGTERM everything ends early, in order.
fn heed_signals(curtain: &Arc<Curtain>) -> std::io::Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let _inside = runtime.enter();
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        let (mut signals, curtain) = (signal(kind)?, Arc::clone(curtain));
        runtime.spawn(async move {
            signals.recv().await;
            curtain.interrupt();
        });
    }
    Ok(runtime)
}

fn conclude(verdict: &Verdict, seed: u64) -> ExitCode {
    if verdict.disagreements.is_empty() {
        println!("ledger, engines and database agree");
        return ExitCode::SUCCESS;
    }
    println!("they disagree:");
    for what in &verdict.disagreements {
        println!("  {what}");
    }
    println!("the same faults again: ./dev chaos --seed {seed}");
    ExitCode::FAILURE
}

/// Faults and work side by side, then rest. A thread that panics ends the run.
fn run(world: &mut World, seed: u64, length: Duration, curtain: &Curtain) -> Entries {
    let (diary, plan) = (Diary::default(), Plan::new(seed, length));
    let World {
        hosts,
        server,
        api,
        projects,
        ..
    } = world;
    let (api, projects): (_, &[Project]) = (api, projects);
    let engines: Vec<Engine> = hosts.iter().map(|host| host.engine.seen()).collect();
    let client = Client::new(api, &diary, curtain);
    thread::scope(|scope| {
        let _guard = EndsAllOnPanic(curtain);
        let owners: Vec<_> = projects
            .iter()
            .map(|project| {
                let dice = Dice::of_part(seed, 1 + project.number);
                let mut owner = Owner::new(client, &diary, curtain, project, dice);
                scope.spawn(move || {
                    owner.work(scope);
                    owner
                })
            })
            .collect();
        let guests = scope.spawn(|| guests::come_and_go(client, &diary, curtain, &engines));
        break_things(hosts, server, &plan, &diary, curtain);
        eprintln!("chaos: all faults are over, everything has to end");
        curtain.end_work();
        let owners: Vec<Owner<'_>> = owners
            .into_iter()
            .map(|owner| owner.join().expect("an owner works"))
            .collect();
        guests.join().expect("guests come and go");
        settle(server, &diary, curtain);
        let last: Vec<_> = owners
            .into_iter()
            .map(|mut owner| scope.spawn(move || owner.bring_to_rest(scope)))
            .collect();
        for owner in last {
            owner.join().expect("an owner comes to rest");
        }
        // Followers end with their logs.
        within(HEAL_LIMIT, || {
            (curtain.is_interrupted() || diary.open().following == 0).then_some(())
        });
        curtain.fall();
    });
    diary.close()
}

/// A lane for each part, all side by side.
fn break_things(
    hosts: &mut [Host],
    server: &mut ServerProcess,
    plan: &Plan,
    diary: &Diary,
    curtain: &Curtain,
) {
    thread::scope(|scope| {
        for (host, lane) in hosts.iter_mut().zip(&plan.hosts) {
            scope.spawn(move || suffer_all(host, lane, Plan::share(), diary, curtain));
        }
        let least = PlaneFault::ALL.len();
        scope.spawn(move || suffer_all(server, &plan.plane, least, diary, curtain));
    });
}

/// When faults stop, everything finishes.
fn settle(server: &mut ServerProcess, diary: &Diary, curtain: &Curtain) {
    within(HEAL_LIMIT, || {
        (curtain.is_interrupted() || unfinished(server) == 0).then_some(())
    });
    let left = unfinished(server);
    if left > 0 && !curtain.is_interrupted() {
        diary.breach(format!(
            "{left} jobs have not ended {HEAL_LIMIT:?} after the last fault"
        ));
    }
}

/// When this thread panics, the others must not go on for ever.
struct EndsAllOnPanic<'r>(&'r Curtain);

impl Drop for EndsAllOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.interrupt();
        }
    }
}
