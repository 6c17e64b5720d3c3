//! Signing requests: made on the host, judged by the authority.
//!
//! A request brings a public key and the proof that the sender holds its private half. Names and
//! rights are the authority's to give, so a request that asks for any is refused rather than
//! trimmed: whoever wrote it expects something that it would not get.

use rcgen::{CertificateParams, CertificateSigningRequest, DistinguishedName};
use rustls::pki_types::{CertificateSigningRequestDer, pem::PemObject};
use x509_parser::{
    certification_request::X509CertificationRequest,
    cri_attributes::{ParsedCriAttribute, X509CriAttribute},
    extensions::{ParsedExtension, X509Extension},
    oid_registry::OID_SIG_ECDSA_WITH_SHA256,
    prelude::FromDer,
};
use zeroize::Zeroizing;

use crate::{error::PkiError, fingerprint::Fingerprint, key::P256Key, pem};

/// The longest request that is looked at, in bytes; ours have about 350 as PEM.
pub const CSR_LIMIT: usize = 8 * 1024;

/// The `SubjectPublicKeyInfo` of every uncompressed P-256 key up to its point. To demand these
/// bytes gives one key one encoding, and so one fingerprint to revoke.
const P256_PREFIX: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];
const P256_SPKI: usize = P256_PREFIX.len() + 64;

/// An agent's private key. It is made on the host and never leaves it.
#[derive(Debug)]
pub struct AgentKey(P256Key);

impl AgentKey {
    /// Makes a new key.
    pub fn generate() -> Result<Self, PkiError> {
        P256Key::generate().map(Self)
    }

    /// Reads a key back.
    pub fn from_pem(text: &str) -> Result<Self, PkiError> {
        P256Key::from_pem(text).map(Self)
    }

    /// The key as PEM text; to be stored with mode 0600.
    pub fn key_pem(&self) -> Zeroizing<String> {
        self.0.to_pem()
    }

    /// SHA-256 of the public half.
    pub fn spki(&self) -> Fingerprint {
        self.0.spki()
    }

    /// A signing request for this key, as PEM text.
    pub fn csr_pem(&self) -> Result<String, PkiError> {
        Ok(pem::encode("CERTIFICATE REQUEST", self.request()?.der()).to_string())
    }

    /// A signing request for this key, as DER.
    pub fn csr_der(&self) -> Result<Vec<u8>, PkiError> {
        Ok(self.request()?.der().to_vec())
    }

    fn request(&self) -> Result<CertificateSigningRequest, PkiError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params
            .serialize_request(self.0.pair())
            .map_err(PkiError::Issue)
    }
}

/// Why the authority does not sign a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CsrRefusal {
    /// Longer than [`CSR_LIMIT`].
    #[error("the signing request has {bytes} bytes; at most {CSR_LIMIT} are read")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// PEM text without a readable request.
    #[error("the PEM text holds no CERTIFICATE REQUEST: {0}")]
    Pem(String),
    /// Bytes that are no PKCS#10 request, or more than one.
    #[error("this is no PKCS#10 signing request: {0}")]
    NotARequest(String),
    /// Another kind of key.
    #[error("the key is not ECDSA P-256 (uncompressed); make it with `towline-agent enroll`")]
    KeyKind,
    /// Signed by another algorithm.
    #[error("the request is not signed by ECDSA with SHA-256 but by algorithm {0}")]
    SignatureAlgorithm(String),
    /// The signature is not the key's: the sender does not hold the private half.
    #[error("the request's signature does not fit its key")]
    Signature,
    /// It names a subject.
    #[error("the request names the subject {0:?}; leave it empty, the authority gives the name")]
    AsksForSubject(String),
    /// It asks to be an authority, or speaks of it.
    #[error(
        "the request asks for basic constraints (CA:TRUE or a path length); agents are no authorities"
    )]
    AsksForAuthority,
    /// It asks for key usages.
    #[error("the request asks for key usages; the authority gives them")]
    AsksForKeyUsage,
    /// It asks for extended key usages.
    #[error("the request asks for extended key usages; the authority gives them")]
    AsksForExtendedKeyUsage,
    /// It asks for alternative names.
    #[error("the request asks for subject alternative names; the authority gives the one name")]
    AsksForNames,
    /// It asks for any other extension.
    #[error("the request asks for the extension {0}; none may be asked for")]
    AsksForExtension(String),
    /// It carries an attribute that is no request for extensions.
    #[error("the request carries the attribute {0}; none may be carried")]
    Attribute(String),
}

