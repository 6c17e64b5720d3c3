//! `towline-agent status`: what the state folder says, without touching it.

use std::fmt::Write as _;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use towline_shared::ids::AgentId;

use crate::agent::{LastConnection, LinkState};
use crate::enroll::clock_warning;
use crate::identity::{Identity, IdentityError};
use crate::state_dir::StateDir;

/// What `status` shows.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Who the agent is.
    pub agent: AgentId,
    /// Its control plane.
    pub control_plane: String,
    /// Where it connects.
    pub agent_address: String,
    /// When its certificate expires.
    pub certificate_expires_at: DateTime<Utc>,
    /// Whether a process runs on the folder.
    pub process: Process,
    /// Its last connection.
    pub connection: LastConnection,
}

/// Whether an agent runs on a state folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Process {
    /// One does.
    Running,
    /// None does.
    Stopped,
}

impl Report {
    /// Reads it from a state folder.
    pub fn read(dir: &StateDir) -> Result<Self, IdentityError> {
        let identity = Identity::load(dir)?;
        let process = if dir.is_locked() {
            Process::Running
        } else {
            Process::Stopped
        };
        Ok(Self {
            agent: identity.agent(),
            control_plane: identity.parts().public_address.clone(),
            agent_address: identity.parts().agent_address.clone(),
            certificate_expires_at: identity.not_after(),
            process,
            connection: LastConnection::load(dir),
        })
    }

    /// For people, by the clock `now`.
    pub fn text(&self, now: DateTime<Utc>) -> String {
        let mut text = String::new();
        let mut row = |name: &str, value: &str| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name:<14}{value}");
        };
        row("agent", &self.agent.to_string());
        row("control plane", &self.control_plane);
        row("connects to", &self.agent_address);
        row("certificate", &validity(self.certificate_expires_at, now));
        let process = if self.process == Process::Running {
            "running"
        } else {
            "not running"
        };
        row("process", process);
        row("connection", &self.connection_words(now));
        if let Some(error) = &self.connection.error {
            row("last error", error);
        }
        if let Some(warning) = self
            .connection
            .clock_ahead_ms
            .and_then(|ahead| clock_warning(ahead / 1000))
        {
            row("clock", &warning);
        }
        text
    }

    fn connection_words(&self, now: DateTime<Utc>) -> String {
        let ago = |moment: DateTime<Utc>| {
            format!("{} ({})", moment.format("%F %T UTC"), span(now - moment))
        };
        match (
            self.connection.state,
            self.process,
            self.connection.last_connected,
        ) {
            (LinkState::Revoked, _, _) => {
                "revoked: enrol again with --force, or stop the agent".into()
            }
            (LinkState::Up, Process::Running, Some(since)) => format!("up since {}", ago(since)),
            (_, _, Some(last)) => format!("down; last up {}", ago(last)),
            (_, _, None) => "never connected".into(),
        }
    }
}

fn validity(end: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let word = if end > now { "valid until" } else { "expired" };
    format!("{word} {} ({})", end.format("%F %T UTC"), span(end - now))
}

fn span(delta: TimeDelta) -> String {
    let delta = delta.abs();
    match (delta.num_days(), delta.num_hours(), delta.num_minutes()) {
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, _) => format!("{hours} h"),
        (days, _, _) => format!("{days} d"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_status_reads_like_a_sentence() {
        let now: DateTime<Utc> = "2026-03-01T12:00:00Z".parse().unwrap();
        let agent: AgentId = "01900000-0000-7000-8000-000000000000".parse().unwrap();
        let mut report = Report {
            agent,
            control_plane: "https://towline.example".into(),
            agent_address: "towline.example:8444".into(),
            certificate_expires_at: now + TimeDelta::days(5),
            process: Process::Running,
            connection: LastConnection {
                state: LinkState::Up,
                since: Some(now - TimeDelta::hours(3)),
                last_connected: Some(now - TimeDelta::hours(3)),
                error: None,
                clock_ahead_ms: Some(3_700_000),
            },
        };
        assert_eq!(
            report.text(now),
            "agent         01900000-0000-7000-8000-000000000000\n\
             control plane https://towline.example\n\
             connects to   towline.example:8444\n\
             certificate   valid until 2026-03-06 12:00:00 UTC (5 d)\n\
             process       running\n\
             connection    up since 2026-03-01 09:00:00 UTC (3 h)\n\
             clock         this host's clock is 61 min behind the control plane's; set it (timedatectl set-ntp true)\n"
        );
        report.connection.state = LinkState::Revoked;
        assert!(report.text(now).contains("revoked: enrol again"));
        report.connection = LastConnection::default();
        assert!(report.text(now).contains("never connected"));
    }
}
