//! The three files by which a client reaches an engine, judged before anything is done with them.
//!
//! They are what others have made too, by Docker's guide and openssl; so less is asked of the authority than of ours, and
//! keys may be of any kind that rustls signs by.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{CertificateError, ClientConfig, RootCertStore};

use crate::{certificate, error::PkiError, fingerprint::Fingerprint, pair, pem, tls};

/// The most authorities in one file.
const MOST_AUTHORITIES: usize = 8;

/// What people know a certificate by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Whose it is, as the certificate has it.
    pub subject: String,
    /// SHA-256 of it.
    pub fingerprint: Fingerprint,
    /// End of validity.
    pub not_after: DateTime<Utc>,
}

/// Which of the three files something is said of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientFile {
    /// `ca.pem`.
    Authority,
    /// `cert.pem`.
    Certificate,
    /// `key.pem`.
    Key,
}

/// Why the files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ClientFilesError {
    /// A file cannot be read.
    #[error("{file} cannot be read: {cause}")]
    Unreadable {
        /// Which.
        file: ClientFile,
        /// Why.
        cause: PkiError,
    },
    /// Too many authorities, which is not what `ca.pem` is.
    #[error("ca.pem has {0} certificates; give the engine's authority alone")]
    Crowd(usize),
    /// The key is another certificate's.
    #[error("key.pem is not the key of cert.pem; give the pair that was made together")]
    ForeignKey,
    /// The certificate was issued by somebody else.
    #[error("cert.pem was not issued by the authority in ca.pem; give the three files of one host")]
    ForeignAuthority,
    /// The certificate is not for clients.
    #[error(
        "cert.pem is not for clients (its extended key usage lacks clientAuth); give the client's certificate, not the engine's"
    )]
    NotForClients,
    /// One has run out.
    #[error("{file} has expired at {not_after}; renew it on its host")]
    Expired {
        /// Which.
        file: ClientFile,
        /// When.
        not_after: DateTime<Utc>,
    },
    /// One does not count yet.
    #[error("{file} counts from {not_before} on; check the clocks of both machines")]
    NotYet {
        /// Which.
        file: ClientFile,
        /// From when.
        not_before: DateTime<Utc>,
    },
    /// Something else is wrong with the certificate.
    #[error("cert.pem is refused: {0}")]
    Refused(String),
}

/// Three files that fit together.
#[derive(Clone)]
pub struct ClientFiles {
    /// The client's certificate.
    pub certificate: CertificateFacts,
    /// The authority that has issued it.
    pub authority: CertificateFacts,
    known: Arc<ClientConfig>,
    stranger: Arc<ClientConfig>,
}

impl ClientFile {
    /// What Docker calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Authority => "ca.pem",
            Self::Certificate => "cert.pem",
            Self::Key => "key.pem",
        }
    }
}

impl fmt::Display for ClientFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl ClientFilesError {
    /// The file that it is about.
    pub const fn file(&self) -> ClientFile {
        match self {
            Self::Unreadable { file, .. }
            | Self::Expired { file, .. }
            | Self::NotYet { file, .. } => *file,
            Self::Crowd(_) => ClientFile::Authority,
            Self::ForeignKey => ClientFile::Key,
            Self::ForeignAuthority | Self::NotForClients | Self::Refused(_) => {
                ClientFile::Certificate
            }
        }
    }
}

impl fmt::Debug for ClientFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientFiles({})", self.certificate.fingerprint)
    }
}

impl ClientFiles {
    /// Reads `ca.pem`, `cert.pem` and `key.pem`, and judges whether they are a client's as of `now`.
    pub fn read(
        authority: &str,
        certificate: &str,
        key: &str,
        now: DateTime<Utc>,
    ) -> Result<Self, ClientFilesError> {
        let (roots, issuers) = roots_of(authority)?;
        let chain = pem::certificates(certificate).map_err(unreadable(ClientFile::Certificate))?;
        judge_dates(&chain[0], ClientFile::Certificate, now)?;
        pem::private_key(key).map_err(unreadable(ClientFile::Key))?;
        let (chain, key) = pair::from_pem(certificate, key).map_err(|error| match error {
            PkiError::KeyMismatch => ClientFilesError::ForeignKey,
            cause => ClientFilesError::Unreadable {
                file: ClientFile::Key,
                cause,
            },
        })?;
        let issuer = issuer_of(&chain, &issuers, now)?;
        judge_dates(issuer, ClientFile::Authority, now)?;
        let of = |der, file| facts(der).map_err(unreadable(file));
        Ok(Self {
            certificate: of(&chain[0], ClientFile::Certificate)?,
            authority: of(issuer, ClientFile::Authority)?,
            known: config(&roots, Some((chain.clone(), key)))?,
            stranger: config(&roots, None)?,
        })
    }

