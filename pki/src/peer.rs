//! Who is at the other end of a verified connection.

use chrono::{DateTime, Utc};
use rustls::pki_types::CertificateDer;
use uuid::Uuid;
use x509_parser::{certificate::X509Certificate, extensions::GeneralName};

use crate::{certificate, error::PkiError, fingerprint::Fingerprint, serial::Serial};

/// An agent's name is this and its id, as the one subject alternative name of its certificate, a
/// URI.
const AGENT_URN: &str = "urn:towline:agent:";

pub(crate) fn agent_urn(agent: Uuid) -> String {
    format!("{AGENT_URN}{agent}")
}

/// What an agent's certificate says. It is the truth only after TLS has verified the certificate's
/// chain; whether it is revoked, the control plane asks its store by serial and key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerIdentity {
    /// The agent's id.
    pub agent: Uuid,
    /// The certificate's number.
    pub serial: Serial,
    /// SHA-256 of the agent's public key.
    pub spki: Fingerprint,
    /// Start of validity.
    pub not_before: DateTime<Utc>,
    /// End of validity.
    pub not_after: DateTime<Utc>,
}

/// Why a certificate is no agent's.
#[derive(Debug, thiserror::Error)]
pub enum PeerRefusal {
    /// The peer presented none.
    #[error("there is no certificate; an agent presents the one it was enrolled with")]
    NoCertificate,
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] PkiError),
    /// It names nobody, or more than one.
    #[error("the certificate has {0} subject alternative names; an agent's has exactly one")]
    NameCount(usize),
    /// Its one name is of another kind.
    #[error("the certificate's name is not of the form {AGENT_URN}<uuid>")]
    NotAnAgent,
    /// It does not serve to authenticate clients.
    #[error("the certificate is not for client authentication")]
    NotForClients,
}

impl PeerIdentity {
    /// Reads an agent's leaf, and refuses every other certificate.
    pub fn from_leaf(leaf: &CertificateDer<'_>) -> Result<Self, PeerRefusal> {
        let certificate = certificate::parse(leaf)?;
        let agent = agent(&certificate)?;
        let usage = certificate
            .extended_key_usage()
            .map_err(|error| unreadable(&error))?;
        if !usage.is_some_and(|usage| usage.value.client_auth) {
            return Err(PeerRefusal::NotForClients);
        }
        Ok(Self {
            agent,
            serial: Serial::from_be_bytes(certificate.raw_serial()),
            spki: certificate::spki(&certificate),
            not_before: certificate::not_before(&certificate)?,
            not_after: certificate::not_after(&certificate)?,
        })
    }
}

fn agent(certificate: &X509Certificate<'_>) -> Result<Uuid, PeerRefusal> {
    let names = certificate
        .subject_alternative_name()
        .map_err(|error| unreadable(&error))?;
    match names.map(|extension| extension.value.general_names.as_slice()) {
        Some([GeneralName::URI(uri)]) => parse_urn(uri).ok_or(PeerRefusal::NotAnAgent),
        Some([_]) => Err(PeerRefusal::NotAnAgent),
        Some(names) => Err(PeerRefusal::NameCount(names.len())),
        None => Err(PeerRefusal::NameCount(0)),
    }
}

/// One spelling only: what is compared as text elsewhere must not differ here.
fn parse_urn(uri: &str) -> Option<Uuid> {
    let agent = Uuid::try_parse(uri.strip_prefix(AGENT_URN)?).ok()?;
    (agent_urn(agent) == uri).then_some(agent)
}

fn unreadable(error: &x509_parser::error::X509Error) -> PeerRefusal {
    PeerRefusal::Unreadable(PkiError::Certificate(error.to_string()))
}
