//! A host: its disk and engine, and the agent's process while it lives. The machine, the journal and the spool are the
//! real ones; what the agent's loop does around them is done here step by step, so that it may die between any two.

mod conversation;
mod loss;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;

use towline_agent::ledger::{
    Append, Entry, EntryProgress, Ledger, Record, held_on_disk, write_waiting,
};
use towline_agent::logs::{Batch, Spool};
use towline_agent::machine::{self, Action, Machine};
use towline_agent::state_dir::{Boot, StateDir};
use towline_agent::task::{GateState, Start};
use towline_shared::ids::JobId;
use towline_shared::log::{LogLine, LogPosition, LogStream};
use towline_shared::outcome::Outcome;
use towline_shared::protocol::v1::{Attempt, FromAgent, Offer};
use towline_shared::spec::Secret;

use conversation::send;
use loss::{lose_tail, shorten, tear};

use crate::dice::Dice;
use crate::engine::Engine;
use crate::link::{Link, LinkId};
use crate::work::{Orders, Turn, Worker};

/// How much a spool takes.
const SPOOL_BYTES: u64 = 64 * 1024 * 1024;

/// A host.
pub struct Host {
    /// Its engine.
    pub engine: Engine,
    /// Its disk.
    pub disk: Disk,
    /// The agent, while it runs.
    pub agent: Option<Agent>,
    dir: PathBuf,
    boot: Boot,
}

/// The state of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// It takes what is written.
    Sound,
    /// It is full.
    Full,
}

/// An agent's process.
pub struct Agent {
    machine: Machine,
    ledger: Ledger,
    dir: StateDir,
    /// Records that wait for the disk.
    queue: VecDeque<Append>,
    jobs: BTreeMap<(JobId, towline_shared::Fence), HeldJob>,
    offered: BTreeMap<(JobId, towline_shared::Fence), Offer>,
    /// The connection.
    pub phase: Phase,
    /// When something last came, by the true time.
    pub heard: i64,
    /// When it may dial again, by the true time.
    pub dials_at: i64,
}

/// How far the connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// There is none.
    Down,
    /// The handshake was sent.
    Shaking(LinkId),
    /// The hello was said.
    Greeted(LinkId),
    /// It was answered.
    Welcomed(LinkId),
}

struct HeldJob {
    folder: PathBuf,
    spool: Spool,
    secrets: Vec<Secret>,
    worker: Option<Worker>,
    sends: Sends,
    end: Option<LogPosition>,
    report: Option<Outcome>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sends {
    Nothing,
    /// The log, then the result.
    On(LinkId),
    /// Nothing more: the result was sent.
    Done(LinkId),
}

/// What happened on a host that the account must know.
#[derive(Debug)]
pub enum Noted {
    /// The gate of an attempt opened.
    Permitted(Attempt, Start),
    /// An acceptance is durable.
    Accepted(Attempt),
    /// A line was spooled: its number in the run.
    Printed(Attempt, u64),
    /// A step for the trace.
    Else(String),
}

/// Something that must never be.
pub type Broken = String;

impl Host {
    /// A host whose agent has never run.
    pub fn new(dir: PathBuf) -> Self {
        Self {
            engine: Engine::default(),
            disk: Disk::Sound,
            agent: None,
            dir,
            boot: Boot::Other,
        }
    }

    /// The agent's process begins.
    pub fn start(
        &mut self,
        now: i64,
        dice: &mut Dice,
        lines: &mut u64,
        noted: &mut Vec<Noted>,
    ) -> Result<(), Broken> {
        let dir = StateDir::open(&self.dir).map_err(|error| error.to_string())?;
        let mut ledger = Ledger::open(&dir.ledger()).map_err(|error| error.to_string())?;
        let held = held_on_disk(&mut ledger, &dir, self.boot).map_err(|error| error.to_string())?;
        self.boot = Boot::Same;
        let machine = Machine::restore(ledger.state());
        let mut agent = Agent {
            machine,
            ledger,
            dir,
            queue: VecDeque::new(),
            jobs: BTreeMap::new(),
            offered: BTreeMap::new(),
            phase: Phase::Down,
            heard: now,
            dials_at: now,
        };
        for (accepted, _) in held {
            agent.hold(accepted.attempt, accepted.log, Vec::new())?;
        }
        let mut hands = Hands {
            engine: &mut self.engine,
            link: None,
            dice,
            lines,
            noted,
        };
        agent.feed(machine::Event::Restored, &mut hands)?;
        self.agent = Some(agent);
        Ok(())
    }

