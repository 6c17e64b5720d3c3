//! Starts the slow parts of a test run once, or a Docker engine for the demo, and ends them with the run.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Instant,
};

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use towline_tests::{
    engine::{Engine, EngineKind, Network},
    postgres::Postgres,
    process::{guarded, send},
    scratch::{self, leftovers, processes_of},
    shared,
};

#[derive(Parser)]
#[command(about = "Starts what Towline's tests and demo share")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run a command beside both Docker engines and a PostgreSQL, then end them and check that nothing is left.
    Share {
        /// The command.
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Run the new Docker engine on the machine's network until interrupted; its data stay in the folder.
    Engine {
        /// Where its data and its socket `docker.sock` lie. A short path: sockets have short names.
        #[arg(long)]
        folder: PathBuf,
    },
}

fn main() -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    match Arguments::parse().verb {
        Verb::Share { command } => share(&command, &runtime),
        Verb::Engine { folder } => serve_engine(&folder, &runtime),
    }
}

fn share(command: &[String], runtime: &tokio::runtime::Runtime) -> Result<ExitCode> {
    let Some(run) = env::var_os(scratch::RUN).map(PathBuf::from) else {
        bail!(
            "{} must name an empty folder: every part of the run lies below it",
            scratch::RUN
        );
    };
    let begun = Instant::now();
    let (engines, postgres) = std::thread::scope(|scope| {
        let postgres = scope.spawn(Postgres::start);
        let engines = EngineKind::ALL.map(|kind| scope.spawn(move || Engine::start(kind)));
        (
            engines.map(std::thread::ScopedJoinHandle::join),
            postgres.join(),
        )
    });
    let Ok(postgres) = postgres else {
        bail!("PostgreSQL did not start, see above")
    };
    let engines: Vec<Engine> = engines.into_iter().filter_map(Result::ok).collect();
    if engines.len() < EngineKind::ALL.len() {
        bail!("a Docker engine did not start, see above");
    }
    eprintln!(
        "parts: both engines and PostgreSQL are up after {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    let (program, arguments) = command.split_first().context("a command is required")?;
    let mut child = guarded(program);
    child
        .args(arguments)
        .envs(shared::variables(&engines, &postgres));
    let code = runtime.block_on(supervise(program, child));
    drop((engines, postgres));
    let clean = is_clean(&run);
    Ok(ExitCode::from(if clean { code? } else { 1 }))
}

/// Runs the command to its end. A signal ends the command first, so that the parts outlive it.
async fn supervise(name: &str, command: Command) -> Result<u8> {
    let mut child = tokio::process::Command::from(command)
        .spawn()
        .with_context(|| format!("{name} does not start"))?;
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut terminations = signal(SignalKind::terminate())?;
    loop {
        tokio::select! {
            status = child.wait() => {
                let code = status?.code().and_then(|code| u8::try_from(code).ok());
                return Ok(code.unwrap_or(1));
            }
            // The terminal has told the command as well.
            _ = interrupts.recv() => eprintln!("parts: interrupted, {name} ends first"),
            _ = terminations.recv() => child.id().into_iter().for_each(|id| send(id, Signal::TERM)),
        }
    }
}

/// Says what the run left behind, and ends it.
fn is_clean(run: &Path) -> bool {
    let left = leftovers(run);
    for line in &left {
        eprintln!("parts: left behind: {line}");
    }
    for process in processes_of(&run.display().to_string()) {
        send(process.id, Signal::KILL);
    }
    left.is_empty()
}

fn serve_engine(folder: &Path, runtime: &tokio::runtime::Runtime) -> Result<ExitCode> {
    std::fs::create_dir_all(folder)?;
    let folder = folder.canonicalize()?;
    let engine = Engine::start_in(EngineKind::New, Network::Machine, &folder);
    println!("ready {}", engine.docker_host());
    runtime.block_on(async {
        let mut terminations = signal(SignalKind::terminate())?;
        tokio::select! {
            _ = terminations.recv() => {}
            interrupted = tokio::signal::ctrl_c() => interrupted?,
        }
        anyhow::Ok(())
    })?;
    drop(engine);
    Ok(ExitCode::SUCCESS)
}
