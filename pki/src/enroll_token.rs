//! Enrolment tokens: all that a host needs to become an agent, in one word to paste.
//!
//! `twl1_` and base64url of: the authority's fingerprint (32 bytes), the secret (32 bytes), the
//! address (the rest), and the first four bytes of the SHA-256 of all that. The checksum tells a
//! bad paste from a bad token.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rustls::pki_types::ServerName;
use zeroize::Zeroizing;

use crate::{error::PkiError, fingerprint::Fingerprint, secret::EnrollSecret};

const FAMILY: &str = "twl";
const VERSION: u32 = 1;
const CHECKSUM: usize = 4;
/// A DNS name has at most 253 characters; scheme and port come on top.
const ADDRESS_LIMIT: usize = 253 + 16;
const LIMIT: usize = 1024;

/// A single-use, short-lived right to become an agent. [`Display`](fmt::Display) tells the secret;
/// [`Debug`] does not.
#[derive(Debug, Clone)]
pub struct EnrollToken {
    /// The public listener, as `https://host` or `https://host:port`.
    pub address: String,
    /// The authority that the listener's chain must hold.
    pub ca: Fingerprint,
    /// What the control plane knows the token by, hashed.
    pub secret: EnrollSecret,
}

/// Why a text is no usable enrolment token.
#[derive(Debug, thiserror::Error)]
pub enum EnrollTokenError {
    /// Something else was pasted.
    #[error(
        "this is no Towline enrolment token; one starts with `twl1_`, and `towline agents token` makes it"
    )]
    NotAToken,
    /// A piece is missing, or a character changed.
    #[error("the enrolment token is truncated or damaged; copy the whole of it again")]
    Damaged,
    /// A newer control plane made it.
    #[error(
        "the enrolment token is of version {0}, this program reads version 1; install the control plane's agent version"
    )]
    LaterVersion(u32),
    /// The address is not that of a public listener.
    #[error("the address {0:?} is not of the form https://host or https://host:port")]
    Address(String),
    /// No secret could be made.
    #[error(transparent)]
    Secret(#[from] PkiError),
}

impl EnrollToken {
    /// Makes a token with a new secret for the installation at `address` whose listener presents
    /// the root `ca`.
    pub fn mint(address: &str, ca: Fingerprint) -> Result<Self, EnrollTokenError> {
        check_address(address)?;
        Ok(Self {
            address: address.to_owned(),
            ca,
            secret: EnrollSecret::generate()?,
        })
    }
}

impl fmt::Display for EnrollToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = 64 + self.address.len() + CHECKSUM;
        let mut bytes = Zeroizing::new(Vec::with_capacity(length));
        bytes.extend_from_slice(&self.ca.0);
        bytes.extend_from_slice(self.secret.as_bytes());
        bytes.extend_from_slice(self.address.as_bytes());
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum);
        let body = Zeroizing::new(URL_SAFE_NO_PAD.encode(&*bytes));
        write!(f, "{FAMILY}{VERSION}_{}", *body)
    }
}

impl FromStr for EnrollToken {
    type Err = EnrollTokenError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let body = body_of_this_version(text.trim())?;
        if body.len() > LIMIT {
            return Err(EnrollTokenError::Damaged);
        }
        let bytes = Zeroizing::new(
            URL_SAFE_NO_PAD
                .decode(body)
                .map_err(|_| EnrollTokenError::Damaged)?,
        );
        let (content, sum) = bytes
            .split_last_chunk::<CHECKSUM>()
            .ok_or(EnrollTokenError::Damaged)?;
        if checksum(content) != *sum {
            return Err(EnrollTokenError::Damaged);
        }
        let (ca, rest) = content
            .split_first_chunk::<32>()
            .ok_or(EnrollTokenError::Damaged)?;
        let (secret, address) = rest
            .split_first_chunk::<32>()
            .ok_or(EnrollTokenError::Damaged)?;
        let address = str::from_utf8(address).map_err(|_| EnrollTokenError::Damaged)?;
        check_address(address)?;
        Ok(Self {
            address: address.to_owned(),
            ca: Fingerprint(*ca),
            secret: EnrollSecret::from_bytes(*secret),
        })
    }
}

fn body_of_this_version(text: &str) -> Result<&str, EnrollTokenError> {
    let rest = text
        .strip_prefix(FAMILY)
        .ok_or(EnrollTokenError::NotAToken)?;
    let (version, body) = rest.split_once('_').ok_or(EnrollTokenError::NotAToken)?;
    if !version.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(EnrollTokenError::NotAToken);
    }
    match version.parse() {
        Ok(VERSION) => Ok(body),
        Ok(later) if later > VERSION => Err(EnrollTokenError::LaterVersion(later)),
        _ => Err(EnrollTokenError::NotAToken),
    }
}

fn checksum(content: &[u8]) -> [u8; CHECKSUM] {
    let [a, b, c, d, ..] = Fingerprint::of_der(content).0;
    [a, b, c, d]
}

fn check_address(address: &str) -> Result<(), EnrollTokenError> {
    let authority = address
        .strip_prefix("https://")
        .filter(|_| address.len() <= ADDRESS_LIMIT);
    match authority.and_then(host) {
        Some(host) if ServerName::try_from(host).is_ok() => Ok(()),
        _ => Err(EnrollTokenError::Address(address.to_owned())),
    }
}

/// The host of `host`, `host:port`, `[ipv6]` or `[ipv6]:port`.
fn host(authority: &str) -> Option<&str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let port_is_right = match port.strip_prefix(':') {
        Some(digits) => {
            digits.parse::<u16>().is_ok_and(|port| port > 0) && !digits.starts_with('+')
        }
        None => port.is_empty(),
    };
    port_is_right.then_some(host)
}
