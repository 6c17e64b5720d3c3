//! SHA-256 fingerprints of certificates and public keys.

use std::{fmt, str::FromStr};

use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The SHA-256 of a certificate's DER, or of a public key's (`SubjectPublicKeyInfo`).
///
/// Written as 64 lower-case hex digits; read also with a `sha256:` prefix, with colons, and in
/// capitals, as `openssl x509 -fingerprint` prints it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// The fingerprint of a certificate.
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        Self::of_der(certificate)
    }

    pub(crate) fn of_der(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

pub(crate) fn write_hex(f: &mut impl fmt::Write, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// Text that is no SHA-256 fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a SHA-256 fingerprint: expected 64 hex digits, optionally with `sha256:` in front and colons between"
)]
pub struct FingerprintError;

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        let mut nibbles = digits.chars().filter(|c| *c != ':').map(nibble);
        let mut bytes = [0; 32];
        for byte in &mut bytes {
            let (high, low) = nibbles.next().zip(nibbles.next()).ok_or(FingerprintError)?;
            *byte = high? << 4 | low?;
        }
        match nibbles.next() {
            None => Ok(Self(bytes)),
            Some(_) => Err(FingerprintError),
        }
    }
}

fn nibble(digit: char) -> Result<u8, FingerprintError> {
    digit
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
        .ok_or(FingerprintError)
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.to_string()
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = FingerprintError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "00ff102030405060708090a0b0c0d0e0f0112233445566778899aabbccddeeff";

    #[test]
    fn one_fingerprint_has_many_spellings() -> Result<(), FingerprintError> {
        let expected: Fingerprint = HEX.parse()?;
        let colons = HEX
            .as_bytes()
            .chunks(2)
            .map(String::from_utf8_lossy)
            .collect::<Vec<_>>()
            .join(":");
        for spelling in [
            HEX.to_uppercase(),
            format!("sha256:{HEX}"),
            colons.to_uppercase(),
            format!("sha256:{colons}"),
            format!(" {HEX}\n"),
        ] {
            assert_eq!(spelling.parse(), Ok(expected), "{spelling}");
        }
        assert_eq!(expected.to_string(), HEX);
        Ok(())
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "sha256:",
            "00",
            &HEX[1..],
            &format!("{HEX}00"),
            &HEX.replace('f', "g"),
            &format!("sha512:{HEX}"),
        ] {
            assert_eq!(
                text.parse::<Fingerprint>(),
                Err(FingerprintError),
                "{text:?}"
            );
        }
    }
}
