//! What a host needs to become an agent, served by the control plane itself, so that it also works where nothing else is
//! to be reached: a script, and the agent for each architecture.
//!
//! - `binaries`: the agents that are there, and their digests
//! - `cluster`: the objects of an agent in a cluster
//! - `signed`: those of them that agents may become by an upgrade
//! - `script`: the script with this installation's address and those digests filled in

mod binaries;
#[cfg(test)]
mod checkers;
mod cluster;
mod script;
mod signed;

pub use binaries::{Architecture, Binaries, Binary, UnknownArchitecture};
pub use cluster::ClusterAgent;
pub use script::{Script, command};
pub use signed::{SignedAgent, Unsigned};
