//! Questions about a target that are answered at once by its agent, and streams of its bytes.

use serde::{Deserialize, Serialize};

use crate::cluster::{ClusterAct, ClusterDrift, ClusterEvent};
use crate::ids::ProjectId;
use crate::metrics::Health;
use crate::upgrade::UpgradeReport;

/// The most bytes an agent may have sent on a stream beyond what was taken.
pub const STREAM_CREDIT: u32 = 64 * 1024;
/// The most bytes of one piece of a stream.
pub const MAX_STREAM_PIECE: usize = 16 * 1024;

/// The most events that are told.
pub const MAX_EVENTS: usize = 500;

/// A question to an agent. Variants are only ever appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Query {
    /// All containers of the engine, stopped ones too.
    Containers,
    /// What has happened in a cluster to what a project has there.
    ClusterEvents(ProjectId),
    /// Whether what a project has in a cluster is as it was applied.
    ClusterDrift(ProjectId),
    /// Something to be done at once to what a project has in a cluster.
    ClusterAct(ClusterAct),
}

/// The answer to a question. Variants are only ever appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// The containers of the engine.
    Containers(Vec<ContainerSummary>),
    /// It could not be answered; why, for a person.
    Failed(String),
    /// How far an upgrade is.
    Upgrade(UpgradeReport),
    /// What has happened, the latest first; at most [`MAX_EVENTS`].
    ClusterEvents(Vec<ClusterEvent>),
    /// How what is there differs from what was applied.
    ClusterDrift(ClusterDrift),
    /// It is done; what was done, for a person.
    Acted(String),
}

/// One container in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSummary {
    /// The engine's full id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its image as named.
    pub image: String,
    /// The compose project it belongs to, or empty.
    pub project: String,
    /// The compose service it belongs to, or empty.
    pub service: String,
    /// The engine's word for its state (`running`, `exited`, …).
    pub state: String,
    /// The engine's sentence about its state (`Up 3 minutes (healthy)`).
    pub status: String,
    /// Its health.
    pub health: Health,
    /// When it was created, Unix seconds.
    pub created_s: i64,
    /// Its published ports, as `127.0.0.1:8080->80/tcp`.
    pub ports: Vec<String>,
}

/// A stream to open. Variants are only ever appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StreamRequest {
    /// The log of a container: pieces are encoded [`crate::log::LogLine`] chunks.
    ContainerLog {
        /// Name or id.
        container: String,
        /// How many of the last lines, or all.
        tail: Option<u32>,
        /// Whether it goes on.
        follow: Follow,
    },
}

/// Whether a stream goes on when what exists was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Follow {
    /// It ends.
    No,
    /// It waits for more.
    Yes,
}
