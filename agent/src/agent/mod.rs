//! The agent: one loop that owns all state and takes one kind of event.
//!
//! It never waits for a disk, the network or an engine: those work beside it and come back as
//! events. What happens to jobs is decided by [`crate::machine`]; here it is done.
//!
//! When the process is told to stop, it refuses new offers, drops the executors' futures (what
//! they started on the host in sessions of their own goes on), flushes the logs, and ends within
//! ten seconds. Jobs in progress stay in the journal and are resumed by the next process.

mod connection;
mod held_jobs;
mod offers;
mod renewal;
mod restore;
mod status;
mod streams;
mod tunnels;
mod upgrades;
mod watchers;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;
use towline_shared::log::LogPosition;
use towline_shared::metrics::{SAMPLE_EVERY_S, Sample};
use towline_shared::outcome::Outcome;
use towline_shared::protocol::v1::{Attempt, Capabilities, FromAgent};

use crate::dial::Dialer;
use crate::executor::Executor;
use crate::ledger::{LedgerError, LedgerWriter, Record};
use crate::link::{self, Eagerness, Link, LinkEvent};
use crate::logs::LogLimits;
use crate::machine::{self, Machine};
use crate::state_dir::{StateDir, StateError, StateLock};
use crate::task::StepBegun;
use crate::upgrade::{Journal, Preparation, Prepared, Upgrades};
use held_jobs::JobHandle;
use offers::Offered;
use renewal::Renewal;
use streams::Streams;
use tunnels::Tunnels;
use upgrades::Course;

pub use status::{LastConnection, LinkState};

/// Events that wait for the loop.
const EVENTS: usize = 256;
/// How long stopping may take.
const STOP_PATIENCE: Duration = Duration::from_secs(8);

/// What an agent needs to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its state folder.
    pub dir: StateDir,
    /// How it dials.
    pub dialer: Dialer,
    /// A path on the file system of the engine's data, whose room is measured. None where the engine is not on this
    /// machine: then nothing is measured.
    pub engine_data: Option<PathBuf>,
    /// Its pace.
    pub pace: Pace,
    /// The limits of its logs.
    pub logs: LogLimits,
    /// How it becomes another version of itself.
    pub upgrades: Upgrades,
}

/// Why an agent has ended.
#[derive(Debug)]
pub enum Finish {
    /// It was told to stop.
    Stopped,
    /// No job runs, and another program is to take its place.
    Upgrade(Prepared),
    /// It was not welcomed after an upgrade; why.
    GoBack(Journal, String),
}

/// How often an agent does what it does by the clock.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How eagerly it dials again.
    pub link: Eagerness,
    /// How often it looks at what is due: renewal, reconnecting with a new certificate.
    pub tick: Duration,
    /// How often it samples.
    pub sample: Duration,
    /// How often it looks whether the engine has changed.
    pub capabilities: Duration,
    /// How long work that was told to stop may take until it is abandoned.
    pub stop_work: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            link: Eagerness::default(),
            tick: Duration::from_secs(10),
            sample: Duration::from_secs(SAMPLE_EVERY_S),
            capabilities: Duration::from_mins(1),
            stop_work: Duration::from_mins(1),
        }
    }
}

/// Why an agent cannot run.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The state folder cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The journal cannot be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The system gives no thread.
    #[error("a thread cannot be started: {0}")]
    Thread(std::io::Error),
}

/// What happens.
enum Event {
    Link(LinkEvent),
    Step(StepBegun),
    Journal(Record, Result<(), String>),
    Ended(Attempt, Outcome, LogPosition),
    Capabilities(Capabilities),
    Sampled(Sample),
    StreamEnded(u32),
    Prepared(Result<Preparation, String>),
    Tick,
    Stop,
}

/// How far the link is.
enum LinkPhase {
    Down,
    /// It is up; the hello waits for the capabilities.
    Silent(Link),
    /// The hello was said; its answer is awaited.
    Greeted(Link),
    /// The answer has come: logs, streams and samples may be sent.
    Welcomed(Link),
}

struct Agent {
    options: Options,
    executor: Arc<dyn Executor>,
    machine: Machine,
    ledger: LedgerWriter,
    jobs: HashMap<Attempt, JobHandle>,
    offered: HashMap<Attempt, Offered>,
    link: LinkPhase,
    capabilities: Option<Capabilities>,
    streams: Streams,
    tunnels: Tunnels,
    renewal: Renewal,
    course: Course,
    last: LastConnection,
    sender: mpsc::Sender<Event>,
    steps: mpsc::Sender<StepBegun>,
    connected: tokio::sync::watch::Sender<watchers::Connected>,
    _lock: StateLock,
}

