//! Reading certificates: the few fields that the rest of the crate asks for.

use chrono::{DateTime, Utc};
use rustls::pki_types::CertificateDer;
use x509_parser::{certificate::X509Certificate, prelude::FromDer, time::ASN1Time};

use crate::{error::PkiError, fingerprint::Fingerprint};

pub(crate) fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, PkiError> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok((rest, _)) => Err(PkiError::Certificate(format!(
            "{} bytes follow its end",
            rest.len()
        ))),
        Err(error) => Err(PkiError::Certificate(error.to_string())),
    }
}

pub(crate) fn spki(certificate: &X509Certificate<'_>) -> Fingerprint {
    Fingerprint::of_der(certificate.public_key().raw)
}

pub(crate) fn not_before(certificate: &X509Certificate<'_>) -> Result<DateTime<Utc>, PkiError> {
    moment(certificate.validity().not_before)
}

pub(crate) fn not_after(certificate: &X509Certificate<'_>) -> Result<DateTime<Utc>, PkiError> {
    moment(certificate.validity().not_after)
}

fn moment(time: ASN1Time) -> Result<DateTime<Utc>, PkiError> {
    DateTime::from_timestamp(time.timestamp(), 0)
        .ok_or_else(|| PkiError::Certificate("its validity is out of range".to_owned()))
}
