//! When a session must act although nothing came: its deadlines, as plain times.

use std::time::Duration;

use tokio::time::Instant;
use towline_shared::protocol::{HEARTBEAT_S, SILENCE_S};

/// The deadlines of a session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// From the connection's start to the agent's hello.
    pub(super) introduction: Duration,
    /// From our last message to a heartbeat. It is longer than the agents' own interval, so that
    /// ours rides on the answer to theirs ([`Pulse::answers_beat`]) and an idle session wakes once
    /// in an interval, not twice; and short enough that two fit into the silence limit.
    pub(super) beat: Duration,
    /// From the agent's last message to the link's death.
    pub(super) silence: Duration,
    /// From the moment a peer stops taking bytes to the link's death.
    pub(super) stall: Duration,
    /// Between two renewals of the live jobs' leases, which last 30 s.
    pub(super) leases: Duration,
    /// From an agent's refusal of an offer to the next claim.
    pub(super) again: Duration,
    /// Between two samples that are taken.
    pub(super) samples: Duration,
    /// Between two certificate requests.
    pub(super) renewals: Duration,
    /// Between two descriptions of the host that are kept; an agent looks for changes every minute.
    pub(super) descriptions: Duration,
    /// For the last words on a connection.
    pub(super) farewell: Duration,
    /// Between two times that the store learns which agents are here; also how long a session may
    /// go on whose wake-up about a revocation was lost.
    pub(super) seen: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            introduction: Duration::from_secs(10),
            beat: Duration::from_secs(HEARTBEAT_S + 1),
            silence: Duration::from_secs(SILENCE_S),
            stall: Duration::from_secs(20),
            leases: Duration::from_secs(10),
            again: Duration::from_secs(5),
            samples: Duration::from_secs(5),
            renewals: Duration::from_secs(10),
            descriptions: Duration::from_secs(10),
            farewell: Duration::from_secs(1),
            seen: Duration::from_mins(1),
        }
    }
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Say that we are alive.
    Beat,
    /// Renew the leases of the live jobs.
    Leases,
    /// Look for a job again.
    Claim,
    /// The agent has not introduced itself.
    Unintroduced,
    /// The agent has fallen silent.
    Silent,
}

/// The times that the deadlines count from.
#[derive(Debug)]
pub(super) struct Pulse {
    pace: Pace,
    /// What this session adds to the heartbeat's interval, so that sessions that began together
    /// do not beat together.
    jitter: Duration,
    heard: Instant,
    spoke: Instant,
    introduction: Option<Instant>,
    leases: Option<Instant>,
    claim: Option<Instant>,
}

impl Pulse {
    /// A session begins. `chance` spreads heartbeats over a second.
    pub(super) fn start(now: Instant, pace: Pace, chance: u16) -> Self {
        Self {
            pace,
            jitter: pace
                .beat
                .mul_f64(f64::from(chance) / f64::from(u16::MAX) / 11.0),
            heard: now,
            spoke: now,
            introduction: Some(now + pace.introduction),
            leases: None,
            claim: None,
        }
    }

    /// Something came from the agent.
    pub(super) const fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// Something went to the agent.
    pub(super) const fn spoke(&mut self, now: Instant) {
        self.spoke = now;
    }

    /// The agent has introduced itself.
    pub(super) const fn introduced(&mut self) {
        self.introduction = None;
    }

    /// Whether the agent's heartbeat is answered by ours at once: when we were quiet for half of
    /// our interval.
    pub(super) fn answers_beat(&self, now: Instant) -> bool {
        now.duration_since(self.spoke) >= self.pace.beat / 2
    }

    /// The session has live jobs, or has none.
    pub(super) fn leases(&mut self, now: Instant, live: usize) {
        self.leases = match (live, self.leases) {
            (0, _) => None,
            (_, None) => Some(now + self.pace.leases),
            (_, set) => set,
        };
    }

    /// An offer was refused for now.
    pub(super) fn claim_again(&mut self, now: Instant) {
        self.claim = Some(now + self.pace.again);
    }

    /// The next moment at which something may be due.
    pub(super) fn next(&self) -> Instant {
        let always =
            (self.spoke + self.pace.beat + self.jitter).min(self.heard + self.pace.silence);
        [self.introduction, self.leases, self.claim]
            .into_iter()
            .flatten()
            .fold(always, Instant::min)
    }

