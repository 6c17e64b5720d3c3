//! A faulty world around both sides, driven by dice: at each step one thing happens, chosen among all that could.

mod damage;
mod moves;
mod people;

use std::collections::BTreeMap;
use std::path::Path;

use towline_shared::ids::JobId;
use towline_shared::protocol::frame::Received;
use towline_shared::protocol::v1::{Attempt, FromServer, Verdict};
use uuid::Uuid;

use crate::account::Account;
use crate::dice::Dice;
use crate::engine::Engine;
use crate::faults::{Fault, Faults};
use crate::figures::Figures;
use crate::host::{Agent, Broken, Disk, Hands, Host, Noted, Phase};
use crate::link::{Flow, Lane, Link, LinkId, Parcel};
use crate::plane::Plane;
use crate::replica::{After, Did, Replica, SILENCE};
use crate::trace::Trace;

/// Steps with faults.
const STORMY: usize = 500;
/// The most steps until everything has finished once faults have stopped.
const CALM: usize = 6_000;
/// The most jobs of a run.
const MOST_JOBS: usize = 10;
/// The simulation's beginning, in Unix milliseconds.
pub(crate) const BEGINNING: i64 = 1_800_000_000_000;
/// A day, in milliseconds.
const DAY: i64 = 86_400_000;
/// The most parcels that may travel on a connection: nothing that either side does is unbounded.
const MOST_TRAVELLING: usize = 4_000;

/// A run.
pub struct World {
    dice: Dice,
    plane: Box<dyn Plane>,
    replicas: Vec<Option<Replica>>,
    hosts: Vec<Host>,
    links: BTreeMap<LinkId, Link>,
    /// Which replica each connection goes to.
    ends: BTreeMap<LinkId, usize>,
    faults: Faults,
    /// How often somebody wants something, in thousandths of all steps.
    wants: u32,
    weather: Weather,
    /// The true time, in milliseconds since the beginning.
    now: i64,
    /// How far the database's clock is off, in milliseconds.
    skew: i64,
    next_link: u32,
    lines: u64,
    account: Account,
    healthy_since: Vec<Option<i64>>,
    trace: Trace,
    figures: Figures,
}

/// Whether faults happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weather {
    Stormy,
    Calm,
}

/// What may happen next.
#[derive(Clone, Copy, Debug)]
enum Move {
    Submit,
    Cancel(JobId),
    Retry(JobId),
    Write(usize),
    Work(usize, Attempt),
    Change(usize),
    Send(usize, Attempt),
    Up(LinkId),
    Down(LinkId),
    Session(usize, LinkId),
    Dial(usize),
    StartAgent(usize),
    StartReplica(usize),
    Sweep,
    Wait,
    Fault(Fault),
}

/// How a run went.
#[derive(Debug)]
pub struct Ran {
    /// What was counted.
    pub figures: Figures,
    /// What must never be, if it was.
    pub broken: Option<Broken>,
    /// What happened, if somebody wanted to read it.
    pub trace: Vec<String>,
}

impl World {
    /// The world of a seed, in a folder of its own, around this memory of a control plane.
    pub fn new(
        seed: u64,
        folder: &Path,
        shape: Shape,
        plane: Box<dyn Plane>,
        trace: Trace,
    ) -> Self {
        let mut dice = Dice::new(seed);
        let faults = Faults::of(&mut dice, shape);
        let hosts = 0..shape.hosts;
        let wants = dice.pick(&[15, 30, 60]).unwrap_or(30);
        Self {
            plane,
            replicas: (0..shape.replicas)
                .map(|_| Some(Replica::default()))
                .collect(),
            hosts: hosts
                .map(|number| Host::new(folder.join(format!("host-{number}"))))
                .collect(),
            links: BTreeMap::new(),
            ends: BTreeMap::new(),
            faults,
            wants,
            weather: Weather::Stormy,
            now: 0,
            skew: 0,
            next_link: 0,
            lines: 0,
            account: Account::default(),
            healthy_since: vec![None; shape.hosts],
            trace,
            figures: Figures::default(),
            dice,
        }
    }

    /// Runs to the end.
    pub fn run(mut self) -> Ran {
        let broken = self.story().err();
        self.figures.seeds = 1;
        self.figures.lines_printed = self.account.lines.printed;
        self.figures.lines_stored = self.account.lines.stored;
        Ran {
            figures: self.figures,
            broken,
            trace: self.trace.lines().to_vec(),
        }
    }

