//! PEM, both ways. Written by hand because the text of a private key must be wiped, which no writer
//! at hand does.

use base64::{Engine, engine::general_purpose::STANDARD};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use zeroize::Zeroizing;

use crate::error::PkiError;

/// RFC 7468 wraps at 64 characters.
const LINE: usize = 64;

pub(crate) fn encode(label: &str, der: &[u8]) -> Zeroizing<String> {
    let body = Zeroizing::new(STANDARD.encode(der));
    // Grown once, so that no reallocation leaves a copy of a key behind.
    let mut text = Zeroizing::new(String::with_capacity(
        body.len() + body.len() / LINE + 2 * label.len() + 40,
    ));
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(LINE));
        text.push_str(line);
        text.push('\n');
        rest = tail;
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

pub(crate) fn encode_certificates(chain: &[CertificateDer<'_>]) -> String {
    chain
        .iter()
        .map(|der| encode("CERTIFICATE", der).to_string())
        .collect()
}

pub(crate) fn encode_key(key: &PrivateKeyDer<'_>) -> Zeroizing<String> {
    let label = match key {
        PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
        PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
        _ => "PRIVATE KEY",
    };
    encode(label, key.secret_der())
}

/// All certificates of the text, at least one, in its order.
pub(crate) fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, PkiError> {
    let refusal = |cause: String| PkiError::Pem {
        what: "certificate",
        cause,
    };
    let chain = CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| refusal(error.to_string()))?;
    if chain.is_empty() {
        return Err(refusal("there is no BEGIN CERTIFICATE line".to_owned()));
    }
    Ok(chain)
}

pub(crate) fn private_key(text: &str) -> Result<PrivateKeyDer<'static>, PkiError> {
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| PkiError::Pem {
        what: "private key",
        cause: error.to_string(),
    })
}
