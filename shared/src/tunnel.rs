//! Tunnels: byte streams between the control plane and something on an agent's host.
//!
//! The control plane asks for one on the agent's control connection ([`OpenTunnel`]). The agent reaches what is asked
//! for, and only then dials the agents' listener once more, with its certificate and a protocol of TLS that says what the
//! connection is for. The first [`TunnelId::BYTES`] bytes on it name the tunnel; all that follows is the stream's, both ways. The
//! end of one direction is the end of TLS's (`close_notify`), so that each ends by itself. TCP is the flow control: a
//! tunnel that nobody reads holds up nothing else.
//!
//! A tunnel lives no longer than the control connection that it was asked for on.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::terminal::Exec;

/// The most tunnels of one agent at once.
pub const MAX_TUNNELS: usize = 128;

/// Names a tunnel between its two ends; nobody can guess one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TunnelId([u8; Self::BYTES]);

impl TunnelId {
    /// How long a name is.
    pub const BYTES: usize = 16;

    /// The name that these bytes are; random ones, where it is made.
    pub const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes that begin the tunnel's connection.
    pub const fn bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

/// It is a secret of two ends, and no log's.
impl fmt::Debug for TunnelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TunnelId(…)")
    }
}

/// Where a tunnel leads on the host. Variants are only ever appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TunnelEnd {
    /// To the socket of its Docker engine.
    DockerApi,
    /// To a command in a container, by the frames of [`crate::terminal`].
    Exec(Exec),
}

/// A tunnel to open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenTunnel {
    /// Its name.
    pub tunnel: TunnelId,
    /// Where it leads.
    pub end: TunnelEnd,
}

/// A tunnel that the agent does not open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TunnelRefused {
    /// Its name.
    pub tunnel: TunnelId,
    /// Who is in the way.
    pub by: TunnelRefusal,
    /// Why, and what to do, for a person.
    pub why: String,
}

/// What is in the way of a tunnel. Variants are only ever appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TunnelRefusal {
    /// The host's owner does not allow it.
    Policy,
    /// What it leads to is not there, or the agent cannot have more.
    Unavailable,
}
