//! Things go wrong, and stop going wrong.

use super::{DAY, Weather, World};
use crate::dice::Dice;
use crate::faults::Fault;
use crate::host::{Agent, Disk};
use crate::link::{Flow, Lane, LinkId};
use crate::plane::Entry;

impl World {
    pub(super) fn inflict(&mut self, fault: Fault) {
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
    pub(super) fn relent(&mut self) {
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
