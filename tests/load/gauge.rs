//! What the kernel says about a process.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What `/proc` counts in, on all our platforms (the kernel's `USER_HZ`).
const TICKS_PER_SECOND: u64 = 100;

/// A process.
pub struct Gauge {
    id: u32,
}

impl Gauge {
    /// The process `id`.
    pub fn of(id: u32) -> Self {
        Self { id }
    }

    /// Bytes of memory that are resident.
    pub fn resident_bytes(&self) -> Result<u64> {
        let file = format!("/proc/{}/smaps_rollup", self.id);
        let text = fs::read_to_string(&file).with_context(|| file.clone())?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("Rss:"))
            .context("no Rss")?;
        let kib: u64 = line
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .with_context(|| line.to_owned())?;
        Ok(kib * 1024)
    }

    /// Processor time it has used.
    pub fn processor_time(&self) -> Result<Duration> {
        let file = format!("/proc/{}/stat", self.id);
        let text = fs::read_to_string(&file).with_context(|| file.clone())?;
        // The second field is a name in brackets, which may hold anything.
        let rest = text.rsplit_once(')').context("no name")?.1;
        let field = |index: usize| -> Result<u64> {
            Ok(rest
                .split_ascii_whitespace()
                .nth(index)
                .context("too few fields")?
                .parse()?)
        };
        let ticks = field(11)? + field(12)?;
        Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
    }
}

/// Each agent needs a descriptor here, and one in the control plane, which inherits this limit.
pub fn raise_descriptor_limit(agents: usize) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            ..limit
        },
    )?;
    let needed = u64::try_from(agents)? + 500;
    ensure!(
        limit.maximum.is_none_or(|most| most >= needed),
        "{agents} agents need {needed} open files, {:?} are allowed: raise `ulimit -Hn`",
        limit.maximum
    );
    Ok(())
}
