//! A faulty world around both sides, driven by dice: at each step one thing happens, chosen among all that could.

use std::collections::BTreeMap;
use std::path::Path;

use towline_server::job::JobState;
use towline_shared::ids::JobId;
use towline_shared::protocol::frame::Received;
use towline_shared::protocol::v1::{Attempt, FromServer, Verdict};
use towline_shared::spec::Interruption;
use uuid::Uuid;

use crate::account::Account;
use crate::dice::Dice;
use crate::engine::Engine;
use crate::faults::{Fault, Faults};
use crate::figures::Figures;
use crate::host::{Agent, Broken, Disk, Hands, Host, Noted, Phase};
use crate::link::{Flow, Lane, Link, LinkId, Parcel};
use crate::plane::{Entry, Plane, Secrets, Wish};
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

    /// Now and then something goes wrong or somebody wants something; otherwise the world goes on.
    fn moves_of_now(&mut self) -> Vec<(u32, Move)> {
        if self.weather == Weather::Stormy {
            let (goes_wrong, wants) = (self.faults.permille(), self.wants);
            if self.dice.permille(goes_wrong) {
                let faults = self.faults.possible(self).into_iter();
                let moves: Vec<_> = faults
                    .map(|(weight, fault)| (weight, Move::Fault(fault)))
                    .collect();
                if !moves.is_empty() {
                    return moves;
                }
            }
            if self.dice.permille(wants) {
                return self.wishes();
            }
        }
        self.courses()
    }

    /// How the world goes on by itself.
    fn courses(&self) -> Vec<(u32, Move)> {
        let mut moves = vec![(4, Move::Wait), (2, Move::Sweep)];
        for (number, host) in self.hosts.iter().enumerate() {
            self.host_moves(number, host, &mut moves);
        }
        for (number, replica) in self.replicas.iter().enumerate() {
            match replica {
                None => moves.push((10, Move::StartReplica(number))),
                Some(replica) => {
                    let busy = replica.busy(self.now).into_iter();
                    moves.extend(busy.map(|link| (30, Move::Session(number, link))));
                }
            }
        }
        for link in self.links.values() {
            self.link_moves(link, &mut moves);
        }
        moves
    }

    fn wishes(&self) -> Vec<(u32, Move)> {
        let mut moves = vec![(1, Move::Sweep)];
        if self.account.jobs().len() < MOST_JOBS {
            moves.push((8, Move::Submit));
            let ended = self.account.jobs_that(JobState::is_terminal);
            moves.extend(ended.last().map(|job| (2, Move::Retry(*job))));
        }
        let live = self.account.jobs_that(|state| !state.is_terminal());
        moves.extend(live.into_iter().map(|job| (2, Move::Cancel(job))));
        let ended = self.account.jobs_that(JobState::is_terminal);
        moves.extend(ended.last().map(|job| (1, Move::Cancel(*job))));
        moves
    }

    fn host_moves(&self, number: usize, host: &Host, moves: &mut Vec<(u32, Move)>) {
        if host.engine.child.is_some() {
            moves.push((8, Move::Change(number)));
        }
        let Some(agent) = &host.agent else {
            moves.push((10, Move::StartAgent(number)));
            return;
        };
        if agent.writes() {
            moves.push((30, Move::Write(number)));
        }
        moves.extend(
            agent
                .workers()
                .into_iter()
                .map(|attempt| (15, Move::Work(number, attempt))),
        );
        moves.extend(
            agent
                .senders()
                .into_iter()
                .map(|attempt| (20, Move::Send(number, attempt))),
        );
        if agent.phase == Phase::Down && agent.dials_at <= self.now {
            moves.push((15, Move::Dial(number)));
        }
    }

    fn link_moves(&self, link: &Link, moves: &mut Vec<(u32, Move)>) {
        let listens = self
            .session_of(link.id)
            .is_none_or(|replica| replica.listens(link.id));
        if link.up.delivers() && listens {
            moves.push((30, Move::Up(link.id)));
        }
        if link.down.delivers() {
            moves.push((30, Move::Down(link.id)));
        }
    }

    fn session_of(&self, link: LinkId) -> Option<&Replica> {
        self.replicas[*self.ends.get(&link)?].as_ref()
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

    fn submit(&mut self) {
        let interruption = match self.dice.below(4) {
            0 => Interruption::Fail,
            1 => Interruption::RequeueIfNotStarted,
            _ => Interruption::Resume,
        };
        let wish = Wish {
            host: self.dice.below(self.hosts.len()),
            interruption,
            secrets: if self.dice.permille(250) {
                Secrets::One
            } else {
                Secrets::None
            },
        };
        let queued = self.plane.submit(wish);
        self.queued(queued, wish.host);
    }

    fn queued(&mut self, job: Option<JobId>, host: usize) {
        let Some(job) = job else {
            self.trace
                .say(|| format!("a job for host {host} is refused"));
            return;
        };
        self.account.submitted(job, host);
        let name = self.account.name(job);
        self.trace
            .say(|| format!("{name} is queued for host {host}"));
        self.figures.jobs += 1;
        self.ring(host);
    }

    fn retry(&mut self, job: JobId) {
        let host = self.account.host_of(job);
        let queued = self.plane.retry(job);
        self.queued(queued, host);
    }

    fn cancel(&mut self, job: JobId) {
        let Some(before) = self.plane.view(job) else {
            return;
        };
        let after = self.plane.cancel(job);
        let name = self.account.name(job);
        self.trace
            .say(|| format!("{name} is to stop: it was {}, it is {after}", before.state));
        self.account.cancelled(job, before.state, after);
        self.ring(self.account.host_of(job));
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

    fn inflict(&mut self, fault: Fault) {
        self.figures.fault(fault);
        self.trace.say(|| format!("fault: {fault:?}"));
        match fault {
            Fault::KillAgent(host) => {
                self.lose_agent(host);
                self.hosts[host].kill(&mut self.dice);
            }
            Fault::CutPower(host) => {
                self.lose_agent(host);
                self.hosts[host].cut_power(&mut self.dice);
                self.account.power_cut(host);
            }
            Fault::KillReplica(number) => self.kill_replica(number),
            Fault::CutLink(id) => self.cut(id),
            Fault::Lane(id, way, flow) => {
                if let Some(link) = self.links.get_mut(&id) {
                    way.lane(link).flow = flow;
                }
            }
            Fault::Copy(id, way) => {
                if let Some(link) = self.links.get_mut(&id) {
                    way.lane(link).copy(&mut self.dice);
                }
            }
            Fault::Echo(id, way) => {
                if let Some(link) = self.links.get_mut(&id) {
                    way.lane(link).echo();
                }
            }
            Fault::Disk(host, disk) => self.hosts[host].disk = disk,
            Fault::Clock(forward) => self.skew += if forward { DAY } else { -DAY },
            Fault::Revoke(host) => {
                self.plane.revoke(host);
                self.account.revoke(host);
                self.ring(host);
            }
            Fault::BackUp => self.plane.back_up(),
            Fault::Restore => {
                for number in 0..self.replicas.len() {
                    self.kill_replica(number);
                }
                if self.plane.restore() {
                    let hosts = 0..self.hosts.len();
                    let revoked = hosts
                        .filter(|host| self.plane.admit(*host) == Entry::Revoked)
                        .collect();
                    self.account.restored(&mut *self.plane, revoked);
                }
            }
        }
    }

    fn lose_agent(&mut self, host: usize) {
        let link = self.hosts[host].agent.as_ref().and_then(Agent::link);
        if let Some(link) = link.and_then(|link| self.links.get_mut(&link)) {
            break_off(&mut link.up, self.now, &mut self.dice);
            link.down.close();
        }
    }

    fn kill_replica(&mut self, number: usize) {
        let Some(replica) = self.replicas[number].take() else {
            return;
        };
        for id in replica.sessions.keys() {
            if let Some(link) = self.links.get_mut(id) {
                let kept = self.dice.below(link.down.travelling() + 1);
                link.down.cut(kept);
                link.up.close();
            }
        }
    }

    /// The connection breaks.
    fn cut(&mut self, id: LinkId) {
        if let Some(link) = self.links.get_mut(&id) {
            break_off(&mut link.up, self.now, &mut self.dice);
            break_off(&mut link.down, self.now, &mut self.dice);
        }
    }

    /// Faults stop: everything runs, carries and ends again.
    fn relent(&mut self) {
        self.trace.say(|| "faults have stopped".into());
        self.weather = Weather::Calm;
        for link in self.links.values_mut() {
            for lane in [&mut link.up, &mut link.down] {
                // What is gone stays gone, and the connection with it.
                match lane.flow {
                    Flow::Open => {}
                    Flow::Stuck => lane.flow = Flow::Open,
                    Flow::Void => lane.cut(0),
                }
            }
        }
        for host in &mut self.hosts {
            host.disk = Disk::Sound;
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

/// Of what travels some may still arrive, and all of it may be late.
fn break_off(lane: &mut Lane, now: i64, dice: &mut Dice) {
    let all = lane.travelling();
    let kept = if dice.permille(400) {
        all
    } else {
        dice.below(all + 1)
    };
    lane.cut(kept);
    if dice.permille(400) {
        lane.delay(now + dice.within(0..9_000));
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
