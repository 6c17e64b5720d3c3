//! The works, each of which ends where it leads to or puts back what was before.

use std::path::{Path, PathBuf};

use chrono::Utc;
use towline_pki::docker::HostNames;

use super::certificates;
use super::error::{DockerTlsError, Result};
use super::files::{self, PUBLIC, SECRET, Snapshot};
use super::journal::{Change, Journal, Settings};
use super::phase::Phase;
use super::probe::{self, Probe};
use super::restart::{Validation, validate};
use super::survey::Plan;

/// What the programs print that restart the engine.
const LOG: &str = "restart.log";
/// The new `daemon.json`, while the engine checks it.
const CANDIDATE: &str = "candidate.json";

/// An engine that answers by TLS, and to nobody without a certificate.
#[derive(Debug)]
pub struct Secured {
    /// Its version.
    pub version: String,
}

/// From nothing to use.
pub async fn put_in(plan: Plan) -> Result<(Secured, Validation)> {
    // Whether all is as before could not be told of an engine that did not run.
    probe::answers(&plan.settings.docker_host, probe::RUNNING_PATIENCE).await?;
    let folder = plan.settings.make_folder()?;
    let mut journal = Journal {
        phase: Phase::Absent,
        settings: plan.settings.clone(),
        changes: plan.changes.clone(),
        renewal: Vec::new(),
        folders: plan.folders.clone(),
    };
    if let Err(error) = journal.enter(Phase::Preparing) {
        Journal::sweep(&plan.settings.daemon_json)?;
        return Err(error);
    }
    match try_put_in(&mut journal, &plan, &folder).await {
        Ok(done) => Ok(done),
        Err(cause) => Err(undone(cause, take_out(journal).await)),
    }
}

async fn try_put_in(
    journal: &mut Journal,
    plan: &Plan,
    folder: &Path,
) -> Result<(Secured, Validation)> {
    certificates::make(folder, &plan.names, Utc::now())?;
    let validation = check(plan, folder).await?;
    for change in &journal.changes {
        if let Some(parent) = change.path.parent() {
            files::make_folder(parent, 0o755)?;
        }
        change.apply(PUBLIC)?;
    }
    journal.enter(Phase::Starting)?;
    let secured = restart(&journal.settings).await?;
    let log = folder.join(LOG);
    journal.settings.restart.start_timer(&log).await?;
    journal.enter(Phase::Enabled)?;
    Ok((secured, validation))
}

/// The engine reads the new configuration before it has to live with it.
async fn check(plan: &Plan, folder: &Path) -> Result<Validation> {
    let candidate = folder.join(CANDIDATE);
    if let Some(change) = plan.changes.last() {
        Snapshot::Absent
            .with(change.ours.0.clone(), SECRET)
            .put(&candidate)?;
    }
    let program = plan.started.program.clone();
    let program = program.unwrap_or_else(|| PathBuf::from("dockerd"));
    let validation = validate(&program, &plan.started.flags, &candidate).await;
    Snapshot::Absent.put(&candidate)?;
    validation
}

/// Restarts the engine, and looks at it with and without a certificate.
async fn restart(settings: &Settings) -> Result<Secured> {
    let folder = settings.folder();
    settings.restart.run(&folder.join(LOG)).await?;
    let authority = certificates::authority(&folder)?;
    let (certificate, key) = certificates::client_pair(&folder)?;
    let name = settings.names.first().cloned().unwrap_or_default();
    let probe = Probe::new(
        (settings.address(), name),
        &authority,
        (&certificate, &key),
        settings.patience(),
    )?;
    let version = probe.judge().await?;
    probe::answers(&settings.docker_host, settings.patience()).await?;
    Ok(Secured { version })
}

/// Back to what was there before, wherever it broke off.
pub async fn take_out(mut journal: Journal) -> Result<()> {
    let undone: Vec<(PathBuf, Snapshot)> = journal
        .changes
        .iter()
        .map(|change| Ok((change.path.clone(), change.undone(&journal.settings)?)))
        .collect::<Result<_>>()?;
    if journal.phase == Phase::Preparing && untouched(&journal)? {
        put_all(&undone)?;
        return journal.remove();
    }
    journal.enter(Phase::Leaving)?;
    let settings = &journal.settings;
    let log = settings.folder().join(LOG);
    settings.restart.stop_timer(&log).await;
    put_all(&undone)?;
    let restarted = settings.restart.run(&log).await;
    // What counts is the engine: one that answers here and listens there no more is as it was.
    let looked = async {
        probe::answers(&settings.docker_host, settings.patience()).await?;
        probe::is_closed(settings.address(), settings.patience()).await
    };
    if let Err(trouble) = looked.await {
        return Err(restarted.err().unwrap_or_else(|| trouble.into()));
    }
    journal.remove()
}

/// Whether the engine cannot have seen anything of it, even if somebody else has restarted it.
fn untouched(journal: &Journal) -> Result<bool> {
    let config = journal.changes.last();
    config.map_or(Ok(true), |change| {
        Ok(Snapshot::take(&change.path)?.content() == change.former.content())
    })
}

/// In the opposite order: what counts last goes first.
fn put_all(files: &[(PathBuf, Snapshot)]) -> Result<()> {
    files
        .iter()
        .rev()
        .try_for_each(|(path, snapshot)| snapshot.put(path))
}

/// A new certificate, and an engine that serves by it.
pub async fn exchange(mut journal: Journal) -> Result<Secured> {
    let settings = journal.settings.clone();
    let names = HostNames::read(&settings.names, &[""; 0])?;
    journal.renewal = certificates::anew(&settings.folder(), &names, Utc::now())?;
    journal.enter(Phase::Renewing)?;
    match try_exchange(&mut journal).await {
        Ok(secured) => Ok(secured),
        Err(cause) => Err(undone(cause, put_back(journal).await.map(|_| ()))),
    }
}

async fn try_exchange(journal: &mut Journal) -> Result<Secured> {
    certificates::apply(&journal.renewal)?;
    let secured = restart(&journal.settings).await?;
    journal.renewal.clear();
    journal.enter(Phase::Enabled)?;
    Ok(secured)
}

/// The certificate that was in use before a renewal that did not come to its end.
pub async fn put_back(mut journal: Journal) -> Result<Secured> {
    for Change { path, former, .. } in &journal.renewal {
        former.put(path)?;
    }
    let secured = restart(&journal.settings).await?;
    journal.renewal.clear();
    journal.enter(Phase::Enabled)?;
    Ok(secured)
}

fn undone(cause: DockerTlsError, undone: Result<()>) -> DockerTlsError {
    let cause = Box::new(cause);
    match undone {
        Ok(()) => DockerTlsError::PutBack(cause),
        Err(then) => DockerTlsError::NotPutBack {
            cause,
            then: Box::new(then),
        },
    }
}
