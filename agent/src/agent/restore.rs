//! The state of a starting agent.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use towline_shared::protocol::v1::Attempt;

use super::held_jobs::JobHandle;
use super::renewal::Renewal;
use super::streams::Streams;
use super::tunnels::Tunnels;
use super::upgrades::Course;
use super::watchers::Connected;
use super::{Agent, AgentError, Event, LastConnection, LinkPhase, Options};
use crate::executor::Executor;
use crate::ledger::{Ledger, LedgerWriter, held_on_disk, remove_folder};
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
        let course = Course::begin(&options.upgrades);
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
            tunnels: Tunnels::default(),
            renewal: Renewal::default(),
            course,
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

/// The jobs that are still held, with their logs open.
fn restore_jobs(
    options: &Options,
    ledger: &mut Ledger,
    boot: Boot,
) -> Result<HashMap<Attempt, JobHandle>, AgentError> {
    let held = held_on_disk(ledger, &options.dir, boot)?.into_iter();
    let opened = held.map(|(accepted, spec)| {
        let attempt = accepted.attempt;
        let dir = options.dir.job(attempt);
        let log = JobLog::open(attempt, &dir, accepted.log, options.logs);
        (attempt, JobHandle::new(spec, Vec::new(), dir, log))
    });
    Ok(opened.collect())
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
