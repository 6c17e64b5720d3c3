//! Who is at the other end of a connection to the Docker API: a person, for one host, for a few hours.

use chrono::{DateTime, TimeDelta, Utc};
use rustls::pki_types::CertificateDer;
use uuid::Uuid;

use crate::{certificate, fingerprint::Fingerprint, peer, peer::PeerRefusal, serial::Serial};

/// The longest that a certificate for the Docker API lives: it is root on a host, and a laptop may be stolen.
pub const DOCKER_CLIENT_LIFETIME: TimeDelta = TimeDelta::hours(12);

/// The certificate's one name is this and the id that the control plane gave it, a URI.
const DOCKER_URN: &str = "urn:towline:docker:";

pub(crate) fn docker_urn(certificate: Uuid) -> String {
    format!("{DOCKER_URN}{certificate}")
}

/// What a certificate for the Docker API says. It is the truth only after TLS has verified its chain; whose it is, for which
/// host, and whether it still counts, the control plane asks its store by id and key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerClient {
    /// The id that the control plane gave it.
    pub certificate: Uuid,
    /// The certificate's number.
    pub serial: Serial,
    /// SHA-256 of the client's public key.
    pub spki: Fingerprint,
    /// End of validity.
    pub not_after: DateTime<Utc>,
}

impl DockerClient {
    /// Reads such a leaf, and refuses every other certificate, an agent's too.
    pub fn from_leaf(leaf: &CertificateDer<'_>) -> Result<Self, PeerRefusal> {
        let read = certificate::parse(leaf)?;
        let id = peer::named(&read, DOCKER_URN)?.ok_or(PeerRefusal::NotForDocker)?;
        Ok(Self {
            certificate: id,
            serial: Serial::from_be_bytes(read.raw_serial()),
            spki: certificate::spki(&read),
            not_after: certificate::not_after(&read)?,
        })
    }
}
