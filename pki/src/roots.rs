//! The authorities a machine trusts: one, or two while they are rotated.

use std::sync::Arc;

use rustls::{RootCertStore, pki_types::CertificateDer};

use crate::{
    certificate,
    error::PkiError,
    fingerprint::Fingerprint,
    pem::{self, encode_certificates},
};

/// The certificate of an authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root(CertificateDer<'static>);

impl Root {
    /// Refuses what may not sign certificates ([`PkiError::NotAnAuthority`]) or cannot be read.
    pub fn new(der: CertificateDer<'static>) -> Result<Self, PkiError> {
        check_authority(&der)?;
        Ok(Self(der))
    }

    /// The certificate's bytes.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.0
    }

    /// The SHA-256 that enrolment tokens carry.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.0)
    }

    /// The certificate as PEM text.
    pub fn to_pem(&self) -> String {
        encode_certificates(std::slice::from_ref(&self.0))
    }
}

pub(crate) fn check_authority(der: &CertificateDer<'_>) -> Result<(), PkiError> {
    let certificate = certificate::parse(der)?;
    let unreadable =
        |error: x509_parser::error::X509Error| PkiError::Certificate(error.to_string());
    let constraints = certificate.basic_constraints().map_err(unreadable)?;
    if !constraints.is_some_and(|extension| extension.value.ca) {
        return Err(PkiError::NotAnAuthority(
            "its basic constraints do not say CA:TRUE",
        ));
    }
    let usage = certificate.key_usage().map_err(unreadable)?;
    if !usage.is_some_and(|extension| extension.value.key_cert_sign()) {
        return Err(PkiError::NotAnAuthority("its key usage lacks keyCertSign"));
    }
    Ok(())
}

/// One trusted root, or the old and the new one during a rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustRoots {
    roots: Vec<Root>,
}

impl TrustRoots {
    /// Trust in one authority.
    pub fn single(root: Root) -> Self {
        Self { roots: vec![root] }
    }

    /// Trust in both authorities of a rotation.
    pub fn overlap(old: Root, new: Root) -> Self {
        Self {
            roots: vec![old, new],
        }
    }

    /// Reads one or two different authorities; anything else is [`PkiError::RootCount`].
    pub fn from_pem(text: &str) -> Result<Self, PkiError> {
        let roots = pem::certificates(text)?
            .into_iter()
            .map(Root::new)
            .collect::<Result<Vec<_>, _>>()?;
        match roots.as_slice() {
            [_] => Ok(Self { roots }),
            [old, new] if old != new => Ok(Self { roots }),
            _ => Err(PkiError::RootCount(roots.len())),
        }
    }

    /// All roots as PEM text, the older one first.
    pub fn to_pem(&self) -> String {
        self.roots.iter().map(Root::to_pem).collect()
    }

    /// The roots, the older one first.
    pub fn iter(&self) -> impl Iterator<Item = &Root> {
        self.roots.iter()
    }

    /// Their fingerprints, in the same order.
    pub fn fingerprints(&self) -> Vec<Fingerprint> {
        self.iter().map(Root::fingerprint).collect()
    }

    /// Whether a certificate is one of the roots.
    pub fn contains(&self, fingerprint: Fingerprint) -> bool {
        self.iter().any(|root| root.fingerprint() == fingerprint)
    }

    pub(crate) fn store(&self) -> Result<Arc<RootCertStore>, PkiError> {
        let mut store = RootCertStore::empty();
        for root in self.iter() {
            store.add(root.0.clone())?;
        }
        Ok(Arc::new(store))
    }
}
