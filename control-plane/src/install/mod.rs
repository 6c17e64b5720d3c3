//! What a host needs to become an agent, served by the control plane itself, so that it also works where nothing else is
//! to be reached: a script, and the agent for each architecture.
//!
//! - `binaries`: the agents that are there, and their digests
//! - `signed`: those of them that agents may become by an upgrade
//! - `script`: the script with this installation's address and those digests filled in

mod binaries;
mod script;
mod signed;

pub use binaries::{Architecture, Binaries, Binary, UnknownArchitecture};
pub use script::{Script, command};
pub use signed::{SignedAgent, Unsigned};
