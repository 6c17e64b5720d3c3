//! Public keys as OpenSSH writes them.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE64, BASE64_NOPAD};
use sha2::{Digest as _, Sha256};

/// The longest key: of RSA with 16,384 bits.
const MAX: usize = 4096;
/// The kinds of keys that servers show. What is broken (DSA) or wants more than a key (certificates) is none.
const KINDS: [&str; 5] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
];

/// A public key: its kind and its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    kind: &'static str,
    bytes: Vec<u8>,
}

/// Text that is no public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no public key of ssh, such as `ssh-ed25519 AAAA…`")]
pub struct NoPublicKey;

impl PublicKey {
    /// Which kind it is.
    pub const fn kind(&self) -> &'static str {
        self.kind
    }

    /// What people compare: `SHA256:…`, as `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> String {
        format!(
            "SHA256:{}",
            BASE64_NOPAD.encode(&Sha256::digest(&self.bytes))
        )
    }

    /// The key of a line of a `known_hosts` file, which begins with whose it is.
    pub fn of_known_host(line: &str) -> Result<Self, NoPublicKey> {
        let (_, key) = line.split_once(' ').ok_or(NoPublicKey)?;
        key.parse()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, BASE64.encode(&self.bytes))
    }
}

impl FromStr for PublicKey {
    type Err = NoPublicKey;

    /// Reads kind and bytes; a comment behind them does not count.
    fn from_str(text: &str) -> Result<Self, NoPublicKey> {
        let mut words = text.split(' ');
        let kind = words.next().ok_or(NoPublicKey)?;
        let kind = KINDS.into_iter().find(|known| *known == kind);
        let (kind, bytes) = kind.zip(words.next()).ok_or(NoPublicKey)?;
        if bytes.len() > MAX || text.contains(char::is_control) {
            return Err(NoPublicKey);
        }
        let bytes = BASE64.decode(bytes.as_bytes()).map_err(|_| NoPublicKey)?;
        // The kind stands in the bytes once more, with its length before it (RFC 4253, 6.6).
        let length = u32::try_from(kind.len()).map_err(|_| NoPublicKey)?;
        let head = [&length.to_be_bytes(), kind.as_bytes()].concat();
        if bytes.starts_with(&head) && bytes.len() > head.len() {
            Ok(Self { kind, bytes })
        } else {
            Err(NoPublicKey)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

    #[test]
    fn a_key_is_read_and_known_by_its_fingerprint() {
        let key: PublicKey = format!("{KEY} of somebody").parse().unwrap();
        assert_eq!(key.to_string(), KEY);
        assert_eq!(key.kind(), "ssh-ed25519");
        assert_eq!(
            key.fingerprint(),
            "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"
        );
        let line = format!("[h]:2222 {KEY}");
        assert_eq!(PublicKey::of_known_host(&line), Ok(key));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let bytes = &KEY[12..];
        let long = format!("ssh-rsa {}", "A".repeat(MAX + 4));
        for text in [
            "",
            "ssh-ed25519",
            "ssh-ed25519 ",
            "ssh-ed25519 !",
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5",
            &format!("ssh-rsa {bytes}"),
            &format!("ssh-dss {bytes}"),
            &format!("{KEY}\nmore"),
            &long,
        ] {
            assert_eq!(text.parse::<PublicKey>(), Err(NoPublicKey), "{text:?}");
        }
        assert_eq!(PublicKey::of_known_host("@revoked"), Err(NoPublicKey));
        let marked = format!("@cert-authority * {KEY}");
        assert_eq!(PublicKey::of_known_host(&marked), Err(NoPublicKey));
    }
}
