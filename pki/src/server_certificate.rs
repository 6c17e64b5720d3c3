//! The certificate of one of our listeners.

use chrono::{DateTime, Utc};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use crate::{certificate, error::PkiError, pair, pem};

/// A chain and its key: issued by the [`Authority`](crate::Authority), or brought by the operator
/// as files.
#[derive(Debug)]
pub struct ServerCertificate {
    /// The leaf first. One of ours ends with the root, so that a client that holds only its
    /// fingerprint finds it.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's key.
    pub key: PrivateKeyDer<'static>,
    /// When the leaf expires.
    pub not_after: DateTime<Utc>,
}

impl ServerCertificate {
    pub(crate) fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        not_after: DateTime<Utc>,
    ) -> Self {
        Self {
            chain,
            key,
            not_after,
        }
    }

    /// Reads a chain (leaf first) and its key, of any kind that ring knows; they must belong
    /// together.
    pub fn from_pem(chain: &str, key: &str) -> Result<Self, PkiError> {
        let (chain, key) = pair::from_pem(chain, key)?;
        let not_after = certificate::not_after(&certificate::parse(&chain[0])?)?;
        Ok(Self::new(chain, key, not_after))
    }

    /// The chain as PEM text, leaf first.
    pub fn chain_pem(&self) -> String {
        pem::encode_certificates(&self.chain)
    }

    /// The key as PEM text; to be stored with mode 0600.
    pub fn key_pem(&self) -> Zeroizing<String> {
        pem::encode_key(&self.key)
    }
}

impl Clone for ServerCertificate {
    fn clone(&self) -> Self {
        Self::new(self.chain.clone(), self.key.clone_key(), self.not_after)
    }
}
