//! Trust by fingerprint: the first connection of an enrolment knows one hash and nothing else.

use std::{error::Error as StdError, io, sync::Arc};

use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};

use crate::fingerprint::Fingerprint;

/// The server is another than the token was made for: the address is wrong, the installation was
/// made anew, or somebody is in between.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "this server's CA is {presented}, the token was made for {expected}; check the address, or make a new token on this server"
)]
pub struct PinMismatch {
    /// The last certificate that the server presented.
    pub presented: Fingerprint,
    /// What the token carries.
    pub expected: Fingerprint,
}

impl PinMismatch {
    /// Looks for this cause in an error of tokio-rustls, reqwest or the like.
    pub fn find_in<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e Self> {
        if let Some(found) = error.downcast_ref::<Self>() {
            return Some(found);
        }
        // rustls gives no source for this variant, and an io::Error skips its own payload.
        if let Some(Error::InvalidCertificate(CertificateError::Other(OtherError(cause)))) =
            error.downcast_ref()
        {
            return cause.downcast_ref::<Self>();
        }
        let payload = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        let cause = payload
            .map(|inner| inner as &(dyn StdError + 'static))
            .or_else(|| error.source());
        cause.and_then(Self::find_in)
    }
}

#[derive(Debug)]
pub(crate) struct PinnedVerifier {
    expected: Fingerprint,
    provider: Arc<CryptoProvider>,
}

impl PinnedVerifier {
    pub(crate) fn new(expected: Fingerprint, provider: Arc<CryptoProvider>) -> Self {
        Self { expected, provider }
    }

    fn pinned_root(
        &self,
        chain: &[CertificateDer<'_>],
        leaf: &CertificateDer<'_>,
    ) -> Result<RootCertStore, Error> {
        let mut store = RootCertStore::empty();
        if let Some(root) = chain
            .iter()
            .find(|certificate| Fingerprint::of(certificate) == self.expected)
        {
            store.add(root.clone().into_owned())?;
            return Ok(store);
        }
        let presented = Fingerprint::of(chain.last().unwrap_or(leaf));
        let mismatch = PinMismatch {
            presented,
            expected: self.expected,
        };
        Err(CertificateError::Other(OtherError(Arc::new(mismatch))).into())
    }
}

impl ServerCertVerifier for PinnedVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let root = self.pinned_root(intermediates, end_entity)?;
        let leaf = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&leaf, &root, intermediates, now, algorithms)?;
        verify_server_name(&leaf, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