    /// What is due now; each is due once.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Due> {
        let mut due = Vec::new();
        if self.introduction.take_if(|at| *at <= now).is_some() {
            due.push(Due::Unintroduced);
        }
        if self.heard + self.pace.silence <= now {
            due.push(Due::Silent);
        }
        if self.spoke + self.pace.beat + self.jitter <= now {
            due.push(Due::Beat);
        }
        if self.leases.is_some_and(|at| at <= now) {
            self.leases = Some(now + self.pace.leases);
            due.push(Due::Leases);
        }
        if self.claim.take_if(|at| *at <= now).is_some() {
            due.push(Due::Claim);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn pulse(now: Instant) -> Pulse {
        let mut pulse = Pulse::start(now, Pace::default(), 0);
        pulse.introduced();
        pulse
    }

    #[tokio::test]
    async fn an_idle_session_is_due_once_in_an_interval() {
        let start = Instant::now();
        let mut pulse = pulse(start);
        let mut wakes = 0;
        let mut now = start;
        while now < start + s(3600) {
            // The agent beats every ten seconds, and ours rides on the answer.
            now += s(10);
            assert_eq!(pulse.due(now), vec![]);
            pulse.heard(now);
            assert!(pulse.answers_beat(now));
            pulse.spoke(now);
            wakes += 1;
            assert_eq!(pulse.next(), now + s(11));
        }
        assert_eq!(wakes, 360);
    }

    #[tokio::test]
    async fn deadlines() {
        type Prepare = fn(&mut Pulse, Instant);
        let table: [(&str, Prepare, u64, Vec<Due>); 9] = [
            ("nothing yet", |_, _| {}, 10, vec![]),
            ("our beat", |_, _| {}, 11, vec![Due::Beat]),
            ("silence", |p, t| p.spoke(t + s(20)), 25, vec![Due::Silent]),
            (
                "heard in time",
                |p, t| {
                    p.heard(t + s(20));
                    p.spoke(t + s(20));
                },
                25,
                vec![],
            ),
            (
                "leases of live jobs",
                |p, t| p.leases(t, 1),
                10,
                vec![Due::Leases],
            ),
            (
                "no leases without jobs",
                |p, t| {
                    p.leases(t, 1);
                    p.leases(t, 0);
                },
                10,
                vec![],
            ),
            (
                "a further job moves no lease",
                |p, t| {
                    p.leases(t, 1);
                    p.leases(t + s(5), 2);
                },
                10,
                vec![Due::Leases],
            ),
            (
                "a refused offer",
                |p, t| p.claim_again(t),
                5,
                vec![Due::Claim],
            ),
            (
                "all at once",
                |p, t| {
                    p.leases(t, 1);
                    p.claim_again(t);
                },
                30,
                vec![Due::Silent, Due::Beat, Due::Leases, Due::Claim],
            ),
        ];
        for (name, prepare, at, expected) in table {
            let start = Instant::now();
            let mut pulse = pulse(start);
            prepare(&mut pulse, start);
            assert_eq!(pulse.due(start + s(at)), expected, "{name}");
            if !expected.is_empty() {
                assert!(
                    pulse.next() <= start + s(at) || !expected.contains(&Due::Beat),
                    "{name}"
                );
            }
        }
    }

    #[tokio::test]
    async fn an_agent_must_introduce_itself_in_time() {
        let start = Instant::now();
        let mut pulse = Pulse::start(start, Pace::default(), 0);
        assert_eq!(pulse.next(), start + s(10));
        assert_eq!(pulse.due(start + s(10)), vec![Due::Unintroduced]);
        assert_eq!(pulse.due(start + s(10)), vec![]);
    }

    #[tokio::test]
    async fn beats_are_spread_and_two_fit_into_the_silence_limit() {
        let start = Instant::now();
        let spread: Vec<_> = [0, u16::MAX / 2, u16::MAX]
            .map(|chance| {
                let mut pulse = Pulse::start(start, Pace::default(), chance);
                pulse.introduced();
                pulse.next() - start
            })
            .into();
        assert!(spread[0] < spread[1] && spread[1] < spread[2], "{spread:?}");
        assert!(spread[2] * 2 <= s(SILENCE_S), "{spread:?}");
    }
}
