//! Upgrades of an agent: what it is told, and how far it is.
//!
//! The control plane asks ([`AskUpgrade`]); the agent fetches the program over a connection of its own to
//! the agents' listener (`GET /agent/{sha256}?offset=N`, by the protocol of [`crate::relay`]), and believes nothing of it
//! but what its host's release keys have signed.

use serde::{Deserialize, Serialize};

use crate::relay::Digest;

/// The most bytes of an agent.
pub const MAX_PROGRAM: u64 = 512 * 1024 * 1024;

/// What is wanted of an agent's upgrades. It is a frame of its own, and no [`crate::query::Query`], so that an agent which
/// knows nothing of upgrades skips it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskUpgrade {
    /// Names the question within its connection, among those of [`crate::protocol::v1::Ask`].
    pub id: u32,
    /// What is wanted.
    pub wish: UpgradeWish,
}

/// A wish of an upgrade. Variants are only ever appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpgradeWish {
    /// To be told how far it is.
    Show,
    /// To begin one; answered when it has begun.
    Begin(Upgrade),
}

/// A program to become.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upgrade {
    /// The SHA-256 of its file, by which it is fetched.
    pub sha256: Digest,
    /// The bytes of its file.
    pub bytes: u64,
    /// The text of its minisign signature, whose trusted comment says what it is.
    pub signature: String,
}

/// How far an agent is with the upgrade that it was told of last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpgradeReport {
    /// The version that was asked for; empty when none was.
    pub version: String,
    /// The program that was asked for.
    pub sha256: Digest,
    /// How far it is.
    pub state: UpgradeState,
}

/// How far an upgrade is. Variants are only ever appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpgradeState {
    /// None was asked for.
    Idle,
    /// The program is fetched, verified and tried.
    Preparing,
    /// It is good, and waits until the jobs that run have ended.
    Waiting,
    /// It runs, and was not welcomed yet.
    Proving,
    /// It runs, and was welcomed.
    Done,
    /// Nothing was changed; why, and what to do.
    Refused(String),
    /// The former program runs again; why.
    RolledBack(String),
}
