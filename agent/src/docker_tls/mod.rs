//! Docker's own Remote API over TLS, set up on this host without openssl.
//!
//! What is changed outside of one folder is written down with its former bytes before the first change, so that a step
//! that fails, and a process that dies in the middle, leave nothing that the next call does not finish or undo. The
//! engine is trusted when it has answered by TLS to the client's certificate and refused whoever has none.
//!
//! From the outside in: [`arguments`], the wishes in this file, the table of what they make of a [`phase`], the
//! [`work`] itself, and what it works on.

pub mod arguments;
mod certificates;
mod daemon_json;
mod error;
mod files;
mod host_names;
mod journal;
mod phase;
mod probe;
mod report;
mod restart;
mod settings;
mod survey;
mod unit;
mod work;

use std::path::{Path, PathBuf};

use chrono::Utc;
use serde::Serialize;

use arguments::{DockerTls, EnableArgs, RenewArgs};
pub use error::{DockerTlsError, Result};
use journal::Journal;
use phase::{NotNow, Phase, Wish, Work};
use report::{Did, Done, Intent, Status, Validity};
use survey::Containers;
use work::Secured;

/// Does what the command line says, and returns what is to be printed.
pub async fn run(command: DockerTls) -> Result<String> {
    match command {
        DockerTls::Enable(args) => enable(&args).await,
        DockerTls::Disable(args) => {
            let daemon_json = files::real(&args.place.daemon_json);
            let done = disable(daemon_json).await?;
            Ok(told(args.place.json, &done, done.text()))
        }
        DockerTls::Renew(args) => renew(&args).await,
        DockerTls::Status(args) => {
            let status = Status::read(files::real(&args.place.daemon_json))?;
            Ok(told(args.place.json, &status, status.text()))
        }
    }
}

async fn enable(args: &EnableArgs) -> Result<String> {
    let daemon_json = files::real(&args.place.daemon_json);
    let _hold = hold(&daemon_json)?;
    let phase = phase(&daemon_json)?;
    if args.dry_run && phase == Phase::Absent {
        let intent = Intent::of(&survey::plan(args)?);
        return Ok(told(args.place.json, &intent, intent.text()));
    }
    let works = phase.plan(Wish::Enable)?;
    if args.dry_run {
        let status = Status::read(daemon_json)?;
        return Ok(told(args.place.json, &status, status.text()));
    }
    let (mut secured, mut validation, mut did) = (None, None, Did::Nothing);
    for work in works {
        match work {
            Work::TakeOut => take_out(&daemon_json).await?,
            Work::PutBack => {
                (secured, did) = (Some(put_back(&daemon_json).await?), Did::PutBack);
            }
            Work::PutIn | Work::Exchange => {
                let plan = survey::plan(args)?;
                warn(plan.containers);
                let (engine, checked) = work::put_in(plan).await?;
                (secured, validation, did) = (Some(engine), Some(checked), Did::Enabled);
            }
        }
    }
    if did != Did::Enabled {
        same(&daemon_json, args)?;
    }
    let done = Done::new(did, secured, validation, daemon_json)?;
    Ok(told(args.place.json, &done, done.text()))
}

/// What is enabled is what was asked for.
fn same(daemon_json: &Path, args: &EnableArgs) -> Result<()> {
    let settings = read(daemon_json)?.settings;
    let given: Vec<String> = args.name.iter().chain(&args.ip).cloned().collect();
    let differs = if settings.listen != args.listen {
        format!("--listen {}", settings.listen)
    } else if settings.given != given {
        format!("the names {}", settings.names.join(", "))
    } else {
        return Ok(());
    };
    Err(DockerTlsError::Differs(differs))
}

async fn disable(daemon_json: PathBuf) -> Result<Done> {
    let _hold = hold(&daemon_json)?;
    let works = phase(&daemon_json)?.plan(Wish::Disable)?;
    let did = if works.is_empty() {
        Journal::sweep(&daemon_json)?;
        Did::Nothing
    } else {
        take_out(&daemon_json).await?;
        Did::Disabled
    };
    Done::new(did, None, None, daemon_json)
}

async fn renew(args: &RenewArgs) -> Result<String> {
    let daemon_json = files::real(&args.place.daemon_json);
    let _hold = hold(&daemon_json)?;
    let mut secured = None;
    let mut did = Did::Nothing;
    for work in phase(&daemon_json)?.plan(Wish::Renew)? {
        if *work == Work::PutBack {
            (secured, did) = (Some(put_back(&daemon_json).await?), Did::PutBack);
        } else if !args.if_due || due(&daemon_json)? {
            warn(Containers::of(&daemon_json)?);
            secured = Some(work::exchange(read(&daemon_json)?).await?);
            did = Did::Renewed;
        }
    }
    let done = Done::new(did, secured, None, daemon_json)?;
    Ok(told(args.place.json, &done, done.text()))
}

/// Whether it is time to renew; where that would stop containers, a person has to say when.
fn due(daemon_json: &Path) -> Result<bool> {
    let validity = Validity::of(&read(daemon_json)?.settings)?;
    if Utc::now() < validity.renew_from {
        return Ok(false);
    }
    match Containers::of(daemon_json)? {
        Containers::GoOn => Ok(true),
        Containers::Stop => Err(DockerTlsError::WouldStop {
            path: daemon_json.to_path_buf(),
            until: validity.server_expires_at.format("%F").to_string(),
        }),
    }
}

async fn take_out(daemon_json: &Path) -> Result<()> {
    work::take_out(read(daemon_json)?).await
}

async fn put_back(daemon_json: &Path) -> Result<Secured> {
    work::put_back(read(daemon_json)?).await
}

fn phase(daemon_json: &Path) -> Result<Phase> {
    let journal = Journal::read(daemon_json)?;
    Ok(journal.map_or(Phase::Absent, |journal| journal.phase))
}

fn read(daemon_json: &Path) -> Result<Journal> {
    Journal::read(daemon_json)?.ok_or(DockerTlsError::NotNow(NotNow::Absent))
}

/// One at a time works on an engine.
fn hold(daemon_json: &Path) -> Result<Option<std::fs::File>> {
    daemon_json.parent().map_or(Ok(None), files::hold)
}

fn warn(containers: Containers) {
    for warning in report::warnings(containers) {
        eprintln!("Warning: {warning}");
    }
}

fn told(json: bool, value: &impl Serialize, text: String) -> String {
    if json {
        // What is told has names for keys alone, so that it can always be written.
        serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
    } else {
        text
    }
}
