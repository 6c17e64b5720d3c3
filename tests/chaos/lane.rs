//! Carrying out the plan: each part suffers its lane's faults, one after the other, and is brought back each time.

use std::time::{Duration, Instant};

use towline_tests::{
    agent::AgentProcess, engine::Engine, link::Direction, process::Process, server::ServerProcess,
};

use crate::{
    curtain::Curtain,
    diary::{Diary, Injury, Moment},
    plan::{Fault, HostFault, PlaneFault, Step},
};

/// How much of a link's packets a lossy one loses, in percent.
const LOSS: u8 = 20;
/// A starved agent stands still for nine tenths of this.
const STARVED_PERIOD: Duration = Duration::from_millis(100);
/// PostgreSQL's processes need a moment to see that their first one was killed.
const POSTGRES_GONE: Duration = Duration::from_secs(2);

/// A host: an engine in namespaces of its own, and the agent in them.
#[derive(Debug)]
pub struct Host {
    /// Its number.
    pub number: usize,
    /// Goes before its engine.
    pub agent: AgentProcess,
    /// The engine.
    pub engine: Engine,
}

/// Something that faults of one kind happen to.
pub trait Victim {
    /// The faults.
    type Fault: Copy;

    /// Suffers a fault for a while and is whole again afterwards.
    fn suffer(&mut self, fault: Self::Fault, hold: Duration, curtain: &Curtain);

    /// How the fault is noted.
    fn note(&self, fault: Self::Fault) -> (Fault, Option<usize>);

    /// Starts again what has ended by itself, as a service manager does; says what it was.
    fn restart_ended(&mut self) -> Option<String>;
}

/// Lets a victim suffer its lane: the first `least` steps in any case, the others while there is time.
pub fn suffer_all<V: Victim>(
    victim: &mut V,
    lane: &[Step<V::Fault>],
    least: usize,
    diary: &Diary,
    curtain: &Curtain,
) {
    for (at, step) in lane.iter().enumerate() {
        let over = |curtain: &Curtain| curtain.faults_are_over();
        curtain.sleep(
            step.rest,
            if at < least {
                Curtain::is_interrupted
            } else {
                over
            },
        );
        if curtain.is_interrupted() || (at >= least && curtain.faults_are_over()) {
            break;
        }
        let (fault, host) = victim.note(step.fault);
        let begin = Moment::now();
        victim.suffer(step.fault, step.hold, curtain);
        let injury = Injury {
            fault,
            host,
            begin,
            end: Moment::now(),
        };
        diary.open().injuries.push(injury);
        diary.open().own_ends.extend(victim.restart_ended());
    }
    diary.open().own_ends.extend(victim.restart_ended());
}

impl Victim for Host {
    type Fault = HostFault;

    fn suffer(&mut self, fault: HostFault, hold: Duration, curtain: &Curtain) {
        let wait = || curtain.sleep(hold, Curtain::is_interrupted);
        match fault {
            HostFault::AgentKilled => {
                self.agent.kill();
                wait();
                self.agent.start();
            }
            HostFault::AgentStopped => {
                self.agent.stop();
                wait();
                self.agent.start();
            }
            HostFault::AgentFrozen => {
                self.agent.freeze();
                wait();
                self.agent.resume();
            }
            HostFault::AgentStarved => starve(&mut self.agent, hold),
            HostFault::DockerKilled => {
                self.engine.kill_dockerd();
                wait();
                self.engine.start_dockerd();
            }
            HostFault::DockerStopped => {
                self.engine.stop_dockerd();
                wait();
                self.engine.start_dockerd();
            }
            HostFault::DockerFrozen => {
                self.engine.freeze_dockerd();
                wait();
                self.engine.resume_dockerd();
            }
            HostFault::HostKilled => {
                self.engine.kill_dockerd();
                self.agent.kill_with_all();
                wait();
                self.engine.start_dockerd();
                self.agent.start();
            }
            HostFault::DiskFull => {
                self.agent.disk().fill();
                wait();
                self.agent.disk().free();
            }
            HostFault::LinkCut
            | HostFault::LinkCutUpwards
            | HostFault::LinkCutDownwards
            | HostFault::LinkLossy => {
                self.break_link(fault);
                wait();
                self.engine.link().heal();
            }
        }
    }

    fn note(&self, fault: HostFault) -> (Fault, Option<usize>) {
        (Fault::Host(fault), Some(self.number))
    }

    fn restart_ended(&mut self) -> Option<String> {
        let ended = end_of(self.agent.running())?;
        self.agent.kill();
        self.agent.start();
        Some(format!("{}: {ended}", self.agent.name()))
    }
}

impl Host {
    fn break_link(&self, fault: HostFault) {
        let link = self.engine.link();
        match fault {
            HostFault::LinkCutUpwards => link.cut_one_way(Direction::FromHost),
            HostFault::LinkCutDownwards => link.cut_one_way(Direction::ToHost),
            HostFault::LinkLossy => {
                link.lose(Direction::FromHost, LOSS);
                link.lose(Direction::ToHost, LOSS);
            }
            _ => link.cut(),
        }
    }
}

fn starve(agent: &mut AgentProcess, hold: Duration) {
    let end = Instant::now() + hold;
    while Instant::now() < end {
        agent.freeze();
        std::thread::sleep(STARVED_PERIOD / 10 * 9);
        agent.resume();
        std::thread::sleep(STARVED_PERIOD / 10);
    }
}

impl Victim for ServerProcess {
    type Fault = PlaneFault;

    fn suffer(&mut self, fault: PlaneFault, hold: Duration, curtain: &Curtain) {
        let wait = || curtain.sleep(hold, Curtain::is_interrupted);
        match fault {
            PlaneFault::ServerKilled => {
                self.kill();
                wait();
                self.start_again();
            }
            PlaneFault::ServerStopped => {
                let ended = self.stop();
                assert!(ended.success(), "the server stopped with {ended}");
                wait();
                self.start_again();
            }
            PlaneFault::ServerFrozen => {
                self.freeze();
                wait();
                self.resume();
            }
            PlaneFault::PostgresKilled => {
                self.database().server().kill();
                std::thread::sleep(POSTGRES_GONE);
                wait();
                self.database().server().start_again();
            }
            PlaneFault::PostgresStopped => {
                self.database().server().stop();
                wait();
                self.database().server().start_again();
            }
            PlaneFault::BothKilled => {
                self.database().server().kill();
                self.kill();
                std::thread::sleep(POSTGRES_GONE);
                wait();
                self.database().server().start_again();
                self.start_again();
            }
        }
    }

    fn note(&self, fault: PlaneFault) -> (Fault, Option<usize>) {
        (Fault::Plane(fault), None)
    }

    fn restart_ended(&mut self) -> Option<String> {
        let ended = end_of(self.running())?;
        self.kill();
        self.start_again();
        Some(format!("the server: {ended}"))
    }
}

/// How a process has ended by itself, with its last words.
fn end_of(process: &mut Process) -> Option<String> {
    let ended = process.ended()?;
    let words = process.log_tail();
    Some(format!(
        "{ended}: {}",
        words.lines().last().unwrap_or_default()
    ))
}
