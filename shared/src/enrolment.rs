//! How a host becomes an agent, and stays one: the bodies of two HTTPS requests.
//!
//! Both are frozen like the handshake: an agent of any version must be able to enrol and renew.

use serde::{Deserialize, Serialize};

use crate::ids::AgentId;

/// `POST` here, below the public address, to enrol.
pub const ENROL_PATH: &str = "/api/v1/agent/enroll";
/// `POST` here, below the public address, to renew a certificate that has expired.
pub const RENEW_PATH: &str = "/api/v1/agent/renew";

/// Asks to become an agent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EnrolRequest {
    /// The secret part of the enrolment token.
    pub secret: String,
    /// A certificate request, PEM. It brings a key and no names.
    pub csr: String,
    /// What the host calls itself.
    pub hostname: String,
    /// The agent's version.
    pub version: String,
}

/// What an enrolled agent needs from then on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Enrolled {
    /// Who it is.
    pub agent: AgentId,
    /// Its certificate, PEM.
    pub certificate: String,
    /// The roots it trusts from now on, PEM.
    pub roots: String,
    /// Where it connects: `host:port` of the agent listener.
    pub agent_address: String,
}

/// Asks for a new certificate in place of an expired one, by proof of its key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RenewRequest {
    /// The expired certificate, PEM.
    pub certificate: String,
    /// A certificate request by the same key, PEM.
    pub csr: String,
}

/// A renewed certificate.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Renewed {
    /// The certificate, PEM.
    pub certificate: String,
    /// The roots to trust from now on, PEM.
    pub roots: String,
}
