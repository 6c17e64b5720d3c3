//! `towline-agent`: the command line of Towline's agent.
//!
//! Exit codes: 0 when it did what it was asked, 1 when it could not, 2 when the command line was
//! not understood, 3 when an agent beside a control plane is to be enrolled.

use std::io::{self, IsTerminal as _, Read as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use towline_agent::agent::{self, Finish, Options, Pace};
use towline_agent::config::{
    Command, CommandLine, EnrollArgs, LogFormat, RunArgs, StateArgs, StatusArgs, VerifyArgs,
};
use towline_agent::dial::Dialer;
use towline_agent::docker_tls;
use towline_agent::enroll::{Enrolment, Existing, enrol};
use towline_agent::executor::docker::{DockerConfig, DockerExecutor, EnginePlace};
use towline_agent::identity::Identity;
use towline_agent::link::{self, Eagerness};
use towline_agent::logs::LogLimits;
use towline_agent::policy_file;
use towline_agent::proxy::Proxies;
use towline_agent::relay::Relay;
use towline_agent::remote_engine::{self, NotEnrolled};
use towline_agent::report::Report;
use towline_agent::state_dir::StateDir;
use towline_agent::upgrade::{self, Program, Terms, Upgrades};
use towline_shared::remote_engine::NOT_ENROLLED;
use tracing_subscriber::EnvFilter;

/// Where Docker keeps its data, unless its owner moved it; the room there is what runs out.
const ENGINE_DATA: &str = "/var/lib/docker";
/// The most bytes that are read of a token.
const MAX_TOKEN: u64 = 4096;

fn main() -> ExitCode {
    let line = CommandLine::parse();
    match start(line) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The log may be JSON for machines; why it ended is for whoever started it.
            eprintln!("towline-agent: {error:#}");
            match error.downcast_ref::<NotEnrolled>() {
                Some(NotEnrolled) => ExitCode::from(NOT_ENROLLED),
                None => ExitCode::FAILURE,
            }
        }
    }
}

