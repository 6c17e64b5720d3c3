//! How far an exchange of programs is, and what a start makes of that: a table without any effect.

use serde::{Deserialize, Serialize};

/// How often a new program may start without being welcomed.
const MOST_STARTS: u32 = 3;

/// How far an exchange is. Each is written down before what it names begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The new program is put in the place.
    Exchanging,
    /// It runs, and was not welcomed yet.
    Proving {
        /// How often it has started.
        starts: u32,
    },
    /// The former one is put back.
    GoingBack {
        /// Why.
        why: String,
    },
    /// The new one was welcomed.
    Done,
    /// The former one runs.
    RolledBack {
        /// Why.
        why: String,
    },
}

/// Which program has started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Running {
    /// The one that was asked for.
    New,
    /// The former, or one that somebody has put there.
    Other,
}

/// What follows from a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing: it is decided.
    Rest,
    /// It goes on so.
    Enter(Phase),
    /// The former program comes back; why.
    GoBack(String),
}

impl Phase {
    /// What a start makes of it.
    pub fn at_start(&self, running: Running) -> Next {
        match (self, running) {
            (Self::Done | Self::RolledBack { .. }, _) => Next::Rest,
            (Self::Exchanging, Running::New) => Next::Enter(Self::Proving { starts: 1 }),
            (Self::Exchanging, Running::Other) => {
                rolled_back("the agent ended before the programs were exchanged; ask again")
            }
            (Self::Proving { starts }, Running::New) if *starts >= MOST_STARTS => Next::GoBack(
                format!("it has started {starts} times without being welcomed"),
            ),
            (Self::Proving { starts }, Running::New) => {
                Next::Enter(Self::Proving { starts: starts + 1 })
            }
            (Self::Proving { .. }, Running::Other) => {
                rolled_back("another program was put in its place before it was welcomed")
            }
            (Self::GoingBack { why }, Running::New) => Next::GoBack(why.clone()),
            (Self::GoingBack { why }, Running::Other) => rolled_back(why),
        }
    }
}

fn rolled_back(why: &str) -> Next {
    Next::Enter(Phase::RolledBack { why: why.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why() -> String {
        "it was not welcomed".into()
    }

    #[test]
    fn every_start_goes_on_or_back() {
        let proving = |starts| Phase::Proving { starts };
        let back = |why: &str| Next::Enter(Phase::RolledBack { why: why.into() });
        let table = [
            (Phase::Exchanging, Running::New, Next::Enter(proving(1))),
            (
                Phase::Exchanging,
                Running::Other,
                back("the agent ended before the programs were exchanged; ask again"),
            ),
            (proving(1), Running::New, Next::Enter(proving(2))),
            (proving(2), Running::New, Next::Enter(proving(3))),
            (
                proving(3),
                Running::New,
                Next::GoBack("it has started 3 times without being welcomed".into()),
            ),
            (
                proving(1),
                Running::Other,
                back("another program was put in its place before it was welcomed"),
            ),
            (
                Phase::GoingBack { why: why() },
                Running::New,
                Next::GoBack(why()),
            ),
            (
                Phase::GoingBack { why: why() },
                Running::Other,
                back(&why()),
            ),
            (Phase::Done, Running::New, Next::Rest),
            (Phase::Done, Running::Other, Next::Rest),
            (Phase::RolledBack { why: why() }, Running::New, Next::Rest),
            (Phase::RolledBack { why: why() }, Running::Other, Next::Rest),
        ];
        for (phase, running, next) in table {
            assert_eq!(phase.at_start(running), next, "{phase:?} {running:?}");
        }
    }

    #[test]
    fn a_program_that_is_never_welcomed_comes_to_an_end() {
        let mut phase = Phase::Exchanging;
        for _ in 0..=MOST_STARTS {
            match phase.at_start(Running::New) {
                Next::Enter(next) => phase = next,
                Next::GoBack(_) => return,
                Next::Rest => break,
            }
        }
        panic!("it goes on for ever: {phase:?}");
    }
}
