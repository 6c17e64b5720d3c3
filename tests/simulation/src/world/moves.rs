//! What may happen next.

use towline_server::job::JobState;

use super::{MOST_JOBS, Move, Weather, World};
use crate::host::{Host, Phase};
use crate::link::{Link, LinkId};
use crate::replica::Replica;

impl World {
    /// Now and then something goes wrong or somebody wants something; otherwise the world goes on.
    pub(super) fn moves_of_now(&mut self) -> Vec<(u32, Move)> {
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
}
