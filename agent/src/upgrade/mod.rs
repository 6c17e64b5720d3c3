//! The agent becomes another version of itself, or stays what it is.
//!
//! What is promised: nothing runs that the host's own release keys have not signed; a program takes the place only after it
//! has connected to the control plane from here, by this very command line ([`prepare`]); it goes when no job runs; and if
//! it is not welcomed soon, the former one comes back ([`Phase`]). The exchange is two renames within one folder and an
//! `exec`, so that whoever supervises the agent sees one process, and every moment at which the machine or the process may
//! die has a whole program in its place. What was about to happen stands in a journal before it happens.

mod journal;
mod phase;
mod prepare;
mod program;
mod release_keys;
mod verify;

use std::time::Duration;

use towline_shared::relay::Digest;
use towline_shared::upgrade::{UpgradeReport, UpgradeState};

pub use journal::Journal;
pub use phase::{Next, Phase, Running};
pub use prepare::{Preparation, Prepared, Terms, prepare};
pub use program::Program;
pub use release_keys::{DEFAULT_RELEASE_KEYS, KeysError, load};
pub use verify::{VerifyError, verify};

/// What an agent is with its last upgrade when it starts.
#[derive(Clone, Debug, Default)]
pub enum Standing {
    /// There was none.
    #[default]
    Fresh,
    /// It is the new program, and must be welcomed.
    Proving(Journal),
    /// It was decided.
    Ended(UpgradeReport),
}

/// What an agent needs for its upgrades.
#[derive(Clone, Debug)]
pub struct Upgrades {
    /// Where it comes from, and what it must be.
    pub terms: Terms,
    /// How it has started.
    pub standing: Standing,
    /// How long a new program may take until it is welcomed.
    pub patience: Duration,
}

/// The first thing that a program does: it reads what was about to happen, and goes on with it, or back.
pub fn wake(dir: &crate::state_dir::StateDir, program: &Program) -> Standing {
    let journal = match Journal::read(dir) {
        Ok(Some(journal)) => journal,
        Ok(None) => return Standing::Fresh,
        Err(error) => {
            tracing::warn!(%error, "the journal of upgrades cannot be read; it is passed over");
            return Standing::Fresh;
        }
    };
    match journal.phase.at_start(running(&journal, program)) {
        Next::Rest => Standing::Ended(journal.report()),
        Next::Enter(phase) => {
            let journal = journal.entering(dir, phase);
            match &journal.phase {
                Phase::Proving { .. } => Standing::Proving(journal),
                _ => Standing::Ended(journal.report()),
            }
        }
        Next::GoBack(why) => go_back(dir, program, journal, why),
    }
}

fn running(journal: &Journal, program: &Program) -> Running {
    match program.digest() {
        Ok(digest) if digest == journal.sha256 => Running::New,
        Ok(_) => Running::Other,
        Err(error) => {
            tracing::warn!(%error, "the running program cannot be read");
            Running::Other
        }
    }
}

/// Puts the prepared program in the place of this one, and becomes it. It comes back only when that failed.
pub fn become_new(
    dir: &crate::state_dir::StateDir,
    program: &Program,
    prepared: &Prepared,
) -> Standing {
    let journal = Journal::of(prepared);
    let refused = |why: String| {
        tracing::error!("the agent was not upgraded: {why}");
        let report = UpgradeReport {
            state: UpgradeState::Refused(why),
            ..journal.report()
        };
        Standing::Ended(report)
    };
    if let Err(error) = journal.write(dir) {
        return refused(error.to_string());
    }
    if let Err(error) = program.exchange(&prepared.file) {
        let why = format!("the program could not be exchanged: {error}");
        let mut journal = journal.clone();
        journal.phase = Phase::RolledBack { why: why.clone() };
        journal.note(dir);
        return refused(why);
    }
    tracing::info!(version = journal.version, "becoming the new program");
    let why = format!("the new program could not be started: {}", program.exec());
    go_back(dir, program, journal, why)
}

/// Puts the former program back, and becomes it. It comes back only when that failed.
pub fn go_back(
    dir: &crate::state_dir::StateDir,
    program: &Program,
    journal: Journal,
    why: String,
) -> Standing {
    tracing::error!("going back to the former program: {why}");
    let journal = journal.entering(dir, Phase::GoingBack { why });
    let error = match program.put_back() {
        Ok(()) => program.exec(),
        Err(error) => error,
    };
    tracing::error!(%error, "the former program could not be put back; this one goes on");
    let why = format!("the former program could not be put back: {error}");
    let journal = journal.entering(dir, Phase::RolledBack { why });
    Standing::Ended(journal.report())
}

/// No upgrade was asked for.
pub fn idle() -> UpgradeReport {
    UpgradeReport {
        version: String::new(),
        sha256: Digest([0; 32]),
        state: UpgradeState::Idle,
    }
}
