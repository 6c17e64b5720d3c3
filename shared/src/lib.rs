//! What the control plane and the agents say to each other, and nothing else.
//!
//! Everything here is plain data with its limits: identifiers, job specifications, log chunks,
//! metrics samples, images on their way, tunnels, the host policy, the reading of compose files and manifests, and the wire protocol.

pub mod cluster;
pub mod compose;
pub mod enrolment;
pub mod failpoint;
pub mod fence;
pub mod git;
pub mod ids;
pub mod log;
pub mod manifest;
pub mod metrics;
pub mod outcome;
pub mod policy;
pub mod preview;
pub mod protocol;
pub mod query;
pub mod relay;
pub mod remote_engine;
pub mod spec;
pub mod terminal;
pub mod tunnel;
pub mod upgrade;
pub mod yaml;

pub use fence::Fence;