    fn story(&mut self) -> Result<(), Broken> {
        self.plane.set_clock(BEGINNING);
        for _ in 0..STORMY {
            self.step()?;
        }
        self.account.read_logs(&mut *self.plane)?;
        self.relent();
        let calm_since = self.now;
        for _ in 0..CALM {
            if self.is_at_rest() {
                self.figures.recovered(self.now - calm_since);
                let engines: Vec<&Engine> = self.hosts.iter().map(|host| &host.engine).collect();
                return self.account.at_rest(&mut *self.plane, &engines);
            }
            self.step()?;
        }
        Err(format!(
            "faults have stopped, and not everything finishes: {}",
            self.unrest()
        ))
    }

    fn step(&mut self) -> Result<(), Broken> {
        let moment = self.dice.within(0..40);
        self.pass(moment);
        let moves = self.moves_of_now();
        let weights: Vec<u32> = moves.iter().map(|(weight, _)| *weight).collect();
        let Some(chosen) = self.dice.weigh(&weights) else {
            return Err("nothing can happen".into());
        };
        self.make(moves[chosen].1)?;
        self.look()
    }

    fn look(&mut self) -> Result<(), Broken> {
        let engines: Vec<&Engine> = self.hosts.iter().map(|host| &host.engine).collect();
        self.account
            .look(&mut *self.plane, self.now, &self.healthy_since, &engines)?;
        for link in self.links.values() {
            if link.up.travelling().max(link.down.travelling()) > MOST_TRAVELLING {
                return Err("a queue grows without a bound".into());
            }
        }
        let most = towline_shared::protocol::v1::MAX_HELD;
        for agent in self.hosts.iter().filter_map(|host| host.agent.as_ref()) {
            if agent.size() > most {
                return Err("an agent holds more jobs than it may".into());
            }
            if agent.live() > 1 {
                return Err("two jobs are live on one target".into());
            }
        }
        Ok(())
    }

    fn make(&mut self, chosen: Move) -> Result<(), Broken> {
        match chosen {
            Move::Submit => self.submit(),
            Move::Cancel(job) => self.cancel(job),
            Move::Retry(job) => self.retry(job),
            Move::Write(host) => {
                self.with_agent(host, Agent::write)?;
            }
            Move::Work(host, attempt) => {
                self.with_agent(host, |agent, _, hands| agent.work(attempt, hands))?;
            }
            Move::Send(host, attempt) => {
                self.with_agent(host, |agent, _, hands| agent.send(attempt, hands))?;
            }
            Move::Change(host) => self.change(host)?,
            Move::Up(link) => self.up(link),
            Move::Down(link) => self.down(link)?,
            Move::Session(replica, link) => self.session(replica, link)?,
            Move::Dial(host) => self.dial(host),
            Move::StartAgent(host) => self.start_agent(host)?,
            Move::StartReplica(number) => {
                self.trace
                    .say(|| format!("the control plane's process {number} starts"));
                if self.replicas.len() == 1 {
                    self.plane.restart();
                }
                self.replicas[number] = Some(Replica::default());
            }
            Move::Sweep => self.sweep(),
            Move::Wait => {
                let longer = self.dice.within(200..6_000);
                self.pass(longer);
            }
            Move::Fault(fault) => self.inflict(fault),
        }
        Ok(())
    }

    /// Time passes.
    fn pass(&mut self, by: i64) {
        self.now += by;
        self.plane.set_clock(BEGINNING + self.now + self.skew);
        for link in self.links.values_mut() {
            link.up.pass(self.now);
            link.down.pass(self.now);
        }
        for number in 0..self.hosts.len() {
            self.beat(number);
        }
    }

    /// Heartbeats go both ways where the connection carries them, and silence ends it.
    fn beat(&mut self, number: usize) {
        let now = self.now;
        let Some(agent) = &mut self.hosts[number].agent else {
            self.healthy_since[number] = None;
            return;
        };
        let Some((id, link)) = agent
            .link()
            .and_then(|id| Some((id, self.links.get_mut(&id)?)))
        else {
            self.healthy_since[number] = None;
            return;
        };
        let replica = self
            .ends
            .get(&id)
            .and_then(|end| self.replicas[*end].as_mut());
        let session = replica.and_then(|replica| replica.sessions.get_mut(&id));
        let sound = session.is_some() && link.up.flow == Flow::Open && link.down.flow == Flow::Open;
        let welcomed = matches!(agent.phase, Phase::Welcomed(_));
        if let Some(session) = session {
            if link.up.flow == Flow::Open {
                session.heard = now;
            }
            if link.down.flow == Flow::Open {
                agent.heard = now;
            }
        }
        self.healthy_since[number] = if sound && welcomed {
            self.healthy_since[number].or(Some(now))
        } else {
            None
        };
        if now - agent.heard >= SILENCE {
            self.trace
                .say(|| format!("host {number}: nothing came for long, the agent hangs up"));
            link.up.send(Parcel::End);
            link.down.close();
            agent.hang_up(now, &mut self.dice);
            self.healthy_since[number] = None;
        }
    }