    /// The process dies; a record that was being written may be torn.
    pub fn kill(&mut self, dice: &mut Dice) {
        let Some(agent) = self.agent.take() else {
            return;
        };
        if let Some(append) = agent.queue.front()
            && dice.permille(400)
        {
            tear(&agent.dir.ledger(), &append.record, dice);
        }
    }

    /// The machine loses its power: what nobody had synced may be gone, and no process lives on.
    pub fn cut_power(&mut self, dice: &mut Dice) {
        let Some(agent) = self.agent.take() else {
            return;
        };
        for job in agent.jobs.values().filter(|job| job.end.is_none()) {
            lose_tail(&job.folder.join("spool"), dice);
        }
        let ledger = agent.dir.ledger();
        let durable = agent.ledger.durable_end();
        shorten(&ledger, durable, dice);
        self.engine.child = None;
        self.boot = Boot::Other;
    }

    /// The process that changes something comes to its end.
    pub fn change(&mut self) -> Result<Option<Attempt>, Broken> {
        self.engine.change()
    }
}

/// What an agent reaches for.
pub struct Hands<'a> {
    /// The host's engine.
    pub engine: &'a mut Engine,
    /// Its connection.
    pub link: Option<&'a mut Link>,
    /// Chance.
    pub dice: &'a mut Dice,
    /// How many lines were printed in the run.
    pub lines: &'a mut u64,
    /// For the account.
    pub noted: &'a mut Vec<Noted>,
}

impl Agent {
    fn hold(
        &mut self,
        attempt: Attempt,
        base: LogPosition,
        secrets: Vec<Secret>,
    ) -> Result<(), Broken> {
        let folder = self.dir.job(attempt);
        let spool = Spool::open(&folder.join("spool"), base, SPOOL_BYTES)
            .map_err(|error| error.to_string())?;
        let held = HeldJob {
            folder,
            spool,
            secrets,
            worker: None,
            sends: Sends::Nothing,
            end: None,
            report: None,
        };
        self.jobs.insert(key(attempt), held);
        Ok(())
    }

    /// How many jobs the agent has in any way.
    pub fn size(&self) -> usize {
        self.machine.jobs().len().max(self.jobs.len())
    }

    /// How many jobs are at work; those that are only brought to rest do not count.
    pub fn live(&self) -> usize {
        use machine::{Kept, Phase};
        let rests = |phase: &Phase| {
            matches!(
                phase,
                Phase::Finished(_, Kept::Journal) | Phase::Dropping | Phase::Gone
            )
        };
        let jobs = self.machine.jobs().iter();
        jobs.filter(|job| !rests(&job.phase)).count()
    }

    /// Whether nothing is left of any job.
    pub fn is_idle(&self) -> bool {
        self.machine.jobs().is_empty() && self.queue.is_empty()
    }

