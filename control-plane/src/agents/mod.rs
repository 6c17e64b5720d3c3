//! The agents' side of the control plane: their listener, their sessions, and how the rest of the
//! process reaches a connected agent.
//!
//! What it is for: one task per connected agent carries the conversation of
//! [`towline_shared::protocol::v1`] and writes what it learns to the store.
//!
//! What it promises:
//! - who an agent is comes from its verified certificate alone; every report about a job is checked
//!   by the store against that agent;
//! - no offer before the welcome, no acknowledgement before the commit;
//! - a connection of the same agent supersedes the older one at once, half-open or not;
//! - whatever a peer does, a session holds a bounded amount of its bytes, and no session waits for
//!   another.
//!
//! Why this way: the rules of the conversation are a pure state machine ([`conversation`]) and so
//! are its deadlines ([`pulse`]); the session only carries out what they say. Thousands of idle
//! agents then cost one wake-up in ten seconds each, and no query.

mod admission;
pub mod conversation;
mod counts;
mod errands;
mod listener;
mod pulse;
mod questions;
mod registry;
mod session;
mod socket;
mod streams;
mod tunnels;

#[cfg(test)]
mod tests;

pub use admission::Admission;
pub use counts::Counts;
pub use listener::{bind, serve};
pub use registry::{Registry, Unreachable};
pub use streams::{AgentStream, StreamBroken, StreamViolation};
pub use tunnels::{NoTunnel, Tunnel};
