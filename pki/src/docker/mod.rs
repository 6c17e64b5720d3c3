//! What a Docker engine's own Remote API over TLS is secured with.
//!
//! Each host has an authority of its own, which is no other's and not the installation's: it can be made offline, and a
//! client's key that gets lost opens one host. Whoever has a client's key is root on that host; Docker reads no list of
//! revoked certificates, so that lifetimes are short and a lost key is answered by a new authority.

mod client_files;
mod names;

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use rcgen::ExtendedKeyUsagePurpose;
use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use zeroize::Zeroizing;

use crate::{
    authority::{Authority, server_name},
    certificate,
    error::PkiError,
    fingerprint::Fingerprint,
    key::P256Key,
    pem,
};
pub use client_files::{CertificateFacts, ClientFile, ClientFiles, ClientFilesError, facts};
pub use names::{HostName, HostNames, MOST_NAMES, NameRefusal, Trouble};

/// How long an engine's certificate lives. Docker reads it when it starts, so that each renewal is a restart; it is
/// renewed at half of this, which leaves six weeks to find a time for that.
pub const SERVER_LIFETIME: TimeDelta = TimeDelta::days(90);
/// How long a client's certificate lives: root on a host, and revoked by nothing but its end and a new authority.
pub const CLIENT_LIFETIME: TimeDelta = TimeDelta::days(90);
/// The most bytes of a common name (X.520's upper bound).
const LONGEST_COMMON_NAME: usize = 64;

/// The authority of one host's engine.
#[derive(Debug)]
pub struct DockerAuthority(Authority);

/// A certificate and its key, as PEM text.
#[derive(Debug, Clone)]
pub struct IssuedPair {
    /// The certificate.
    pub certificate: String,
    /// Its key; to be stored with mode 0600.
    pub key: Zeroizing<String>,
    /// When it expires.
    pub not_after: DateTime<Utc>,
}

impl DockerAuthority {
    /// Makes one that is valid for [`AUTHORITY_LIFETIME`](crate::AUTHORITY_LIFETIME) from `now`.
    pub fn generate(host: &HostName, now: DateTime<Utc>) -> Result<Self, PkiError> {
        let name = shortened(&format!("Docker API of {host}"));
        Authority::generate(&name, now).map(Self)
    }

    /// Reads one back; the key must be its own.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, PkiError> {
        Authority::from_pem(certificate, key).map(Self)
    }

    /// The certificate that clients and the engine trust (`ca.pem`).
    pub fn certificate(&self) -> String {
        self.0.cert_pem()
    }

    /// The key (`ca-key.pem`); to be stored with mode 0600.
    pub fn key(&self) -> Zeroizing<String> {
        self.0.key_pem()
    }

    /// SHA-256 of the certificate.
    pub fn fingerprint(&self) -> Fingerprint {
        self.0.fingerprint()
    }

    /// The engine's own certificate: server authentication alone, for these names and addresses.
    pub fn issue_server(
        &self,
        names: &HostNames,
        now: DateTime<Utc>,
    ) -> Result<IssuedPair, PkiError> {
        let first = names.iter().next().ok_or(PkiError::NoNames)?;
        let subjects = names.iter().map(|name| server_name(&name.to_string()));
        let issued = self.0.issue_with_key(
            &shortened(&first.to_string()),
            subjects.collect::<Result<_, _>>()?,
            ExtendedKeyUsagePurpose::ServerAuth,
            now,
            SERVER_LIFETIME,
        )?;
        Ok(IssuedPair::of(issued))
    }

    /// A certificate for a person or a purpose: client authentication alone.
    pub fn issue_client(
        &self,
        name: &ClientName,
        now: DateTime<Utc>,
    ) -> Result<IssuedPair, PkiError> {
        let issued = self.0.issue_with_key(
            name.as_str(),
            Vec::new(),
            ExtendedKeyUsagePurpose::ClientAuth,
            now,
            CLIENT_LIFETIME,
        )?;
        Ok(IssuedPair::of(issued))
    }
}

impl IssuedPair {
    fn of((leaf, key, not_after): (CertificateDer<'static>, P256Key, DateTime<Utc>)) -> Self {
        Self {
            certificate: pem::encode_certificates(std::slice::from_ref(&leaf)),
            key: key.to_pem(),
            not_after,
        }
    }
}

/// A host's name may be longer than a common name may; nothing compares this one.
fn shortened(name: &str) -> String {
    name.chars().take(LONGEST_COMMON_NAME).collect()
}

/// What a client's certificate is called: a person or a purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientName(String);

/// Text that names no client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} cannot be the name of a client; give a person or a purpose in 1 to {LONGEST_COMMON_NAME} letters, digits and . _ @ - (as ann@laptop)"
)]
pub struct ClientNameError(String);

impl ClientName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for ClientName {
    type Err = ClientNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (1..=LONGEST_COMMON_NAME).contains(&text.len());
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '@' | '-');
        if fits && text.chars().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ClientNameError(text.to_owned()))
        }
    }
}

impl fmt::Display for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What stands in a certificate that was issued once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The names and addresses that it is for; none for a client.
    pub names: Vec<String>,
    /// Start of validity.
    pub not_before: DateTime<Utc>,
    /// End of validity.
    pub not_after: DateTime<Utc>,
}

impl Issued {
    /// Reads the first certificate of a PEM text.
    pub fn from_pem(text: &str) -> Result<Self, PkiError> {
        let chain = pem::certificates(text)?;
        let leaf = certificate::parse(&chain[0])?;
        let names = leaf
            .subject_alternative_name()
            .map_err(|error| PkiError::Certificate(error.to_string()))?;
        let names = names.map(|extension| extension.value.general_names.iter());
        Ok(Self {
            names: names.into_iter().flatten().filter_map(written).collect(),
            not_before: certificate::not_before(&leaf)?,
            not_after: certificate::not_after(&leaf)?,
        })
    }

    /// When it is to be renewed: at half of its life.
    pub fn renew_from(&self) -> DateTime<Utc> {
        self.not_before + (self.not_after - self.not_before) / 2
    }
}

fn written(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let four = <[u8; 4]>::try_from(*bytes).map(std::net::IpAddr::from);
            let address = four.or_else(|_| <[u8; 16]>::try_from(*bytes).map(Into::into));
            address.ok().map(|address| address.to_string())
        }
        _ => None,
    }
}