    /// For a connection that proves itself by the pair. The engine's certificate must be of the authority, and bear the
    /// name that is connected to.
    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.known)
    }

    /// For one that does not.
    pub fn stranger_config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.stranger)
    }
}

/// What is known of a certificate.
pub fn facts(der: &CertificateDer<'_>) -> Result<CertificateFacts, PkiError> {
    let parsed = certificate::parse(der)?;
    Ok(CertificateFacts {
        subject: parsed.subject().to_string(),
        fingerprint: Fingerprint::of(der),
        not_after: certificate::not_after(&parsed)?,
    })
}

fn unreadable(file: ClientFile) -> impl Fn(PkiError) -> ClientFilesError {
    move |cause| ClientFilesError::Unreadable { file, cause }
}

type Issuers = Vec<CertificateDer<'static>>;

fn roots_of(authority: &str) -> Result<(Arc<RootCertStore>, Issuers), ClientFilesError> {
    let unreadable = unreadable(ClientFile::Authority);
    let issuers = pem::certificates(authority).map_err(&unreadable)?;
    if issuers.len() > MOST_AUTHORITIES {
        return Err(ClientFilesError::Crowd(issuers.len()));
    }
    let mut roots = RootCertStore::empty();
    for issuer in &issuers {
        let added = roots.add(issuer.clone());
        added.map_err(|error| unreadable(error.into()))?;
    }
    Ok((Arc::new(roots), issuers))
}

fn judge_dates(
    der: &CertificateDer<'_>,
    file: ClientFile,
    now: DateTime<Utc>,
) -> Result<(), ClientFilesError> {
    let unreadable = unreadable(file);
    let parsed = certificate::parse(der).map_err(&unreadable)?;
    let not_before = certificate::not_before(&parsed).map_err(&unreadable)?;
    let not_after = certificate::not_after(&parsed).map_err(&unreadable)?;
    if not_after <= now {
        return Err(ClientFilesError::Expired { file, not_after });
    }
    if not_before > now {
        return Err(ClientFilesError::NotYet { file, not_before });
    }
    Ok(())
}

/// The authority that has issued the first of a chain, to a client.
fn issuer_of<'a>(
    chain: &[CertificateDer<'static>],
    issuers: &'a [CertificateDer<'static>],
    now: DateTime<Utc>,
) -> Result<&'a CertificateDer<'static>, ClientFilesError> {
    let seconds = u64::try_from(now.timestamp()).unwrap_or_default();
    let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    let mut refusal = ClientFilesError::ForeignAuthority;
    for issuer in issuers {
        let mut roots = RootCertStore::empty();
        let refused = |error: &dyn fmt::Display| ClientFilesError::Refused(error.to_string());
        roots.add(issuer.clone()).map_err(|error| refused(&error))?;
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), tls::provider()).build();
        let verifier = verifier.map_err(|error| refused(&error))?;
        match verifier.verify_client_cert(&chain[0], &chain[1..], at) {
            Ok(_) => return Ok(issuer),
            Err(rustls::Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            )) => {}
            Err(rustls::Error::InvalidCertificate(
                CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. },
            )) => refusal = ClientFilesError::NotForClients,
            Err(error) => refusal = refused(&error),
        }
    }
    Err(refusal)
}

type Pair = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn config(
    roots: &Arc<RootCertStore>,
    pair: Option<Pair>,
) -> Result<Arc<ClientConfig>, ClientFilesError> {
    let refused = |error: rustls::Error| ClientFilesError::Refused(error.to_string());
    let builder = ClientConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .map_err(refused)?
        .with_root_certificates(Arc::clone(roots));
    let mut config = match pair {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(refused)?,
        None => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}
