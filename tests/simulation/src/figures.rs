//! What runs add up to.

use std::collections::BTreeMap;
use std::fmt;

use crate::faults::Fault;

/// Counts over one run or many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Runs.
    pub seeds: u64,
    /// Jobs queued.
    pub jobs: u64,
    /// Changes of an engine.
    pub effects: u64,
    /// Connections made.
    pub connections: u64,
    /// Lines printed.
    pub lines_printed: u64,
    /// Lines stored at the end.
    pub lines_stored: u64,
    /// The longest time from the last fault to rest, in milliseconds of simulated time.
    pub longest_recovery_ms: i64,
    /// Faults by kind.
    pub faults: BTreeMap<&'static str, u64>,
}

impl Figures {
    /// A fault was inflicted.
    pub fn fault(&mut self, fault: Fault) {
        *self.faults.entry(name(fault)).or_default() += 1;
    }

    /// Everything has come to rest.
    pub fn recovered(&mut self, after_ms: i64) {
        self.longest_recovery_ms = self.longest_recovery_ms.max(after_ms);
    }

    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.jobs += other.jobs;
        self.effects += other.effects;
        self.connections += other.connections;
        self.lines_printed += other.lines_printed;
        self.lines_stored += other.lines_stored;
        self.recovered(other.longest_recovery_ms);
        for (fault, count) in &other.faults {
            *self.faults.entry(fault).or_default() += count;
        }
    }
}

fn name(fault: Fault) -> &'static str {
    match fault {
        Fault::KillAgent(_) => "agent killed",
        Fault::CutPower(_) => "host without power",
        Fault::KillReplica(_) => "control plane killed",
        Fault::CutLink(_) => "connection cut",
        Fault::Lane(..) => "direction stuck, void or healed",
        Fault::Copy(..) => "message copied",
        Fault::Echo(..) => "message arrived twice",
        Fault::Disk(..) => "disk full or freed",
        Fault::Clock(_) => "clock jumped a day",
        Fault::Revoke(_) => "agent revoked",
        Fault::BackUp => "backup taken",
        Fault::Restore => "backup put back",
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |what: &str, count: String| writeln!(f, "{what:<36}{count:>14}");
        row("seeds run", self.seeds.to_string())?;
        row("jobs", self.jobs.to_string())?;
        row("effects on engines", self.effects.to_string())?;
        row("connections", self.connections.to_string())?;
        row("log lines printed", self.lines_printed.to_string())?;
        row("log lines stored", self.lines_stored.to_string())?;
        let seconds = self.longest_recovery_ms / 1000;
        row("longest recovery (simulated)", format!("{seconds} s"))?;
        for (fault, count) in &self.faults {
            row(&format!("fault: {fault}"), count.to_string())?;
        }
        Ok(())
    }
}