/// A request that has passed: a P-256 key whose holder signed it, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentCsr {
    public_key: Vec<u8>,
}

impl AgentCsr {
    /// Reads and judges a request, as PEM or DER.
    pub fn parse(input: &[u8]) -> Result<Self, CsrRefusal> {
        if input.len() > CSR_LIMIT {
            return Err(CsrRefusal::TooLarge { bytes: input.len() });
        }
        if input.trim_ascii_start().starts_with(b"-----BEGIN ") {
            let der = CertificateSigningRequestDer::from_pem_slice(input)
                .map_err(|error| CsrRefusal::Pem(error.to_string()))?;
            Self::from_der(&der)
        } else {
            Self::from_der(input)
        }
    }

    fn from_der(der: &[u8]) -> Result<Self, CsrRefusal> {
        let request = match X509CertificationRequest::from_der(der) {
            Ok(([], request)) => request,
            Ok((rest, _)) => {
                return Err(CsrRefusal::NotARequest(format!(
                    "{} bytes follow its end",
                    rest.len()
                )));
            }
            Err(error) => return Err(CsrRefusal::NotARequest(error.to_string())),
        };
        let public_key = request.certification_request_info.subject_pki.raw;
        check_key(public_key)?;
        check_signature(&request)?;
        check_wishes(&request)?;
        Ok(Self {
            public_key: public_key.to_vec(),
        })
    }

    /// SHA-256 of the public key.
    pub fn spki(&self) -> Fingerprint {
        Fingerprint::of_der(&self.public_key)
    }

    /// The `SubjectPublicKeyInfo`, as DER.
    pub(crate) fn public_key(&self) -> &[u8] {
        &self.public_key
    }
}

fn check_key(spki: &[u8]) -> Result<(), CsrRefusal> {
    if spki.len() == P256_SPKI && spki.starts_with(&P256_PREFIX) {
        Ok(())
    } else {
        Err(CsrRefusal::KeyKind)
    }
}

fn check_signature(request: &X509CertificationRequest<'_>) -> Result<(), CsrRefusal> {
    let algorithm = request.signature_algorithm.oid();
    if *algorithm != OID_SIG_ECDSA_WITH_SHA256 {
        return Err(CsrRefusal::SignatureAlgorithm(algorithm.to_id_string()));
    }
    request
        .verify_signature()
        .map_err(|_| CsrRefusal::Signature)
}

fn check_wishes(request: &X509CertificationRequest<'_>) -> Result<(), CsrRefusal> {
    let info = &request.certification_request_info;
    if info.subject.iter_rdn().next().is_some() {
        return Err(CsrRefusal::AsksForSubject(info.subject.to_string()));
    }
    info.attributes()
        .first()
        .map_or(Ok(()), |attribute| Err(refuse_attribute(attribute)))
}

fn refuse_attribute(attribute: &X509CriAttribute<'_>) -> CsrRefusal {
    match attribute.parsed_attribute() {
        ParsedCriAttribute::ExtensionRequest(wishes) => match wishes.extensions.first() {
            Some(extension) => refuse_extension(extension),
            None => CsrRefusal::Attribute(attribute.oid.to_id_string()),
        },
        _ => CsrRefusal::Attribute(attribute.oid.to_id_string()),
    }
}

fn refuse_extension(extension: &X509Extension<'_>) -> CsrRefusal {
    match extension.parsed_extension() {
        ParsedExtension::BasicConstraints(_) => CsrRefusal::AsksForAuthority,
        ParsedExtension::KeyUsage(_) => CsrRefusal::AsksForKeyUsage,
        ParsedExtension::ExtendedKeyUsage(_) => CsrRefusal::AsksForExtendedKeyUsage,
        ParsedExtension::SubjectAlternativeName(_) => CsrRefusal::AsksForNames,
        _ => CsrRefusal::AsksForExtension(extension.oid.to_id_string()),
    }
}
