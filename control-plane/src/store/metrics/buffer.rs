//! Samples on their way into the database.

use std::collections::{BTreeMap, VecDeque};

use towline_shared::ids::{AgentId, TeamId};

/// The most samples of one agent that wait: a minute's.
const PER_AGENT: usize = 6;
/// The most bytes of all samples that wait.
const MAX_BYTES: usize = 64 << 20;

/// A sample that waits to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Waiting {
    pub(super) agent: AgentId,
    pub(super) team: TeamId,
    /// The start of its interval, Unix seconds.
    pub(super) at: i64,
    pub(super) sample: Vec<u8>,
}

/// Samples that wait to be written. When the database is slower than the agents, each agent's
/// oldest are dropped.
#[derive(Debug, Default)]
pub(in crate::store) struct Pending {
    agents: BTreeMap<AgentId, VecDeque<Waiting>>,
    bytes: usize,
    dropped: u64,
}

impl Pending {
    pub(super) fn push(&mut self, waiting: Waiting) {
        let queue = self.agents.entry(waiting.agent).or_default();
        let incoming = waiting.sample.len();
        while queue.len() >= PER_AGENT || self.bytes + incoming > MAX_BYTES {
            let Some(oldest) = queue.pop_front() else {
                break;
            };
            self.bytes -= oldest.sample.len();
            self.dropped += 1;
        }
        if self.bytes + incoming > MAX_BYTES {
            self.agents.remove(&waiting.agent);
            self.dropped += 1;
            return;
        }
        self.bytes += incoming;
        queue.push_back(waiting);
    }

    /// Takes all, each agent's in order.
    pub(super) fn take(&mut self) -> Vec<Waiting> {
        self.bytes = 0;
        std::mem::take(&mut self.agents)
            .into_values()
            .flatten()
            .collect()
    }

    /// Takes samples back that could not be written; what has come since is newer.
    pub(super) fn put_back(&mut self, batch: Vec<Waiting>) {
        let newer = self.take();
        for waiting in batch.into_iter().chain(newer) {
            self.push(waiting);
        }
    }

    /// How many were dropped since the start.
    pub(super) const fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(agent: AgentId, at: i64, bytes: usize) -> Waiting {
        Waiting {
            agent,
            team: TeamId::new(),
            at,
            sample: vec![0; bytes],
        }
    }

    fn times(batch: &[Waiting], agent: AgentId) -> Vec<i64> {
        batch
            .iter()
            .filter(|waiting| waiting.agent == agent)
            .map(|waiting| waiting.at)
            .collect()
    }

    #[test]
    fn an_agents_oldest_samples_give_way_to_its_newest_only() {
        let (chatty, calm) = (AgentId::new(), AgentId::new());
        let mut pending = Pending::default();
        pending.push(waiting(calm, 0, 10));
        for at in 0..10 {
            pending.push(waiting(chatty, at, 10));
        }
        assert_eq!(pending.dropped(), 4);
        let batch = pending.take();
        assert_eq!(times(&batch, chatty), [4, 5, 6, 7, 8, 9]);
        assert_eq!(times(&batch, calm), [0]);
        assert_eq!(pending.take(), [], "taken is taken");
    }

    #[test]
    fn what_could_not_be_written_waits_before_what_came_since() {
        let agent = AgentId::new();
        let mut pending = Pending::default();
        (0..3).for_each(|at| pending.push(waiting(agent, at, 10)));
        let batch = pending.take();
        (3..8).for_each(|at| pending.push(waiting(agent, at, 10)));
        pending.put_back(batch);
        assert_eq!(times(&pending.take(), agent), [2, 3, 4, 5, 6, 7]);
        assert_eq!(pending.dropped(), 2);
    }

    #[test]
    fn all_that_waits_together_is_bounded() {
        let mut pending = Pending::default();
        for _ in 0..200 {
            pending.push(waiting(AgentId::new(), 0, 1 << 20));
        }
        assert_eq!(pending.dropped(), 200 - 64);
        assert_eq!(pending.agents.len(), 64, "no empty queue stays behind");
        assert_eq!(
            pending
                .take()
                .iter()
                .map(|waiting| waiting.sample.len())
                .sum::<usize>(),
            MAX_BYTES
        );
    }
}
