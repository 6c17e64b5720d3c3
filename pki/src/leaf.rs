//! What the authority answers to an agent's signing request.

use chrono::{DateTime, Utc};
use rustls::pki_types::CertificateDer;

use crate::{fingerprint::Fingerprint, serial::Serial};

/// An agent's new certificate, with what the control plane stores about it.
#[derive(Debug, Clone)]
pub struct IssuedLeaf {
    /// The certificate.
    pub der: CertificateDer<'static>,
    /// The same as PEM text.
    pub pem: String,
    /// The number it is revoked by.
    pub serial: Serial,
    /// SHA-256 of the agent's public key.
    pub spki: Fingerprint,
    /// The authority that signed it; counts what still lives of an old root during a rotation.
    pub issuer: Fingerprint,
    /// Start of validity, [`CLOCK_SKEW`](crate::CLOCK_SKEW) before the issue.
    pub not_before: DateTime<Utc>,
    /// End of validity.
    pub not_after: DateTime<Utc>,
}
