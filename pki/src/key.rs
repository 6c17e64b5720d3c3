//! The one kind of key that Towline makes: ECDSA P-256, in PKCS#8, wiped when dropped.

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use crate::{error::PkiError, fingerprint::Fingerprint, pem};

#[derive(Debug)]
pub(crate) struct P256Key(Zeroizing<KeyPair>);

impl P256Key {
    pub(crate) fn generate() -> Result<Self, PkiError> {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(PkiError::Issue)?;
        Ok(Self(Zeroizing::new(pair)))
    }

    pub(crate) fn from_pem(text: &str) -> Result<Self, PkiError> {
        let der = pem::private_key(text)?;
        let pair = KeyPair::from_der_and_sign_algo(&der, &PKCS_ECDSA_P256_SHA256)
            .map_err(PkiError::Key)?;
        Ok(Self(Zeroizing::new(pair)))
    }

    pub(crate) fn to_pem(&self) -> Zeroizing<String> {
        pem::encode("PRIVATE KEY", self.0.serialized_der())
    }

    pub(crate) fn to_der(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.0.serialize_der()).into()
    }

    pub(crate) fn pair(&self) -> &KeyPair {
        &self.0
    }

    /// The fingerprint of the public half, as [`certificate::spki`](crate::certificate::spki) finds
    /// it in a certificate.
    pub(crate) fn spki(&self) -> Fingerprint {
        Fingerprint::of_der(&self.0.subject_public_key_info())
    }
}
