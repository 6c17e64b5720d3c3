//! The figures, as one JSON document.

use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use crate::probe::Latency;

/// All figures of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    agents: usize,
    /// Seconds for all enrolments.
    pub enrol_seconds: f64,
    /// All agents at once, for the first time.
    pub connect: Option<Rate>,
    /// The control plane's memory.
    pub memory: Option<Memory>,
    /// While nothing happens.
    pub idle: Option<Idle>,
    /// After `kill -9`.
    pub reconnect: Option<Reconnect>,
    /// The same clients on a bare acceptor.
    pub bare: Option<Bare>,
    /// The control plane's rate of reconnects as a share of the bare acceptor's.
    reconnect_share_of_bare: Option<f64>,
}

/// How fast agents came.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Rate {
    seconds: f64,
    per_second: f64,
}

/// Memory before and with all agents, in bytes.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Memory {
    resident_without_bytes: u64,
    resident_with_bytes: u64,
    per_agent: u64,
}

/// The idle window.
#[derive(Debug, Serialize)]
pub struct Idle {
    /// How long it was.
    pub seconds: f64,
    /// Share of one core that the control plane used.
    pub core_percent: f64,
    /// Connections that ended.
    pub drops: u64,
    /// The API meanwhile.
    pub api: Latency,
}

/// The storm.
#[derive(Debug, Serialize)]
pub struct Reconnect {
    /// From the new process's start to the last agent's welcome.
    pub seconds_from_start: f64,
    /// From its start to its readiness.
    pub seconds_to_ready: f64,
    /// From the first agent that reached the listener to the last one's welcome.
    pub rate: Rate,
    /// The API meanwhile.
    pub api: Latency,
}

/// The bare acceptor.
#[derive(Debug, Serialize)]
pub struct Bare {
    /// All at once, for the first time.
    pub connect: Rate,
    /// After its `kill -9`.
    pub reconnect: Rate,
    /// Its memory.
    pub memory: Memory,
}

impl Report {
    pub fn new(agents: usize) -> Self {
        Self {
            agents,
            enrol_seconds: 0.0,
            connect: None,
            memory: None,
            idle: None,
            reconnect: None,
            bare: None,
            reconnect_share_of_bare: None,
        }
    }

    /// Sets the bare acceptor's figures beside the control plane's.
    pub fn compare(&mut self, bare: Bare) {
        let ours = self
            .reconnect
            .as_ref()
            .map(|reconnect| reconnect.rate.per_second);
        self.reconnect_share_of_bare = ours.map(|ours| ours / bare.reconnect.per_second);
        self.bare = Some(bare);
    }

    pub fn print(&self) -> Result<()> {
        println!("{}", serde_json::to_string_pretty(self)?);
        Ok(())
    }
}

impl Rate {
    #[expect(clippy::cast_precision_loss, reason = "far fewer agents than 2^52")]
    pub fn new(took: Duration, agents: usize) -> Self {
        let seconds = took.as_secs_f64();
        Self {
            seconds,
            per_second: agents as f64 / seconds.max(0.001),
        }
    }
}

impl Memory {
    pub fn new(without: u64, with: u64, agents: usize) -> Self {
        Self {
            resident_without_bytes: without,
            resident_with_bytes: with,
            per_agent: with.saturating_sub(without) / (agents.max(1) as u64),
        }
    }
}