fn start(line: CommandLine) -> anyhow::Result<()> {
    init_tracing(line.log_format, &line.log)?;
    towline_pki::tls::install_provider();
    match line.command {
        Command::Version => {
            println!("towline-agent {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
        Command::Status(args) => status(&args),
        Command::Verify(args) => verify(&args),
        Command::DockerTls(command) => {
            print!("{}", runtime()?.block_on(docker_tls::run(command))?);
            Ok(())
        }
        Command::Enroll(args) => runtime()?.block_on(enroll(args)),
        Command::Run(args) if args.trial => runtime()?.block_on(trial(&args)),
        Command::Run(args) => run(args),
        #[cfg(feature = "kubernetes")]
        Command::RunInCluster(args) => {
            let stop = || async { towline_agent::in_cluster::run(args, stop_signal()?).await };
            runtime()?.block_on(stop())
        }
        Command::RunBeside(args) => runtime()?.block_on(run_beside(&args)),
    }
}

/// Two threads: one that works on a log does not hold up the heartbeat.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")
}

fn init_tracing(format: Option<LogFormat>, filter: &str) -> anyhow::Result<()> {
    let filter =
        EnvFilter::try_new(filter).with_context(|| format!("--log {filter:?} is no filter"))?;
    let terminal = io::stderr().is_terminal();
    let usual = if terminal {
        LogFormat::Human
    } else {
        LogFormat::Json
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    match format.unwrap_or(usual) {
        LogFormat::Human => builder.with_ansi(terminal).with_target(false).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
}

async fn enroll(args: EnrollArgs) -> anyhow::Result<()> {
    let dir = StateDir::open(&args.state.state_dir)?;
    let dialer = Dialer::new(Proxies::from_env()?);
    let token = if args.token == "-" {
        read_token()?
    } else {
        args.token
    };
    let enrolment = Enrolment {
        token: token.trim().to_owned(),
        name: args.name.map_or_else(host_name, Ok)?,
        existing: if args.force {
            Existing::Replace
        } else {
            Existing::Keep
        },
    };
    let new = enrol(&dir, &dialer, &enrolment).await?;
    println!(
        "Enrolled as agent {} of {}.",
        new.identity.agent(),
        new.identity.parts().public_address
    );
    println!(
        "Start it with: towline-agent run --state-dir {}",
        dir.root().display()
    );
    if let Some(warning) = new.clock {
        eprintln!("Warning: {warning}");
    }
    Ok(())
}

fn read_token() -> anyhow::Result<String> {
    let mut token = String::new();
    io::stdin()
        .take(MAX_TOKEN)
        .read_to_string(&mut token)
        .context("cannot read the token from standard input")?;
    Ok(token)
}

fn host_name() -> anyhow::Result<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .context("cannot tell the host's name; give --name")?;
    Ok(name.trim().to_owned())
}

/// What was about to happen to the program itself comes first: a new one that cannot read its host's files goes back, too.
fn run(args: RunArgs) -> anyhow::Result<()> {
    let dir = StateDir::open(&args.state.state_dir)?;
    let program = Program::here().context("cannot tell which program this is")?;
    let standing = upgrade::wake(&dir, &program);
    runtime()?.block_on(serve(args, dir, program, standing))
}

async fn serve(
    args: RunArgs,
    dir: StateDir,
    program: Program,
    standing: upgrade::Standing,
) -> anyhow::Result<()> {
    let identity = Identity::load(&dir)?;
    let policy = policy_file::load(&args.policy)?;
    let dialer = Dialer::new(Proxies::from_env()?);
    let relay = Relay::new(dir.clone(), dialer.clone());
    let executor = Arc::new(DockerExecutor::new(DockerConfig {
        host: args.docker_host,
        place: EnginePlace::Here,
        state_dir: dir.root().to_path_buf(),
        policy: policy.jobs,
        access: policy.access,
        docker_config: DockerConfig::default_docker_config(),
        relay: relay.clone(),
    }));
    tracing::info!(
        agent = %identity.agent(),
        control_plane = identity.parts().agent_address,
        version = env!("CARGO_PKG_VERSION"),
        "starting"
    );
    let mut options = Options {
        dir,
        dialer,
        engine_data: Some(PathBuf::from(ENGINE_DATA)),
        pace: Pace {
            link: Eagerness {
                cap: Duration::from_secs(args.reconnect_within),
                ..Eagerness::default()
            },
            ..Pace::default()
        },
        logs: LogLimits {
            spool_bytes: args.spool_bytes,
            ..LogLimits::default()
        },
        upgrades: Upgrades {
            terms: Terms {
                relay,
                program,
                release_keys: args.release_keys,
                downgrade: policy.agent_downgrade,
            },
            standing,
            patience: Duration::from_secs(args.upgrade_patience),
        },
    };
    let stop = stop_signal()?;
    loop {
        let program = &options.upgrades.terms.program;
        // Both come back only when this program goes on.
        let standing = match agent::run(options.clone(), executor.clone(), stop.clone()).await? {
            Finish::Stopped => return Ok(()),
            Finish::Upgrade(prepared) => upgrade::become_new(&options.dir, program, &prepared),
            Finish::GoBack(journal, why) => upgrade::go_back(&options.dir, program, journal, why),
        };
        options.upgrades.standing = standing;
    }
}

/// Everything that `run` needs, and nothing that it does.
async fn trial(args: &RunArgs) -> anyhow::Result<()> {
    let dir = StateDir::existing(&args.state.state_dir);
    Identity::load(&dir)?;
    policy_file::load(&args.policy)?;
    let dialer = Dialer::new(Proxies::from_env()?);
    link::try_once(&dir, &dialer).await?;
    println!("{}", env!("CARGO_PKG_VERSION"));
    Ok(())
}

fn verify(args: &VerifyArgs) -> anyhow::Result<()> {
    let claim = upgrade::verify(&args.file, &args.release_keys)?;
    println!("{claim}");
    Ok(())
}

async fn run_beside(args: &StateArgs) -> anyhow::Result<()> {
    remote_engine::run(&args.state_dir, stop_signal()?).await
}

/// Tripped by SIGTERM or SIGINT.
fn stop_signal() -> anyhow::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let stop = CancellationToken::new();
    let tripped = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tripped.cancel();
    });
    Ok(stop)
}

fn status(args: &StatusArgs) -> anyhow::Result<()> {
    let report = Report::read(&StateDir::existing(&args.state.state_dir))?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", report.text(chrono::Utc::now()));
    }
    Ok(())
}
