//! How a job ended, and where it is before that.

use serde::{Deserialize, Serialize};

use crate::preview::Preview;
use crate::spec::PinnedImage;

/// How a job ended, as its agent saw it. Variants are only ever appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The work is done and was verified on the engine.
    Succeeded {
        /// The image that each service runs, resolved.
        images: Vec<ServiceImage>,
    },
    /// The work is not done.
    Failed {
        /// The kind of failure.
        reason: FailureReason,
        /// What happened and what to do next, for a person.
        message: String,
    },
    /// The work was stopped on request.
    Cancelled {
        /// What the job left in place, for a person.
        left: String,
    },
    /// The work is done and was verified on the engine; with all that is known of the images.
    Ran {
        /// The image that each service runs, as a later release pins it.
        images: Vec<PinnedImage>,
    },
    /// Nothing was changed; this is what would be.
    Previewed(Box<Preview>),
    /// As [`Self::Ran`], of a job that has built images, too.
    Built {
        /// The images, as in [`Self::Ran`].
        images: Vec<PinnedImage>,
        /// What those are made of that were built.
        built: Vec<BuiltImage>,
    },
}

/// What an image that was built is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuiltImage {
    /// The service in the compose file.
    pub service: String,
    /// The engine's id of the image.
    pub id: String,
    /// What it takes on the disk, in bytes.
    pub size: u64,
    /// Its layers, the lowest first. None, when they would be too much to tell.
    pub layers: Vec<Layer>,
}

/// A layer of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// The digest of its plain bytes (`sha256:…`).
    pub digest: String,
    /// Its plain bytes; none, where the engine does not tell which step of the image's history made it.
    pub size: Option<u64>,
    /// The instruction that made it, without any secret; empty, where the engine does not tell.
    pub made_by: String,
}

/// The image of one service, resolved by the engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceImage {
    /// The service in the compose file.
    pub service: String,
    /// The image as the compose file names it.
    pub reference: String,
    /// The engine's image id (`sha256:…`).
    pub id: String,
}

/// Why a job failed. Variants are only ever appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureReason {
    /// The host's policy forbids it; nothing was changed.
    PolicyRefused,
    /// The project's files are not a valid compose project; nothing was changed.
    InvalidProject,
    /// The engine or its compose plugin is not there or does not answer.
    EngineUnavailable,
    /// `docker compose` ended with an error.
    ComposeFailed,
    /// A service's health check failed.
    Unhealthy,
    /// A service starts and exits again.
    CrashLoop,
    /// The deadline passed.
    Deadline,
    /// The agent died in the middle and the job's policy is not to go on.
    Interrupted,
    /// The agent lost its journal; what became of the work cannot be told.
    JournalLost,
    /// The agent was revoked while it held the job.
    AgentRevoked,
    /// The host's disk is full.
    DiskFull,
    /// Something that should not happen did.
    Internal,
    /// The commit that it is built from could not be had, or is not fit.
    SourceUnavailable,
    /// Another host was to build its images, and has not.
    BuildFailed,
    /// Images could not be brought from one host to another.
    RelayFailed,
    /// Images that were built could not be pushed to a registry.
    PushFailed,
    /// Fields of the release belong to another manager in the cluster; nothing was taken from it.
    Conflict,
    /// The cluster does not take an object of the release: a right, a quota, a webhook or a rule of its own is in the way.
    ClusterRefused,
    /// A later job works on the same project of the cluster.
    Superseded,
}

impl FailureReason {
    /// The name in the API and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PolicyRefused => "policy_refused",
            Self::InvalidProject => "invalid_project",
            Self::EngineUnavailable => "engine_unavailable",
            Self::ComposeFailed => "compose_failed",
            Self::Unhealthy => "unhealthy",
            Self::CrashLoop => "crash_loop",
            Self::Deadline => "deadline",
            Self::Interrupted => "interrupted",
            Self::JournalLost => "journal_lost",
            Self::AgentRevoked => "agent_revoked",
            Self::DiskFull => "disk_full",
            Self::Internal => "internal",
            Self::SourceUnavailable => "source_unavailable",
            Self::BuildFailed => "build_failed",
            Self::RelayFailed => "relay_failed",
            Self::PushFailed => "push_failed",
            Self::Conflict => "conflict",
            Self::ClusterRefused => "cluster_refused",
            Self::Superseded => "superseded",
        }
    }
}

/// Where a running job is. Variants are only ever appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Files are written and the project is resolved and checked against the host's policy.
    Preparing,
    /// `docker compose up` runs.
    Applying,
    /// The services run; their health is awaited.
    Verifying,
    /// `docker compose down` runs.
    Removing,
    /// `docker compose build` runs.
    Building,
    /// A commit is fetched from its repository.
    Cloning,
    /// Images go to the control plane, or to a registry.
    Publishing,
    /// Images come from the control plane.
    Receiving,
    /// Objects go that the release does not have any more.
    Pruning,
}

impl Step {
    /// The name in the API and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Applying => "applying",
            Self::Verifying => "verifying",
            Self::Removing => "removing",
            Self::Building => "building",
            Self::Cloning => "cloning",
            Self::Publishing => "publishing",
            Self::Receiving => "receiving",
            Self::Pruning => "pruning",
        }
    }
}