    fn ring(&mut self, host: usize) {
        for replica in self.replicas.iter_mut().flatten() {
            replica.ring(host);
        }
    }

    fn sweep(&mut self) {
        if self.replicas.iter().all(Option::is_none) {
            return;
        }
        self.plane.sweep();
        for host in 0..self.hosts.len() {
            self.ring(host);
        }
    }

    fn change(&mut self, number: usize) -> Result<(), Broken> {
        let host = &mut self.hosts[number];
        if let Some(attempt) = host.change()? {
            self.figures.effects += 1;
            let name = self.account.name(attempt.job);
            self.trace
                .say(|| format!("host {number} runs {name} under {}", attempt.fence));
            self.account.changed(attempt, &self.hosts[number].engine)?;
        }
        Ok(())
    }

    fn with_agent(
        &mut self,
        number: usize,
        act: impl FnOnce(&mut Agent, Disk, &mut Hands<'_>) -> Result<(), Broken>,
    ) -> Result<(), Broken> {
        let mut noted = Vec::new();
        let host = &mut self.hosts[number];
        if let Some(agent) = &mut host.agent {
            let link = agent.link().and_then(|link| self.links.get_mut(&link));
            let mut hands = Hands {
                engine: &mut host.engine,
                link,
                dice: &mut self.dice,
                lines: &mut self.lines,
                noted: &mut noted,
            };
            act(agent, host.disk, &mut hands)?;
        }
        self.note(number, noted)
    }

    fn note(&mut self, number: usize, noted: Vec<Noted>) -> Result<(), Broken> {
        for one in noted {
            match one {
                Noted::Permitted(attempt, start) => {
                    let name = self.account.name(attempt.job);
                    self.trace.say(|| {
                        format!(
                            "host {number}: the gate of {name} under {} is open, {start:?}",
                            attempt.fence
                        )
                    });
                    self.account
                        .opened(attempt, start, &self.hosts[number].engine)?;
                }
                Noted::Accepted(attempt) => self.account.accepted(number, attempt)?,
                Noted::Printed(attempt, line) => self.account.printed(attempt, line),
                Noted::Else(what) => self.trace.say(|| format!("host {number}: {what}")),
            }
        }
        Ok(())
    }

    fn start_agent(&mut self, number: usize) -> Result<(), Broken> {
        self.trace
            .say(|| format!("host {number}: the agent starts"));
        let mut noted = Vec::new();
        let host = &mut self.hosts[number];
        host.start(self.now, &mut self.dice, &mut self.lines, &mut noted)?;
        self.note(number, noted)
    }

    fn dial(&mut self, number: usize) {
        let up: Vec<usize> = (0..self.replicas.len())
            .filter(|at| self.replicas[*at].is_some())
            .collect();
        let Some(agent) = &mut self.hosts[number].agent else {
            return;
        };
        let Some(to) = self.dice.pick(&up) else {
            agent.hang_up(self.now, &mut self.dice);
            return;
        };
        let id = LinkId(self.next_link);
        self.next_link += 1;
        self.trace
            .say(|| format!("host {number} dials process {to}: connection {}", id.0));
        let mut link = Link {
            id,
            host: number,
            up: Lane::default(),
            down: Lane::default(),
        };
        agent.dial(&mut link, self.now);
        let entry = self.plane.admit(number);
        let session = Uuid::from_u128(self.dice.bits());
        if let Some(replica) = &mut self.replicas[to] {
            replica.accept(id, number, session, entry, self.now);
        }
        self.links.insert(id, link);
        self.ends.insert(id, to);
        self.figures.connections += 1;
    }

    /// Something arrives at the control plane.
    fn up(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let replica = self
            .ends
            .get(&id)
            .and_then(|end| self.replicas[*end].as_mut());
        let Some(replica) = replica.filter(|replica| replica.sessions.contains_key(&id)) else {
            link.up.close();
            return;
        };
        if let Some(parcel) = link.up.arrive() {
            let after = replica.hear(id, parcel, &mut link.down, &mut *self.plane, self.now);
            self.after(id, after);
        }
    }

    fn session(&mut self, number: usize, id: LinkId) -> Result<(), Broken> {
        let (Some(replica), Some(link)) = (&mut self.replicas[number], self.links.get_mut(&id))
        else {
            return Ok(());
        };
        let host = link.host;
        let (after, did) = replica.step(id, &mut link.down, &mut *self.plane, self.now);
        for one in did {
            match one {
                Did::Reported(report, reaction, changed) => {
                    self.trace
                        .say(|| format!("connection {}: {report:?} → {reaction:?}", id.0));
                    self.account.reported(&report, reaction, changed)?;
                    self.ring(host);
                }
                Did::Claimed(attempt) => {
                    let name = self.account.name(attempt.job);
                    self.trace.say(|| {
                        format!(
                            "connection {}: {name} is claimed under {}",
                            id.0, attempt.fence
                        )
                    });
                    self.account.claimed(host, attempt)?;
                }
                Did::Else(what) => self.trace.say(|| format!("connection {}: {what}", id.0)),
            }
        }
        self.after(id, after);
        Ok(())
    }

    fn after(&mut self, id: LinkId, after: After) {
        if let After::Over(why) = after {
            self.trace
                .say(|| format!("connection {}: its session ends: {why}", id.0));
            if let Some(link) = self.links.get_mut(&id) {
                link.up.close();
            }
        }
    }

    /// Something arrives at an agent.
    fn down(&mut self, id: LinkId) -> Result<(), Broken> {
        let Some(link) = self.links.get_mut(&id) else {
            return Ok(());
        };
        let number = link.host;
        let current = self.hosts[number].agent.as_ref().and_then(Agent::link) == Some(id);
        if !current {
            link.down.close();
            return Ok(());
        }
        let Some(parcel) = link.down.arrive() else {
            return Ok(());
        };
        self.permit(&parcel);
        let now = self.now;
        let mut ended = None;
        self.with_agent(number, |agent, _, hands| {
            ended = agent.hear(parcel, now, hands)?.err();
            Ok(())
        })?;
        if let (Some(why), Some(agent)) = (ended, &mut self.hosts[number].agent) {
            self.trace
                .say(|| format!("host {number}: connection {} is over: {why}", id.0));
            agent.hang_up(self.now, &mut self.dice);
            if let Some(link) = self.links.get_mut(&id) {
                link.up.send(Parcel::End);
                link.down.close();
            }
        }
        Ok(())
    }

    /// A verdict to go on says that the acceptance is recorded.
    fn permit(&mut self, parcel: &Parcel) {
        let Parcel::Frame(frame) = parcel else {
            return;
        };
        if let Ok(Received::Message(FromServer::Welcome(welcome))) = FromServer::decode(frame) {
            for (attempt, verdict) in welcome.verdicts {
                if matches!(verdict, Verdict::Continue { .. }) {
                    self.account.permit(attempt);
                }
            }
        }
    }

    fn is_at_rest(&mut self) -> bool {
        for host in &mut self.hosts {
            if let Some(agent) = &mut host.agent {
                agent.relent();
            }
        }
        let hosts = self.hosts.iter().enumerate();
        let mut agents = hosts.map(|(number, host)| match &host.agent {
            Some(agent) => {
                host.engine.child.is_none() && (agent.is_idle() || self.account.is_revoked(number))
            }
            None => false,
        });
        agents.all(|rest| rest)
            && self
                .account
                .jobs_that(|state| !state.is_terminal())
                .is_empty()
    }

    fn unrest(&mut self) -> String {
        let open = self.account.jobs_that(|state| !state.is_terminal());
        let jobs: Vec<_> = open
            .iter()
            .map(|job| format!("{} {:?}", self.account.name(*job), self.plane.view(*job)))
            .collect();
        format!("{jobs:?}")
    }

    /// What faults may choose from.
    pub(crate) fn scene(&self) -> Scene<'_> {
        Scene {
            hosts: &self.hosts,
            replicas: &self.replicas,
            links: &self.links,
        }
    }
}

/// What faults may choose from.
pub(crate) struct Scene<'a> {
    pub(crate) hosts: &'a [Host],
    pub(crate) replicas: &'a [Option<Replica>],
    pub(crate) links: &'a BTreeMap<LinkId, Link>,
}

/// How large a world is.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Hosts.
    pub hosts: usize,
    /// Processes of the control plane.
    pub replicas: usize,
}
