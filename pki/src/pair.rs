//! A certificate chain and the key of its leaf, read together.

use rustls::{
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer},
    sign::CertifiedKey,
};

use crate::{error::PkiError, pem};

/// Reads both and refuses a key that is another's. The chain has at least one certificate.
pub(crate) fn from_pem(
    chain: &str,
    key: &str,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), PkiError> {
    let chain = pem::certificates(chain)?;
    let key = pem::private_key(key)?;
    CertifiedKey::from_der(chain.clone(), key.clone_key(), &ring::default_provider())?;
    Ok((chain, key))
}
