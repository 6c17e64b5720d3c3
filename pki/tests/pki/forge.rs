//! Certificates and requests that the crate itself would never make.

use chrono::{DateTime, Utc};
use rcgen::{
    CertificateParams, DistinguishedName, Error, ExtendedKeyUsagePurpose, Issuer, KeyPair,
    PublicKeyData, SanType, SignatureAlgorithm, SigningKey,
};
use towline_pki::CertificateDer;

/// Shows the public half of one key and signs with another.
pub struct Impostor {
    pub shown: KeyPair,
    pub held: KeyPair,
}

impl PublicKeyData for Impostor {
    fn der_bytes(&self) -> &[u8] {
        self.shown.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.shown.algorithm()
    }
}

impl SigningKey for Impostor {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.held.sign(message)
    }
}

/// Parameters without a name or a right.
pub fn blank() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
}

pub fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

pub fn dns(text: &str) -> SanType {
    SanType::DnsName(text.try_into().unwrap())
}

/// A client certificate with these names, signed by itself.
pub fn client_leaf(names: &[SanType]) -> CertificateDer<'static> {
    let mut params = blank();
    params.subject_alt_names = names.to_vec();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
        .self_signed(&KeyPair::generate().unwrap())
        .unwrap()
        .into()
}

/// A client certificate for `name`, signed by whoever holds an issuing certificate and its key.
pub fn signed_with(
    issuer: &CertificateDer<'static>,
    issuer_key_pem: &str,
    name: &str,
    key: &KeyPair,
    now: DateTime<Utc>,
) -> CertificateDer<'static> {
    let mut params = blank();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let hour = std::time::Duration::from_hours(1);
    let now = std::time::Duration::from_secs(now.timestamp().try_into().unwrap());
    params.not_before = epoch + now - hour;
    params.not_after = epoch + now + hour;
    params.subject_alt_names = vec![uri(name)];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let issuer_key = KeyPair::from_pem(issuer_key_pem).unwrap();
    let issuer = Issuer::from_ca_cert_der(issuer, &issuer_key).unwrap();
    params.signed_by(key, &issuer).unwrap().into()
}
