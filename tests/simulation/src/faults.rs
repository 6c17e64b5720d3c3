//! What goes wrong, and in which runs.

use crate::dice::Dice;
use crate::host::Disk;
use crate::link::{Flow, Lane, Link, LinkId};
use crate::world::{Scene, Shape, World};

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9` of an agent, with a record half written.
    KillAgent(usize),
    /// A host loses its power, and what nobody had synced.
    CutPower(usize),
    /// `kill -9` of a process of the control plane.
    KillReplica(usize),
    /// A connection breaks.
    CutLink(LinkId),
    /// One direction of a connection changes how it behaves.
    Lane(LinkId, Way, Flow),
    /// Something will arrive twice.
    Copy(LinkId, Way),
    /// It arrives for the second time.
    Echo(LinkId, Way),
    /// A host's disk fills up, or has room again.
    Disk(usize, Disk),
    /// The database's clock jumps by a day, forward or back.
    Clock(bool),
    /// An agent is revoked.
    Revoke(usize),
    /// A backup is taken.
    BackUp,
    /// The backup is put back.
    Restore,
}

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To the control plane.
    Up,
    /// To the agent.
    Down,
}

impl Way {
    /// That direction of a connection.
    pub const fn lane(self, link: &mut Link) -> &mut Lane {
        match self {
            Self::Up => &mut link.up,
            Self::Down => &mut link.down,
        }
    }
}

/// Which faults a run has, as weights.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    permille: u32,
    kills: u32,
    power: u32,
    replicas: u32,
    cuts: u32,
    lanes: u32,
    repeats: u32,
    disks: u32,
    clock: u32,
    revokes: u32,
    backups: u32,
}

impl Faults {
    /// Each run has its own mix: some faults show only where others are absent.
    pub fn of(dice: &mut Dice, shape: Shape) -> Self {
        let mut one_of = |weights: &[u32]| dice.pick(weights).unwrap_or_default();
        Self {
            permille: one_of(&[5, 15, 30, 60]),
            kills: one_of(&[0, 1, 3]),
            power: one_of(&[0, 0, 1]),
            replicas: one_of(&[0, 1, 3]),
            cuts: one_of(&[0, 1, 3]),
            lanes: one_of(&[0, 1, 3]),
            repeats: one_of(&[0, 0, 2]),
            disks: one_of(&[0, 0, 1]),
            clock: one_of(&[0, 0, 0, 1]),
            revokes: one_of(&[0, 0, 0, 1]),
            // A backup is of one database, and of all processes that use it.
            backups: if shape.replicas == 1 {
                one_of(&[0, 0, 0, 2])
            } else {
                0
            },
        }
    }

    /// How often something goes wrong, in thousandths of all steps.
    pub const fn permille(&self) -> u32 {
        self.permille
    }

    /// The faults that could happen now, with their weights.
    pub fn possible(&self, world: &World) -> Vec<(u32, Fault)> {
        let scene = world.scene();
        let mut faults = vec![
            (self.clock, Fault::Clock(true)),
            (self.clock, Fault::Clock(false)),
            (self.backups, Fault::BackUp),
            (self.backups, Fault::Restore),
        ];
        self.on_hosts(&scene, &mut faults);
        let running = scene
            .replicas
            .iter()
            .enumerate()
            .filter(|(_, replica)| replica.is_some());
        faults.extend(running.map(|(number, _)| (self.replicas, Fault::KillReplica(number))));
        for link in scene.links.values().filter(|link| scene.is_used(link)) {
            self.on_link(link, &mut faults);
        }
        faults.retain(|(weight, _)| *weight > 0);
        faults
    }

    fn on_hosts(&self, scene: &Scene<'_>, faults: &mut Vec<(u32, Fault)>) {
        for (number, host) in scene.hosts.iter().enumerate() {
            if host.agent.is_some() {
                faults.push((self.kills, Fault::KillAgent(number)));
                faults.push((self.power, Fault::CutPower(number)));
            }
            let other = match host.disk {
                Disk::Sound => (self.disks, Fault::Disk(number, Disk::Full)),
                Disk::Full => (10, Fault::Disk(number, Disk::Sound)),
            };
            faults.push(other);
            if number > 0 {
                faults.push((self.revokes.min(1), Fault::Revoke(number)));
            }
        }
    }

    fn on_link(&self, link: &Link, faults: &mut Vec<(u32, Fault)>) {
        faults.push((self.cuts, Fault::CutLink(link.id)));
        for (way, lane) in [(Way::Up, &link.up), (Way::Down, &link.down)] {
            if lane.travelling() > 0 {
                faults.push((self.repeats, Fault::Copy(link.id, way)));
            }
            if lane.echoes() {
                faults.push((2, Fault::Echo(link.id, way)));
            }
            let flow = lane.flow;
            match flow {
                Flow::Open => {
                    faults.push((self.lanes, Fault::Lane(link.id, way, Flow::Stuck)));
                    faults.push((self.lanes, Fault::Lane(link.id, way, Flow::Void)));
                }
                Flow::Stuck => faults.push((3, Fault::Lane(link.id, way, Flow::Open))),
                // Bytes that are gone do not come back, and nothing comes after them.
                Flow::Void => {}
            }
        }
    }
}

impl Scene<'_> {
    /// Whether a connection still matters to anybody.
    fn is_used(&self, link: &Link) -> bool {
        let agent = self.hosts[link.host].agent.as_ref();
        let dialled = agent.and_then(crate::host::Agent::link) == Some(link.id);
        let mut replicas = self.replicas.iter().flatten();
        dialled || replicas.any(|replica| replica.sessions.contains_key(&link.id))
    }
}