/// Runs an agent until `stop` is tripped, or another program is to run in its place.
pub async fn run(
    options: Options,
    executor: Arc<dyn Executor>,
    stop: CancellationToken,
) -> Result<Finish, AgentError> {
    let (sender, mut events) = mpsc::channel(EVENTS);
    let (steps, mut step_events) = mpsc::channel(EVENTS);
    let (link_sender, mut link_events) = mpsc::channel(EVENTS);
    let mut agent = Agent::restore(options, executor, sender, steps)?;
    let pace = agent.options.pace;
    let background = agent.start_watchers();
    let link = tokio::spawn(link::keep(
        agent.options.dir.clone(),
        agent.options.dialer.clone(),
        pace.link,
        link_sender,
    ));
    let mut tick = interval(pace.tick);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stopping: Option<Instant> = None;
    let mut finish = Finish::Stopped;
    let mut flushed =
        Box::pin(std::future::pending()) as std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;
    loop {
        let event = tokio::select! {
            biased;
            () = stop.cancelled(), if stopping.is_none() => Event::Stop,
            Some(event) = events.recv() => event,
            Some(begun) = step_events.recv() => Event::Step(begun),
            Some(event) = link_events.recv() => Event::Link(event),
            _ = tick.tick() => Event::Tick,
            () = &mut flushed => break,
            () = sleep_until(stopping.unwrap_or_else(Instant::now)), if stopping.is_some() => break,
        };
        let ends = if matches!(event, Event::Stop) {
            Some(Finish::Stopped)
        } else {
            agent.handle(event);
            agent.due().filter(|_| stopping.is_none())
        };
        if let Some(ends) = ends {
            finish = ends;
            stopping = Some(Instant::now() + STOP_PATIENCE);
            flushed = agent.stop();
        }
    }
    agent.farewell();
    drop(background);
    // The journal's thread must not wait for a loop that has ended.
    drop(events);
    drop(agent);
    // The link ends when nobody listens; a moment lets it close properly.
    drop(link_events);
    let _ = tokio::time::timeout(Duration::from_secs(1), link).await;
    Ok(finish)
}

impl Agent {
    fn handle(&mut self, event: Event) {
        match event {
            Event::Link(event) => self.on_link(event),
            Event::Step(step) => self.on_step(step),
            Event::Journal(record, Ok(())) => self.feed(machine::Event::Journalled(record)),
            Event::Journal(record, Err(error)) => {
                tracing::error!(%error, "the journal could not be written");
                self.feed(machine::Event::NotJournalled(record, error));
            }
            Event::Ended(attempt, outcome, log) => {
                tracing::info!(job = %attempt.job, outcome = outcome_word(&outcome), "the work has ended");
                self.feed(machine::Event::Ended(attempt, outcome, log));
            }
            Event::Capabilities(capabilities) => self.on_capabilities(capabilities),
            Event::Sampled(sample) => {
                if let LinkPhase::Welcomed(link) = &self.link {
                    link.say_if_idle(&FromAgent::Metrics(sample));
                }
            }
            Event::StreamEnded(stream) => self.streams.ended(stream),
            Event::Prepared(prepared) => self.on_prepared(prepared),
            Event::Tick => self.mind_renewal(),
            Event::Stop => {}
        }
    }

    /// Stops the work without ending it, and gives a future of the logs' flushing.
    fn stop(&mut self) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        let live = self.machine.live();
        tracing::info!(
            live,
            "stopping; jobs in progress are resumed by the next start"
        );
        self.feed(machine::Event::Stopping);
        self.streams.abort_all();
        self.tunnels.abort_all();
        let logs: Vec<_> = self.jobs.values_mut().map(JobHandle::suspend).collect();
        Box::pin(async move {
            for log in logs {
                log.await;
            }
        })
    }

    fn farewell(&mut self) {
        if let Some(link) = self.link.any() {
            link.close();
        }
        self.link_is_down("the agent has stopped");
    }
}

impl LinkPhase {
    const fn any(&self) -> Option<&Link> {
        match self {
            Self::Down => None,
            Self::Silent(link) | Self::Greeted(link) | Self::Welcomed(link) => Some(link),
        }
    }
}

const fn outcome_word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded { .. }
        | Outcome::Ran { .. }
        | Outcome::Built { .. }
        | Outcome::Previewed(_) => "succeeded",
        Outcome::Failed { reason, .. } => reason.as_str(),
        Outcome::Cancelled { .. } => "cancelled",
    }
}
