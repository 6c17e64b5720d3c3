//! What is written down of an exchange of programs.

use std::fs;
use std::io;

use serde::{Deserialize, Serialize};
use towline_shared::relay::Digest;
use towline_shared::upgrade::{UpgradeReport, UpgradeState};

use super::phase::Phase;
use super::prepare::Prepared;
use crate::state_dir::{StateDir, StateError, failed, write_durably};

/// The journal of the last exchange.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    /// The version that the new program is.
    pub version: String,
    /// The new program.
    pub sha256: Digest,
    /// How far it is.
    pub phase: Phase,
}

impl Journal {
    /// Before an exchange.
    pub fn of(prepared: &Prepared) -> Self {
        Self {
            version: prepared.version.to_string(),
            sha256: prepared.sha256,
            phase: Phase::Exchanging,
        }
    }

    /// Reads it; nothing, when there is none.
    pub fn read(dir: &StateDir) -> io::Result<Option<Self>> {
        match fs::read(dir.upgrade()) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes it durable.
    pub fn write(&self, dir: &StateDir) -> Result<(), StateError> {
        let path = dir.upgrade();
        let written = serde_json::to_vec_pretty(self)
            .map_err(io::Error::other)
            .and_then(|text| write_durably(&path, &text));
        written.map_err(|cause| failed("cannot write the journal of upgrades", &path, cause))
    }

    /// Makes it durable, if that is possible: what it says is found out again by the next start.
    pub fn note(&self, dir: &StateDir) {
        if let Err(error) = self.write(dir) {
            tracing::error!(%error, "how far the upgrade is was not written down");
        }
    }

    /// In another phase.
    #[must_use]
    pub fn entering(mut self, dir: &StateDir, phase: Phase) -> Self {
        self.phase = phase;
        self.note(dir);
        self
    }

    /// What people are told of it.
    pub fn report(&self) -> UpgradeReport {
        let state = match &self.phase {
            Phase::Exchanging | Phase::Proving { .. } | Phase::GoingBack { .. } => {
                UpgradeState::Proving
            }
            Phase::Done => UpgradeState::Done,
            Phase::RolledBack { why } => UpgradeState::RolledBack(why.clone()),
        };
        UpgradeReport {
            version: self.version.clone(),
            sha256: self.sha256,
            state,
        }
    }
}
