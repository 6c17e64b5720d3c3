//! `towline-server`: the control plane's program.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use towline_server::admin::backup::{self, Format};
use towline_server::admin::rotate_master_key;
use towline_server::config::{
    AdminCommand, BackupArgs, Cli, Command, ConfigArgs, ExportArgs, FinishArgs, ResetLinkArgs,
    RestoreArgs, RotateMasterKeyArgs, RotationStep, ServeArgs,
};
use towline_server::error::StartError;
use towline_server::store::Span;
use towline_server::store::backup::Occupied;
use towline_server::{admin, serve, telemetry};

/// How long blocking calls may keep the process alive that has done its work.
const LINGER: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("towline-server: {error}");
            match error {
                StartError::Config(_) | StartError::Filter(_) => ExitCode::from(2),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn run(command: Command) -> Result<(), StartError> {
    match command {
        Command::Serve(ServeArgs {
            from,
            print_config: true,
        }) => {
            print!("{}", from.load()?.to_toml()?);
            Ok(())
        }
        Command::Serve(ServeArgs { from, .. }) => start(from, serve::serve),
        Command::Admin {
            command: AdminCommand::Backup(BackupArgs { from, file, json }),
        } => start(from, |config| backup::make(config, file, format_of(json))),
        Command::Admin {
            command: AdminCommand::VerifyBackup(BackupArgs { from, file, json }),
        } => start(from, |config| backup::verify(config, file, format_of(json))),
        Command::Admin {
            command:
                AdminCommand::Restore(RestoreArgs {
                    backup: BackupArgs { from, file, json },
                    replace,
                }),
        } => {
            let occupied = if replace {
                Occupied::Replace
            } else {
                Occupied::Refuse
            };
            start(from, move |config| {
                backup::restore(config, file, occupied, format_of(json))
            })
        }
        Command::Admin {
            command: AdminCommand::RaiseIncarnation(from),
        } => start(from, admin::raise_incarnation),
        Command::Admin {
            command: AdminCommand::VerifyAudit(from),
        } => start(from, admin::verify_audit),
        Command::Admin {
            command: AdminCommand::ExportAudit(ExportArgs { from, since, until }),
        } => start(from, |config| {
            admin::export_audit(config, Span { since, until })
        }),
        Command::Admin {
            command:
                AdminCommand::RotateMasterKey(RotateMasterKeyArgs {
                    from,
                    dry_run,
                    prepare,
                }),
        } => {
            let step = match (dry_run, prepare) {
                (true, _) => rotate_master_key::Step::Show,
                (false, true) => rotate_master_key::Step::Prepare,
                (false, false) => rotate_master_key::Step::Rotate,
            };
            start(from, move |config| rotate_master_key::run(config, step))
        }
        Command::Admin {
            command: AdminCommand::ResetLink(ResetLinkArgs { from, email }),
        } => start(from, move |config| admin::reset_link(config, email)),
        Command::Admin {
            command: AdminCommand::RotateCa { step },
        } => match step {
            RotationStep::Start(from) => start(from, admin::rotate_ca::start),
            RotationStep::Status(from) => start(from, admin::rotate_ca::status),
            RotationStep::Finish(FinishArgs { from, force: false }) => {
                start(from, admin::rotate_ca::finish)
            }
            RotationStep::Finish(FinishArgs { from, force: true }) => {
                start(from, admin::rotate_ca::force)
            }
        },
        Command::Version => {
            println!("towline-server {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
    }
}

const fn format_of(json: bool) -> Format {
    if json { Format::Json } else { Format::Table }
}

fn start<Work>(
    from: ConfigArgs,
    work: impl FnOnce(towline_server::config::Config) -> Work,
) -> Result<(), StartError>
where
    Work: Future<Output = Result<(), StartError>>,
{
    let config = from.load()?;
    telemetry::start_log(&config.log)?;
    towline_pki::tls::install_provider();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let done = runtime.block_on(work(config));
    // A name that is still being looked up must not hold the process.
    runtime.shutdown_timeout(LINGER);
    done
}
