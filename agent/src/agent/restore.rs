//! The state of a starting agent.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use towline_shared::protocol::v1::Attempt;
use towline_shared::spec::{JobSpec, SealedSpec};

use super::held_jobs::JobHandle;
use super::renewal::Renewal;
use super::streams::Streams;
use super::watchers::Connected;
use super::{Agent, AgentError, Event, LastConnection, LinkPhase, Options};
use crate::executor::Executor;
use crate::ledger::{Ledger, LedgerWriter, Record, SPEC_FILE, remove_folder};
use crate::logs::JobLog;
use crate::machine::{self, Machine};
use crate::state_dir::{Boot, StateDir};
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
        let jobs = restore_jobs(&options, &mut ledger, lock.boot())?;
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

/// The jobs that are still held. One whose folder is gone was forgotten when the journal could not
/// say so, and now it can; unless the machine has lost its power meanwhile, and the folder by it.
fn restore_jobs(
    options: &Options,
    ledger: &mut Ledger,
    boot: Boot,
) -> Result<HashMap<Attempt, JobHandle>, AgentError> {
    let entries = ledger.state().jobs.iter();
    let held: Vec<_> = entries.map(|job| job.accepted.clone()).collect();
    let mut jobs = HashMap::new();
    for accepted in held {
        let attempt = accepted.attempt;
        let dir = options.dir.job(attempt);
        let is_there = dir.is_dir() || boot == Boot::Other;
        match is_there
            .then(|| read_spec(ledger.state().spec(attempt), &dir))
            .flatten()
        {
            Some(spec) => {
                let log = JobLog::open(attempt, &dir, accepted.log, options.logs);
                jobs.insert(attempt, JobHandle::new(spec, Vec::new(), dir, log));
            }
            None => ledger.append(&[Record::Forgotten(attempt)])?,
        }
    }
    Ok(jobs)
}

fn read_spec(journalled: Option<&[u8]>, dir: &Path) -> Option<JobSpec> {
    let file = || fs::read(dir.join(SPEC_FILE)).ok();
    let encoded = journalled.map(<[u8]>::to_vec).or_else(file)?;
    let sealed: SealedSpec = postcard::from_bytes(&encoded).ok()?;
    match sealed.open() {
        Ok(spec) => Some(spec),
        Err(error) => {
            tracing::error!(dir = %dir.display(), %error, "a held job's specification is damaged; the job is given up");
            None
        }
    }
}

/// Removes what a process left that died between storing a specification and journalling it, or
/// between journalling and removing.
fn remove_orphans(dir: &StateDir, jobs: &HashMap<Attempt, JobHandle>) {
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
