//! What can go wrong in the hands of the one who owns the keys. What a peer may do wrong has its
//! own types ([`CsrRefusal`](crate::CsrRefusal), [`PeerRefusal`](crate::PeerRefusal) and their
//! like).

use chrono::{DateTime, Utc};

/// A key, certificate or name that cannot be used, or a failure of the machine underneath.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// The operating system gave no random bytes.
    #[error("the system gave no random bytes: {0}")]
    Randomness(#[from] getrandom::Error),
    /// PEM text without the section that was looked for.
    #[error("no {what} in the PEM text: {cause}")]
    Pem {
        /// What was looked for.
        what: &'static str,
        /// What the reader said.
        cause: String,
    },
    /// Bytes that are no X.509 certificate.
    #[error("the certificate cannot be read: {0}")]
    Certificate(String),
    /// A private key in another form or of another kind.
    #[error(
        "the private key cannot be read; an ECDSA P-256 key in PKCS#8 (BEGIN PRIVATE KEY) is needed: {0}"
    )]
    Key(rcgen::Error),
    /// A certificate and a key that do not belong together.
    #[error(
        "the private key does not belong to the certificate; give the pair that was made together"
    )]
    KeyMismatch,
    /// A certificate that may not sign others was given as an authority.
    #[error("the certificate is no certificate authority: {0}")]
    NotAnAuthority(&'static str),
    /// The authority's own certificate has run out.
    #[error("the certificate authority expired at {not_after}; rotate to a new one")]
    AuthorityExpired {
        /// The end of its validity.
        not_after: DateTime<Utc>,
    },
    /// A server certificate was asked for without a name.
    #[error("a server certificate needs at least one DNS name or IP address")]
    NoNames,
    /// A name that is neither a DNS name nor an IP address.
    #[error(
        "{0:?} is neither a DNS name nor an IP address; give the name alone, without scheme and port"
    )]
    Name(String),
    /// A moment that X.509 cannot write.
    #[error("{0} is outside of the years 1970 to 9999; set the machine's clock")]
    Time(DateTime<Utc>),
    /// Neither one nor two roots.
    #[error(
        "{0} root certificates given; one is trusted, or two different ones while the authority is rotated"
    )]
    RootCount(usize),
    /// rcgen could not build or sign.
    #[error("the certificate could not be made: {0}")]
    Issue(rcgen::Error),
    /// rustls refused a configuration.
    #[error("the TLS configuration was refused: {0}")]
    Tls(String),
}

impl From<rustls::Error> for PkiError {
    fn from(error: rustls::Error) -> Self {
        match error {
            rustls::Error::InconsistentKeys(_) => Self::KeyMismatch,
            other => Self::Tls(other.to_string()),
        }
    }
}