    /// Whether the disk has something to do.
    pub fn writes(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The attempts whose workers live.
    pub fn workers(&self) -> Vec<Attempt> {
        let jobs = self.jobs.values().filter_map(|job| job.worker.as_ref());
        jobs.map(|worker| worker.attempt).collect()
    }

    /// The attempts that have something to send.
    pub fn senders(&self) -> Vec<Attempt> {
        let Phase::Welcomed(up) = self.phase else {
            return Vec::new();
        };
        let sending = self
            .jobs
            .iter()
            .filter(|(_, job)| job.sends == Sends::On(up));
        let waiting = sending.filter(|(_, job)| job.report.is_some() || job.spool.has_unread());
        waiting
            .map(|((job, fence), _)| Attempt {
                job: *job,
                fence: *fence,
            })
            .collect()
    }

    /// Faults have stopped: nothing hangs any more.
    pub fn relent(&mut self) {
        for job in self.jobs.values_mut() {
            if let Some(worker) = &mut job.worker {
                worker.relent();
            }
        }
    }

    /// Lets the machine decide, and does what it says.
    pub fn feed(&mut self, event: machine::Event, hands: &mut Hands<'_>) -> Result<(), Broken> {
        let mut line = VecDeque::from(self.machine.step(event));
        while let Some(action) = line.pop_front() {
            if let Some(event) = self.act(action, hands)? {
                line.extend(self.machine.step(event));
            }
        }
        Ok(())
    }

    fn act(
        &mut self,
        action: Action,
        hands: &mut Hands<'_>,
    ) -> Result<Option<machine::Event>, Broken> {
        match action {
            Action::Journal(record) => self.journal(record),
            Action::Send(message) => self.say(&message, hands),
            Action::Start(attempt, start, gate) => self.begin(attempt, start, gate, hands)?,
            Action::OpenGate(attempt) => {
                self.has_begun(attempt)?;
                hands.noted.push(Noted::Permitted(attempt, Start::Fresh));
                self.worker(attempt)?.gate = GateState::Open;
            }
            Action::StopWork(attempt) => self.worker(attempt)?.orders = Orders::Stop,
            Action::Conclude(attempt, outcome) => return self.ended(attempt, outcome).map(Some),
            Action::AnswerStep(attempt, answer) => {
                let turn = self.worker(attempt)?.answered(&answer);
                if let Turn::Ended(outcome) = turn {
                    return self.ended(attempt, outcome).map(Some);
                }
            }
            Action::Report(attempt, outcome) => {
                if let Some(job) = self.jobs.get_mut(&key(attempt)) {
                    job.end.get_or_insert(job.spool.end());
                    job.report = Some(outcome);
                }
            }
            Action::Discard(attempt) => {
                if let Some(job) = self.jobs.remove(&key(attempt)) {
                    if job.worker.is_some() {
                        return Err(format!(
                            "{} was discarded while its work runs",
                            attempt.fence
                        ));
                    }
                    towline_agent::ledger::remove_folder(&job.folder);
                }
            }
        }
        Ok(None)
    }

    fn journal(&mut self, record: Record) {
        let spec = match &record {
            Record::Accepted(accepted) => self
                .offered
                .get(&key(accepted.attempt))
                .and_then(|offer| postcard::to_stdvec(&offer.spec).ok()),
            _ => None,
        };
        self.queue.push_back(Append { record, spec });
    }

    fn say(&self, message: &FromAgent, hands: &mut Hands<'_>) {
        if let (Phase::Greeted(_) | Phase::Welcomed(_), Some(link)) = (self.phase, &mut hands.link)
        {
            hands
                .noted
                .push(Noted::Else(format!("says {}", message.name())));
            send(link, message);
        }
    }

    fn begin(
        &mut self,
        attempt: Attempt,
        start: Start,
        gate: GateState,
        hands: &mut Hands<'_>,
    ) -> Result<(), Broken> {
        if gate == GateState::Open {
            self.has_begun(attempt)?;
        }
        if let Some(offer) = self.offered.remove(&key(attempt)) {
            self.hold(attempt, offer.log, offer.secrets)?;
            if let (Phase::Welcomed(up), Some(job)) = (self.phase, self.jobs.get_mut(&key(attempt)))
            {
                job.spool
                    .anchor(offer.log)
                    .map_err(|error| error.to_string())?;
                job.sends = Sends::On(up);
            }
        }
        let job = self
            .jobs
            .get_mut(&key(attempt))
            .ok_or("a job without a folder was to start")?;
        if job.worker.is_some() {
            return Err(format!("two workers on {}", attempt.fence));
        }
        if gate == GateState::Open {
            hands.noted.push(Noted::Permitted(attempt, start));
        }
        job.worker = Some(Worker::new(attempt, start, gate, hands.dice));
        Ok(())
    }

    /// Nothing may happen on the host before the journal says that it begins.
    fn has_begun(&self, attempt: Attempt) -> Result<(), Broken> {
        let mut jobs = self.ledger.state().jobs.iter();
        let begun = |job: &Entry| {
            job.accepted.attempt == attempt && matches!(job.progress, EntryProgress::Begun(_))
        };
        if jobs.any(begun) {
            return Ok(());
        }
        let fence = attempt.fence;
        Err(format!(
            "{fence} may have effects, and its journal does not say so"
        ))
    }

    fn worker(&mut self, attempt: Attempt) -> Result<&mut Worker, Broken> {
        let job = self.jobs.get_mut(&key(attempt));
        let worker = job.and_then(|job| job.worker.as_mut());
        worker.ok_or_else(|| format!("{} has no worker", attempt.fence))
    }

    fn ended(&mut self, attempt: Attempt, outcome: Outcome) -> Result<machine::Event, Broken> {
        let job = self
            .jobs
            .get_mut(&key(attempt))
            .ok_or("the end of a job that is not held")?;
        job.worker = None;
        let end = job.spool.end();
        job.end = Some(end);
        Ok(machine::Event::Ended(attempt, outcome, end))
    }

    /// The disk takes what waits for it, or refuses it.
    pub fn write(&mut self, disk: Disk, hands: &mut Hands<'_>) -> Result<(), Broken> {
        let waiting: Vec<_> = match disk {
            Disk::Sound => self.queue.drain(..).collect(),
            Disk::Full => self.queue.pop_front().into_iter().collect(),
        };
        let mut results = Vec::new();
        match disk {
            Disk::Sound => {
                let done = |record, result| results.push((record, result));
                write_waiting(&mut self.ledger, &self.dir, waiting, done);
            }
            Disk::Full => {
                let refused = waiting.into_iter().map(|append| append.record);
                results.extend(refused.map(|record| (record, Err("no space left".to_owned()))));
            }
        }
        for (record, result) in results {
            hands
                .noted
                .push(Noted::Else(format!("journal {record:?}: {result:?}")));
            if let (Record::Accepted(accepted), Ok(())) = (&record, &result) {
                hands.noted.push(Noted::Accepted(accepted.attempt));
            }
            let event = match result {
                Ok(()) => machine::Event::Journalled(record),
                Err(error) => machine::Event::NotJournalled(record, error),
            };
            self.feed(event, hands)?;
        }
        Ok(())
    }

    /// One worker does what comes next.
    pub fn work(&mut self, attempt: Attempt, hands: &mut Hands<'_>) -> Result<(), Broken> {
        let prints = hands.dice.permille(500);
        let Some(job) = self.jobs.get_mut(&key(attempt)) else {
            return Ok(());
        };
        if prints {
            job.print(attempt, hands)?;
        }
        let Some(worker) = &mut job.worker else {
            return Ok(());
        };
        match worker.turn(hands.engine)? {
            Turn::Waits | Turn::Moved => Ok(()),
            Turn::Begins(step) => self.feed(machine::Event::StepBegun(attempt, step), hands),
            Turn::Ended(outcome) => {
                let ended = self.ended(attempt, outcome)?;
                self.feed(ended, hands)
            }
        }
    }
}

impl HeldJob {
    fn print(&mut self, attempt: Attempt, hands: &mut Hands<'_>) -> Result<(), Broken> {
        if self.end.is_some() || self.worker.is_none() {
            return Ok(());
        }
        *hands.lines += 1;
        let number = *hands.lines;
        let line = LogLine {
            at_us: i64::try_from(number).unwrap_or(i64::MAX),
            stream: LogStream::Stdout,
            source: String::new(),
            text: number.to_string(),
        };
        let batch = Batch {
            lines: vec![line],
            offsets: Vec::new(),
        };
        self.spool
            .append(&batch)
            .map_err(|error| error.to_string())?;
        hands.noted.push(Noted::Printed(attempt, number));
        Ok(())
    }
}

fn key(attempt: Attempt) -> (JobId, towline_shared::Fence) {
    (attempt.job, attempt.fence)
}
