//! Serial numbers of certificates, by which the control plane revokes.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{error::PkiError, fingerprint::write_hex};

/// RFC 5280 allows 20 bytes; the authority gives 16 random ones.
const LIMIT: usize = 20;

/// A certificate's serial number as lower-case hex of its significant bytes, so that one number has
/// one spelling.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Serial(String);

impl Serial {
    /// 128 random bits, and the serial they spell.
    pub(crate) fn random() -> Result<([u8; 16], Self), PkiError> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok((bytes, Self::from_be_bytes(&bytes)))
    }

    pub(crate) fn from_be_bytes(bytes: &[u8]) -> Self {
        let zeroes = bytes.iter().take_while(|byte| **byte == 0).count();
        let mut hex = String::with_capacity(2 * bytes.len());
        // Writing into a String cannot fail.
        let _ = write_hex(&mut hex, &bytes[zeroes..]);
        Self(hex)
    }

    /// The hex digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Serial({})", self.0)
    }
}

/// Text that is no serial number in its one spelling.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a certificate serial: expected 2 to 40 lower-case hex digits, an even number, without leading zero bytes"
)]
pub struct SerialError;

impl FromStr for Serial {
    type Err = SerialError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hex = text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let length = text.len();
        if hex
            && length.is_multiple_of(2)
            && (2..=2 * LIMIT).contains(&length)
            && !text.starts_with("00")
        {
            Ok(Self(text.to_owned()))
        } else {
            Err(SerialError)
        }
    }
}

impl From<Serial> for String {
    fn from(serial: Serial) -> Self {
        serial.0
    }
}

impl TryFrom<String> for Serial {
    type Error = SerialError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_has_one_spelling() {
        for (bytes, hex) in [
            (&[0x0a_u8][..], "0a"),
            (&[0, 0x8f, 0x01], "8f01"),
            (&[0, 0, 1, 0], "0100"),
        ] {
            let serial = Serial::from_be_bytes(bytes);
            assert_eq!(serial.as_str(), hex);
            assert_eq!(hex.parse(), Ok(serial));
        }
        for text in ["", "a", "008f01", "8F01", "0x8f", &"11".repeat(21)] {
            assert_eq!(text.parse::<Serial>(), Err(SerialError), "{text:?}");
        }
    }
}
