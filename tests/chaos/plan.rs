//! What breaks, when and for how long: decided by the seed alone, before anything starts.
//!
//! Each host and the control plane has a lane of its own, in which one thing breaks at a time: so at most as many
//! things are broken at once as there are lanes, and a part is never asked to end twice.

use std::time::Duration;

use crate::dice::Dice;

/// How many hosts there are.
pub const HOSTS: usize = 3;

/// A session counts a link as dead that was silent for 25 s: some faults of a longer run outlast that.
const BEYOND_SILENCE: Duration = Duration::from_secs(28);
/// Shorter runs have no time for faults that outlast the silence.
const LONG_RUN: Duration = Duration::from_mins(3);

/// What happens to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostFault {
    /// `kill -9` of the agent; what it started goes on.
    AgentKilled,
    /// The agent is told to stop, and started again.
    AgentStopped,
    /// The agent stands still; its connections stay open.
    AgentFrozen,
    /// The agent gets a tenth of the time it needs.
    AgentStarved,
    /// `kill -9` of the Docker daemon.
    DockerKilled,
    /// The Docker daemon is told to stop, and its containers with it.
    DockerStopped,
    /// The Docker daemon holds its connections and answers nothing.
    DockerFrozen,
    /// `kill -9` of the Docker daemon, the agent, and all that the agent started.
    HostKilled,
    /// The cable is pulled.
    LinkCut,
    /// Nothing reaches the control plane.
    LinkCutUpwards,
    /// Nothing comes from the control plane.
    LinkCutDownwards,
    /// A fifth of all packets is lost, both ways.
    LinkLossy,
    /// The disk with the agent's state is full.
    DiskFull,
}

impl HostFault {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::AgentKilled,
        Self::AgentStopped,
        Self::AgentFrozen,
        Self::AgentStarved,
        Self::DockerKilled,
        Self::DockerStopped,
        Self::DockerFrozen,
        Self::HostKilled,
        Self::LinkCut,
        Self::LinkCutUpwards,
        Self::LinkCutDownwards,
        Self::LinkLossy,
        Self::DiskFull,
    ];

    /// Whether a deploy may fail by it: the engine or the disk under the deploy is gone.
    pub fn excuses_failure(self) -> bool {
        self.ends_engine() || matches!(self, Self::DockerFrozen | Self::DiskFull)
    }

    /// Whether containers end by it, which the engine then starts again.
    pub fn ends_engine(self) -> bool {
        matches!(
            self,
            Self::DockerKilled | Self::DockerStopped | Self::HostKilled
        )
    }
}

/// What happens to the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PlaneFault {
    /// `kill -9` of the server.
    ServerKilled,
    /// The server is told to stop, and started again.
    ServerStopped,
    /// The server holds its connections and does nothing.
    ServerFrozen,
    /// `kill -9` of PostgreSQL.
    PostgresKilled,
    /// PostgreSQL is told to stop, and started again.
    PostgresStopped,
    /// `kill -9` of PostgreSQL and the server.
    BothKilled,
}

impl PlaneFault {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::ServerKilled,
        Self::ServerStopped,
        Self::ServerFrozen,
        Self::PostgresKilled,
        Self::PostgresStopped,
        Self::BothKilled,
    ];
}

/// Any of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// To the control plane.
    Plane(PlaneFault),
    /// To a host.
    Host(HostFault),
}

impl Fault {
    /// All of them, as the table lists them.
    pub fn all() -> impl Iterator<Item = Self> {
        let plane = PlaneFault::ALL.into_iter().map(Self::Plane);
        plane.chain(HostFault::ALL.into_iter().map(Self::Host))
    }

    /// What it is, in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Plane(PlaneFault::ServerKilled) => "server: kill -9",
            Self::Plane(PlaneFault::ServerStopped) => "server: restarted",
            Self::Plane(PlaneFault::ServerFrozen) => "server: frozen",
            Self::Plane(PlaneFault::PostgresKilled) => "PostgreSQL: kill -9",
            Self::Plane(PlaneFault::PostgresStopped) => "PostgreSQL: restarted",
            Self::Plane(PlaneFault::BothKilled) => "server and PostgreSQL: kill -9",
            Self::Host(HostFault::AgentKilled) => "agent: kill -9",
            Self::Host(HostFault::AgentStopped) => "agent: restarted",
            Self::Host(HostFault::AgentFrozen) => "agent: frozen",
            Self::Host(HostFault::AgentStarved) => "agent: CPU-starved",
            Self::Host(HostFault::DockerKilled) => "dockerd: kill -9",
            Self::Host(HostFault::DockerStopped) => "dockerd: restarted",
            Self::Host(HostFault::DockerFrozen) => "dockerd: frozen",
            Self::Host(HostFault::HostKilled) => "agent, compose, dockerd: kill -9",
            Self::Host(HostFault::LinkCut) => "link: cut",
            Self::Host(HostFault::LinkCutUpwards) => "link: cut upwards",
            Self::Host(HostFault::LinkCutDownwards) => "link: cut downwards",
            Self::Host(HostFault::LinkLossy) => "link: 20 % loss",
            Self::Host(HostFault::DiskFull) => "agent's disk: full",
        }
    }

    /// Whether a process is killed by it.
    pub fn is_kill(self) -> bool {
        matches!(
            self,
            Self::Plane(
                PlaneFault::ServerKilled | PlaneFault::PostgresKilled | PlaneFault::BothKilled
            ) | Self::Host(
                HostFault::AgentKilled | HostFault::DockerKilled | HostFault::HostKilled
            )
        )
    }
}

