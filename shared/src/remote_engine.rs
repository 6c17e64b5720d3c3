//! What a control plane tells an agent that it runs beside itself, for an engine that is reached over TLS: one line of
//! JSON on the agent's standard input. The agent ends when that is closed.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::ids::AgentId;

/// The exit code of such an agent that has no identity it could connect by, and was given no token.
pub const NOT_ENROLLED: u8 = 3;
/// The most bytes of the line.
pub const MAX_ORDERS: u64 = 256 * 1024;

/// What such an agent is told.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoteEngine {
    /// The engine as people call it (`tcp://10.0.0.5:2376`).
    pub url: String,
    /// The host's name or address, which the engine's certificate must bear.
    pub host: String,
    /// Where to connect to, and nowhere else: the control plane has judged it.
    pub address: SocketAddr,
    /// The engine's authority, as PEM.
    pub ca: String,
    /// The client's certificate, as PEM.
    pub cert: String,
    /// Its key, as PEM.
    pub key: String,
    /// Who the agent is, once it has enrolled.
    pub agent: Option<AgentId>,
    /// What to enrol by, anew.
    pub token: Option<String>,
}

impl fmt::Debug for RemoteEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteEngine({} at {})", self.url, self.address)
    }
}
