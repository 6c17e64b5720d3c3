//! The state of a starting agent.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use towline_shared::spec::{JobSpec, SealedSpec};

use super::held_jobs::JobHandle;
use super::renewal::Renewal;
use super::streams::Streams;
use super::watchers::Connected;
use super::{Agent, AgentError, Event, LastConnection, LinkPhase, Options};
use crate::executor::Executor;
use crate::ledger::{Acceptance, Ledger, LedgerWriter, Record, SPEC_FILE, remove_folder};
use crate::logs::JobLog;
use crate::machine::{self, Machine};
use crate::state_dir::StateDir;
use crate::task::StepBegun;

impl Agent {
    /// Takes the state folder, reads the journal, and goes on with what can go on.
    pub(super) fn restore(
        options: Options,
        executor: Arc<dyn Executor>,
        sender: mpsc::Sender<Event>,
        steps: mpsc::Sender<StepBegun>,
    ) -> Result<Self, AgentError> {
        let lock = options.dir.lock()?;
        let mut ledger = Ledger::open(&options.dir.ledger())?;
        let jobs = restore_jobs(&options, &mut ledger)?;
        remove_orphans(&options.dir, &jobs);
        let machine = Machine::restore(ledger.state());
        let journal = sender.clone();
        let done = move |record, result| {
            // It fails only when the agent is gone.
            let _ = journal.blocking_send(Event::Journal(record, result));
        };
        let ledger =
            LedgerWriter::start(ledger, options.dir.clone(), done).map_err(AgentError::Thread)?;
        let mut agent = Self {
            last: LastConnection::load(&options.dir),
            options,
            executor,
            machine,
            ledger,
            jobs,
            offered: HashMap::new(),
            link: LinkPhase::Down,
            capabilities: None,
            streams: Streams::default(),
            renewal: Renewal::default(),
            sender,
            steps,
            connected: watch::channel(Connected::No).0,
            _lock: lock,
        };
        tracing::info!(held = agent.jobs.len(), "the journal was read");
        agent.feed(machine::Event::Restored);
        Ok(agent)
    }
}

/// The jobs whose specification is there. The others were forgotten when the journal could not say
/// so; now it can.
fn restore_jobs(
    options: &Options,
    ledger: &mut Ledger,
) -> Result<HashMap<towline_shared::protocol::v1::Attempt, JobHandle>, AgentError> {
    let accepted: Vec<_> = ledger
        .state()
        .jobs
        .iter()
        .map(|job| job.accepted.clone())
        .collect();
    let mut jobs = HashMap::new();
    for accepted in accepted {
        let dir = options.dir.job(accepted.attempt);
        match read_spec(&dir) {
            Some(spec) => {
                jobs.insert(accepted.attempt, restore_job(options, &accepted, spec, dir));
            }
            None => ledger.append(&[Record::Forgotten(accepted.attempt)])?,
        }
    }
    Ok(jobs)
}

fn restore_job(options: &Options, accepted: &Acceptance, spec: JobSpec, dir: PathBuf) -> JobHandle {
    let log = JobLog::open(accepted.attempt, &dir, accepted.log, options.logs);
    JobHandle::new(spec, Vec::new(), dir, log)
}

fn read_spec(dir: &Path) -> Option<JobSpec> {
    let path = dir.join(SPEC_FILE);
    let bytes = fs::read(&path).ok()?;
    let sealed: SealedSpec = postcard::from_bytes(&bytes).ok()?;
    match sealed.open() {
        Ok(spec) => Some(spec),
        Err(error) => {
            tracing::error!(path = %path.display(), %error, "a held job's specification is damaged; the job is given up");
            None
        }
    }
}

/// Removes what a process left that died between storing a specification and journalling it, or
/// between journalling and removing.
fn remove_orphans(
    dir: &StateDir,
    jobs: &HashMap<towline_shared::protocol::v1::Attempt, JobHandle>,
) {
    let known: HashSet<_> = jobs.values().map(|job| job.dir.clone()).collect();
    let Ok(folders) = fs::read_dir(dir.jobs()) else {
        return;
    };
    for folder in folders.flatten().map(|entry| entry.path()) {
        if !known.contains(&folder) {
            remove_folder(&folder);
        }
    }
}
