//! What `towline-agent status` shows of the connection, kept in a small file.

use std::fs;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::state_dir::{StateDir, write_durably};

/// The last connection, as far as the agent knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LastConnection {
    /// Whether it is up.
    pub state: LinkState,
    /// Since when it is, or is not.
    pub since: Option<DateTime<Utc>>,
    /// When it was last up.
    pub last_connected: Option<DateTime<Utc>>,
    /// Why it is not up.
    pub error: Option<String>,
    /// How far the control plane's clock is ahead of this host's, in milliseconds.
    pub clock_ahead_ms: Option<i64>,
}

/// Whether the link is up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// It is.
    Up,
    /// It is not.
    #[default]
    Down,
    /// It is not, and the control plane does not want this agent any more.
    Revoked,
}

impl LastConnection {
    /// What the file says; nothing when there is none.
    pub fn load(dir: &StateDir) -> Self {
        let content = fs::read(dir.status()).unwrap_or_default();
        serde_json::from_slice(&content).unwrap_or_default()
    }

    pub(super) fn connected(&mut self, clock_ahead_ms: i64) {
        let now = Utc::now();
        *self = Self {
            state: LinkState::Up,
            since: Some(now),
            last_connected: Some(now),
            error: None,
            clock_ahead_ms: Some(clock_ahead_ms),
        };
    }

    pub(super) fn disconnected(&mut self, why: &str) {
        let now = Utc::now();
        self.state = LinkState::Down;
        self.since = Some(now);
        self.last_connected = Some(now);
        self.error = Some(why.to_owned());
    }

    /// Notes a failure; whether it is another than before.
    pub(super) fn failed(&mut self, why: &str, state: LinkState) -> bool {
        let another = self.error.as_deref() != Some(why) || self.state != state;
        self.state = state;
        self.error = Some(why.to_owned());
        another
    }

    /// Nothing depends on the file, so a failure to write it is only said.
    pub(super) fn save(&self, dir: &StateDir) {
        let written = serde_json::to_vec_pretty(self)
            .map_err(std::io::Error::other)
            .and_then(|content| write_durably(&dir.status(), &content));
        if let Err(error) = written {
            tracing::debug!(%error, "the status file could not be written");
        }
    }
}
