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
    #[error("the certificate has {0} subject alternative names; one of ours has exactly one")]
    NameCount(usize),
    /// Its one name is of another kind.
    #[error("the certificate's name is not of the form {AGENT_URN}<uuid>")]
    NotAnAgent,
    /// Its one name is of another kind than those for the Docker API.
    #[error("the certificate is not for the Docker API")]
    NotForDocker,
    /// It does not serve to authenticate clients.
    #[error("the certificate is not for client authentication")]
    NotForClients,
}

impl PeerIdentity {
    /// Reads an agent's leaf, and refuses every other certificate.
    pub fn from_leaf(leaf: &CertificateDer<'_>) -> Result<Self, PeerRefusal> {
        let certificate = certificate::parse(leaf)?;
        let agent = named(&certificate, AGENT_URN)?.ok_or(PeerRefusal::NotAnAgent)?;
        Ok(Self {
            agent,
            serial: Serial::from_be_bytes(certificate.raw_serial()),
            spki: certificate::spki(&certificate),
            not_before: certificate::not_before(&certificate)?,
            not_after: certificate::not_after(&certificate)?,
        })
    }
}

/// The id in the one name of a client's certificate, if the name is of this kind.
pub(crate) fn named(
    certificate: &X509Certificate<'_>,
    kind: &str,
) -> Result<Option<Uuid>, PeerRefusal> {
    let names = certificate
        .subject_alternative_name()
        .map_err(|error| unreadable(&error))?;
    let id = match names.map(|extension| extension.value.general_names.as_slice()) {
        Some([GeneralName::URI(uri)]) => parse_urn(uri, kind),
        Some([_]) => None,
        Some(names) => return Err(PeerRefusal::NameCount(names.len())),
        None => return Err(PeerRefusal::NameCount(0)),
    };
    let usage = certificate
        .extended_key_usage()
        .map_err(|error| unreadable(&error))?;
    if id.is_some() && !usage.is_some_and(|usage| usage.value.client_auth) {
        return Err(PeerRefusal::NotForClients);
    }
    Ok(id)
}

/// One spelling only: what is compared as text elsewhere must not differ here.
fn parse_urn(uri: &str, kind: &str) -> Option<Uuid> {
    let id = Uuid::try_parse(uri.strip_prefix(kind)?).ok()?;
    (format!("{kind}{id}") == uri).then_some(id)
}

fn unreadable(error: &x509_parser::error::X509Error) -> PeerRefusal {
    PeerRefusal::Unreadable(PkiError::Certificate(error.to_string()))
}
