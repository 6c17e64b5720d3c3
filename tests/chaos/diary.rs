//! What was asked, what was answered and what was broken, while it happened. Only this and what is found at the end
//! ([`crate::look`]) is judged.

use std::{
    fs,
    sync::{Mutex, MutexGuard},
};

use chrono::{DateTime, Utc};

use crate::plan::{Fault, HostFault};

/// What a project's owner asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// That a release with this mark runs.
    Deploy {
        /// What its container writes into its ledger.
        mark: String,
    },
    /// That nothing of the project runs.
    Remove,
}

/// An order that the control plane has acknowledged.
#[derive(Clone, Debug)]
pub struct Order {
    /// The deployment it was acknowledged as.
    pub id: String,
    /// The number of its project.
    pub project: usize,
    /// The number of its host.
    pub host: usize,
    /// What was asked for.
    pub wish: Wish,
    /// Whether a cancel was acknowledged.
    pub cancelled: bool,
}

/// What a follower of a log has received.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The deployment.
    pub id: String,
    /// How often it had to connect.
    pub connections: usize,
    /// How many lines came, each numbered one more than that before.
    pub lines: u64,
    /// Whether the end was told.
    pub ended: bool,
}

/// A host that was enrolled, and revoked if there was time.
#[derive(Clone, Debug)]
pub struct Enrolment {
    /// The agent's name.
    pub name: String,
    /// Whether it was seen online.
    pub seen: bool,
    /// Whether its revocation was acknowledged.
    pub revoked: bool,
}

/// A fault that was injected.
#[derive(Clone, Copy, Debug)]
pub struct Injury {
    /// What it was.
    pub fault: Fault,
    /// The number of the host, if it was one's.
    pub host: Option<usize>,
    /// When it began and ended.
    pub begin: Moment,
    /// When all was there again that it took.
    pub end: Moment,
}

impl Injury {
    /// Whether it was a host's and came over it between two moments. An engine needs some seconds to settle afterwards.
    pub fn struck(&self, host: usize, from: DateTime<Utc>, to: DateTime<Utc>) -> Option<HostFault> {
        match (self.fault, self.host) {
            (Fault::Host(fault), Some(hit)) if hit == host => {
                (self.begin.utc <= to && self.end.utc + SETTLING >= from).then_some(fault)
            }
            _ => None,
        }
    }

    /// Whether the engine of this host died by it.
    pub fn ended_engine_of(&self, host: usize) -> bool {
        matches!(self.fault, Fault::Host(fault) if fault.ends_engine()) && self.host == Some(host)
    }
}

/// After its return an engine refuses some containers until it has cleaned up.
const SETTLING: chrono::TimeDelta = chrono::TimeDelta::seconds(10);

/// A moment on the two clocks that machine, database and containers share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    /// The wall clock, which the database writes.
    pub utc: DateTime<Utc>,
    /// Seconds since the machine's start, which containers write.
    pub uptime: f64,
}

impl Moment {
    /// Now.
    pub fn now() -> Self {
        let text = fs::read_to_string("/proc/uptime").expect("the machine says how long it is up");
        let uptime = text.split(' ').next().and_then(|text| text.parse().ok());
        Self {
            utc: Utc::now(),
            uptime: uptime.expect("/proc/uptime begins with seconds"),
        }
    }
}

/// All of it.
#[derive(Debug, Default)]
pub struct Entries {
    /// What was broken, in the order of its ends.
    pub injuries: Vec<Injury>,
    /// What was acknowledged.
    pub orders: Vec<Order>,
    /// Requests that never had an answer, with all their repetitions: they may have had an effect.
    pub unanswered: usize,
    /// Orders that were refused because their host had no engine.
    pub refused: usize,
    /// Requests that were repeated with their key.
    pub repeated: usize,
    /// How many logs are followed now.
    pub following: usize,
    /// What followers received.
    pub readings: Vec<Reading>,
    /// Hosts that came.
    pub enrolments: Vec<Enrolment>,
    /// Enrolments that failed and said so.
    pub failed_enrolments: usize,
    /// How often a program ended by itself and was started again, as a service manager does.
    pub own_ends: Vec<String>,
    /// Promises that were seen broken on the way.
    pub breaches: Vec<String>,
}

/// The diary that all parts write into.
#[derive(Debug, Default)]
pub struct Diary(Mutex<Entries>);

impl Diary {
    /// To read or to write.
    pub fn open(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().expect("nobody panics over the diary")
    }

    /// Notes that a promise is broken.
    pub fn breach(&self, what: String) {
        eprintln!("chaos: BROKEN: {what}");
        self.open().breaches.push(what);
    }

    /// The entries, when all is over.
    pub fn close(self) -> Entries {
        self.0.into_inner().expect("nobody panicked over the diary")
    }
}
