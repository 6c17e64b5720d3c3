//! Random secrets, of which only the hash is stored.
//!
//! A secret is looked up by its hash, never compared to another: an attacker who times the look-up
//! learns about the hashes of guesses, which say nothing about a 256-bit secret. So no comparison
//! here has to take constant time, and the secrets have no `PartialEq` that would invite one. Nor
//! is a slow hash needed: there is nothing to guess.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use crate::{error::PkiError, fingerprint::Fingerprint};

/// The secret half of an enrolment token: 32 random bytes, wiped when dropped and never printed.
#[derive(Clone)]
pub struct EnrollSecret(Zeroizing<[u8; 32]>);

impl EnrollSecret {
    /// Makes a new secret.
    pub fn generate() -> Result<Self, PkiError> {
        random().map(Self)
    }

    /// SHA-256 as hex, as the database stores it.
    pub fn hash(&self) -> String {
        Fingerprint::of_der(&*self.0).to_string()
    }

    /// The secret as base64url, for the body of the enrolment request; [`FromStr`] reads it.
    pub fn reveal(&self) -> Zeroizing<String> {
        Zeroizing::new(URL_SAFE_NO_PAD.encode(self.0.as_slice()))
    }

    pub(crate) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for EnrollSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EnrollSecret([redacted])")
    }
}

/// Text that is no enrolment secret. It does not repeat the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an enrolment secret: expected 43 characters of base64url")]
pub struct EnrollSecretError;

impl FromStr for EnrollSecret {
    type Err = EnrollSecretError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = Zeroizing::new(
            URL_SAFE_NO_PAD
                .decode(text)
                .map_err(|_| EnrollSecretError)?,
        );
        <[u8; 32]>::try_from(bytes.as_slice())
            .map(Self::from_bytes)
            .map_err(|_| EnrollSecretError)
    }
}

/// A new secret for an API key or a set-up link: the prefix, `_`, and 32 random bytes in base64url.
pub fn random_token(prefix: &str) -> Result<Zeroizing<String>, PkiError> {
    let body = Zeroizing::new(URL_SAFE_NO_PAD.encode(random()?.as_slice()));
    let mut token = Zeroizing::new(String::with_capacity(prefix.len() + 1 + body.len()));
    token.push_str(prefix);
    token.push('_');
    token.push_str(&body);
    Ok(token)
}

/// SHA-256 of a whole token as hex, as the database stores it.
pub fn hash_token(token: &str) -> String {
    Fingerprint::of_der(token.as_bytes()).to_string()
}

fn random() -> Result<Zeroizing<[u8; 32]>, PkiError> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_secret_is_told_only_on_purpose() {
        let secret = EnrollSecret::generate().unwrap();
        assert_eq!(format!("{secret:?}"), "EnrollSecret([redacted])");
        let read: EnrollSecret = secret.reveal().parse().unwrap();
        assert_eq!(read.hash(), secret.hash());
        assert_ne!(EnrollSecret::generate().unwrap().hash(), secret.hash());
        for text in ["", "abc", &"A".repeat(42), &"A".repeat(44), &"%".repeat(43)] {
            assert!(text.parse::<EnrollSecret>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_token_shows_what_it_is_for() {
        let token = random_token("twlk").unwrap();
        assert_eq!((token.len(), &token[..5]), (5 + 43, "twlk_"));
        assert_ne!(*token, *random_token("twlk").unwrap());
        // From `printf abc | sha256sum`.
        assert_eq!(
            hash_token("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
