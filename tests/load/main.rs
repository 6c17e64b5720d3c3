//! `towline-load`: many simulated idle agents on one control plane, over real enrolment and real mutual TLS.
//!
//! It starts its own control plane (binaries in `TOWLINE_BIN_DIR`, or beside this one), enrols the agents over HTTP,
//! connects them from addresses all over 127.0.0.0/16, and measures: memory per connected agent, what their
//! heartbeats cost, and how long all of them need to come back after `kill -9`. With `--bare` it measures the same
//! clients against a bare acceptor in the same run, which is what the reconnect rate is compared with. Progress goes
//! to stderr, one JSON document to stdout.

mod agent;
mod bare;
mod enrolment;
mod fleet;
mod gauge;
mod probe;
mod report;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, Subcommand};
use towline_tests::api::Api;
use towline_tests::server::{DatabaseKind, ServerPlan, ServerProcess};

use fleet::Fleet;
use gauge::Gauge;
use probe::Probe;
use report::{Bare, Idle, Memory, Reconnect, Report};

/// How long the API is asked while nothing happens.
const PROBED: Duration = Duration::from_secs(5);

/// Measures a control plane with many simulated idle agents.
#[derive(Debug, Parser)]
#[command(name = "towline-load")]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    /// How many agents
    #[arg(long, default_value_t = 1000)]
    agents: usize,
    /// How long they idle while the processor's time is taken, in seconds
    #[arg(long, default_value_t = 30)]
    idle: u64,
    /// The most seconds that all of them may take to connect, and to come back
    #[arg(long, default_value_t = 120)]
    limit: u64,
    /// They also send a sample of metrics every ten seconds, as real agents do
    #[arg(long)]
    samples: bool,
    /// Measure a bare acceptor of the same clients, too
    #[arg(long)]
    bare: bool,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// The bare acceptor: mutual TLS, WebSocket, and nothing behind (started by `--bare`)
    #[command(hide = true)]
    BareAcceptor {
        /// Where it listens
        listen: std::net::SocketAddr,
        /// The folder with its certificate, key and roots
        folder: std::path::PathBuf,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.role {
        Some(Role::BareAcceptor { listen, folder }) => bare::accept(*listen, folder),
        None => measure(&arguments).and_then(|report| report.print()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("towline-load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> Result<Report> {
    gauge::raise_descriptor_limit(arguments.agents)?;
    let limit = Duration::from_secs(arguments.limit);
    let mut report = Report::new(arguments.agents);
    control_plane(arguments, limit, &mut report)?;
    if arguments.bare {
        let bare = bare_acceptor(arguments, limit)?;
        report.compare(bare);
    }
    Ok(report)
}

fn control_plane(arguments: &Arguments, limit: Duration, report: &mut Report) -> Result<()> {
    let mut server = ServerProcess::start(ServerPlan::new(DatabaseKind::Sqlite));
    let api = enrolment::set_up(&mut server)?;
    eprintln!("enrolling {} agents", arguments.agents);
    let began = Instant::now();
    let agents = enrolment::enrol(&api, &server, arguments.agents)?;
    report.enrol_seconds = began.elapsed().as_secs_f64();

    // Nothing of the enrolment counts as memory of a connection.
    server.kill();
    server.start_again();
    let gauge = Gauge::of(server.running().id());
    std::thread::sleep(Duration::from_secs(2));
    let empty = gauge.resident_bytes()?;

    eprintln!("connecting");
    let fleet = Fleet::launch(agents, arguments.samples)?;
    report.connect = Some(fleet.gather(limit)?.rate(arguments.agents));
    std::thread::sleep(Duration::from_secs(5));
    let full = gauge.resident_bytes()?;
    report.memory = Some(Memory::new(empty, full, arguments.agents));

    eprintln!("idling for {} s", arguments.idle);
    report.idle = Some(idle(arguments, &gauge, &fleet, &api)?);

    eprintln!("kill -9, and again");
    server.kill();
    fleet.wait_until_all_are_gone(limit)?;
    let killed = Instant::now();
    server.start_again();
    let ready = Instant::now();
    let probe = Probe::start(&api);
    let gathered = fleet.gather(limit)?;
    report.reconnect = Some(Reconnect {
        seconds_from_start: gathered.last.duration_since(killed).as_secs_f64(),
        seconds_to_ready: ready.duration_since(killed).as_secs_f64(),
        rate: gathered.rate(arguments.agents),
        api: probe.stop(),
    });
    fleet.end();
    let stopped = server.stop();
    ensure!(
        stopped.success(),
        "the control plane did not stop cleanly: {stopped}"
    );
    Ok(())
}

fn idle(arguments: &Arguments, gauge: &Gauge, fleet: &Fleet, api: &Api) -> Result<Idle> {
    let (drops, used, began) = (fleet.drops(), gauge.processor_time()?, Instant::now());
    std::thread::sleep(Duration::from_secs(arguments.idle));
    let used = gauge.processor_time()?.saturating_sub(used);
    let seconds = began.elapsed().as_secs_f64();
    // Afterwards, because the questions cost more than all heartbeats.
    let probe = Probe::start(api);
    std::thread::sleep(PROBED);
    let idle = Idle {
        seconds,
        core_percent: used.as_secs_f64() / seconds * 100.0,
        drops: fleet.drops() - drops,
        api: probe.stop(),
    };
    let (connected, agents) = (fleet.connected(), arguments.agents);
    ensure!(
        connected == agents,
        "only {connected} of {agents} agents are still connected"
    );
    Ok(idle)
}

fn bare_acceptor(arguments: &Arguments, limit: Duration) -> Result<Bare> {
    eprintln!("the bare acceptor");
    let authority = bare::Authority::make().context("an authority for the bare acceptor")?;
    let mut acceptor = authority.start()?;
    let gauge = Gauge::of(acceptor.id());
    let agents = authority.agents(acceptor.address(), arguments.agents)?;
    std::thread::sleep(Duration::from_millis(500));
    let empty = gauge.resident_bytes()?;
    let fleet = Fleet::launch(agents, arguments.samples)?;
    let connect = fleet.gather(limit)?.rate(arguments.agents);
    std::thread::sleep(Duration::from_secs(2));
    let memory = Memory::new(empty, gauge.resident_bytes()?, arguments.agents);
    acceptor.kill()?;
    fleet.wait_until_all_are_gone(limit)?;
    acceptor.start_again()?;
    let reconnect = fleet.gather(limit)?.rate(arguments.agents);
    fleet.end();
    acceptor.kill()?;
    Ok(Bare {
        connect,
        reconnect,
        memory,
    })
}