/// One fault of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step<F> {
    /// How long nothing happens before it.
    pub rest: Duration,
    /// The fault.
    pub fault: F,
    /// How long it lasts.
    pub hold: Duration,
}

/// All lanes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What happens to the control plane, in this order.
    pub plane: Vec<Step<PlaneFault>>,
    /// What happens to each host.
    pub hosts: [Vec<Step<HostFault>>; HOSTS],
}

impl Plan {
    /// The plan of a seed. The first steps of the hosts' lanes have every fault once, and so has the control plane's.
    pub fn new(seed: u64, length: Duration) -> Self {
        let mut dice = Dice::of_part(seed, 0);
        let mut deck = HostFault::ALL;
        dice.shuffle(&mut deck);
        let mut plane = PlaneFault::ALL;
        dice.shuffle(&mut plane);
        Self {
            plane: lane(&plane, length, &mut dice),
            hosts: std::array::from_fn(|host| {
                deck.rotate_left(if host == 0 { 0 } else { Self::share() });
                lane(&deck, length, &mut dice)
            }),
        }
    }

    /// How many faults each host's lane contributes so that together they have every one.
    pub const fn share() -> usize {
        HostFault::ALL.len().div_ceil(HOSTS)
    }
}

/// One lane: the deck as it is, then shuffled again and again, until the time is over.
fn lane<F: Copy>(deck: &[F], length: Duration, dice: &mut Dice) -> Vec<Step<F>> {
    let mut deck = deck.to_vec();
    let (mut steps, mut taken) = (Vec::new(), Duration::ZERO);
    while taken < length {
        for fault in &deck {
            let step = Step {
                rest: dice.between(Duration::from_millis(500), Duration::from_secs(3)),
                fault: *fault,
                hold: hold(length, dice),
            };
            taken += step.rest + step.hold;
            steps.push(step);
        }
        dice.shuffle(&mut deck);
    }
    steps
}

fn hold(length: Duration, dice: &mut Dice) -> Duration {
    if length >= LONG_RUN && dice.chance(15) {
        return dice.between(BEYOND_SILENCE, BEYOND_SILENCE + Duration::from_secs(6));
    }
    dice.between(Duration::from_millis(500), Duration::from_secs(6))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn a_seed_decides_the_plan() {
        assert_eq!(Plan::new(3, MINUTE), Plan::new(3, MINUTE));
        assert_ne!(Plan::new(3, MINUTE), Plan::new(4, MINUTE));
    }

    #[test]
    fn every_fault_comes_early() {
        for seed in 0..50 {
            let plan = Plan::new(seed, MINUTE);
            let early = plan.hosts.iter().flat_map(|lane| &lane[..Plan::share()]);
            let early: HashSet<HostFault> = early.map(|step| step.fault).collect();
            assert_eq!(early.len(), HostFault::ALL.len(), "seed {seed}");
            let plane: HashSet<PlaneFault> = plan.plane[..PlaneFault::ALL.len()]
                .iter()
                .map(|step| step.fault)
                .collect();
            assert_eq!(plane.len(), PlaneFault::ALL.len(), "seed {seed}");
        }
    }

    #[test]
    fn lanes_fill_the_time_and_only_long_runs_outlast_the_silence() {
        let longest = |length| {
            let plan = Plan::new(1, length);
            for lane in &plan.hosts {
                assert!(
                    lane.iter()
                        .map(|step| step.rest + step.hold)
                        .sum::<Duration>()
                        >= length
                );
            }
            let holds = plan.hosts.iter().flatten().map(|step| step.hold);
            holds.max().unwrap()
        };
        assert!(longest(MINUTE) < Duration::from_secs(25));
        assert!(longest(10 * MINUTE) > Duration::from_secs(25));
    }

    #[test]
    fn each_fault_has_words_of_its_own() {
        let words: HashSet<&str> = Fault::all().map(Fault::words).collect();
        assert_eq!(words.len(), PlaneFault::ALL.len() + HostFault::ALL.len());
    }
}
