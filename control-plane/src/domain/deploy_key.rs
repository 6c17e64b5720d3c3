//! Keys by which repositories are read over ssh, in OpenSSH's own words.
//!
//! A key is of Ed25519 and for one repository of one project. Its private half is written as `ssh` reads it
//! (`PROTOCOL.key` of OpenSSH, "openssh-key-v1"), without a password: it is sealed where it is kept.

use data_encoding::BASE64;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use towline_shared::git::GitAddress;
use zeroize::Zeroizing;

const KIND: &[u8] = b"ssh-ed25519";
const SEED: usize = 32;
/// What the private part is padded to when it is not encrypted.
const BLOCK: usize = 8;
/// How many characters a line of the file has.
const LINE: usize = 70;

/// The keys of servers that publish them: over https, which proves who says so.
///
/// <https://api.github.com/meta>, <https://docs.gitlab.com/user/gitlab_com/#ssh-known_hosts-entries>,
/// <https://bitbucket.org/site/ssh>.
const PUBLISHED: [(&str, &str); 3] = [
    (
        "github.com",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl",
    ),
    (
        "gitlab.com",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAfuCHKVTjquxvt6CM6tdG4SLp1Btn/nOeHHE5UOzRdf",
    ),
    (
        "bitbucket.org",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIazEu89wgQZ4bqs3d63QSMzYVa0MuJ2e2gKTKqu+UUO",
    ),
];

/// A key that was just made.
pub struct MadeKey {
    /// For the forge: one line.
    pub public: String,
    /// For ssh: a file.
    pub private: Zeroizing<String>,
}

/// No random bytes, or none of which a key can be made.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the system gave no random bytes for a key")]
pub struct NoKey;

/// Makes a key. The comment tells people at the forge whose it is.
pub fn make(comment: &str) -> Result<MadeKey, NoKey> {
    let mut random = Zeroizing::new([0; SEED + 4]);
    getrandom::fill(random.as_mut_slice()).map_err(|_| NoKey)?;
    let (seed, check) = random.split_at(SEED);
    let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| NoKey)?;
    let public = pair.public_key().as_ref();
    let blob = public_blob(public);
    Ok(MadeKey {
        public: format!("ssh-ed25519 {} {comment}", BASE64.encode(&blob)),
        private: file(&blob, &private_part(seed, public, check)),
    })
}

/// The server's keys, when it publishes them: lines of a `known_hosts` file.
pub fn published(address: &GitAddress) -> Option<Vec<String>> {
    let known_as = address.known_as();
    let found = PUBLISHED.iter().find(|(host, _)| *host == known_as);
    found.map(|(host, key)| vec![format!("{host} {key}")])
}

/// The page at which the forge takes deploy keys, when it is one of those that we know.
pub fn settings_page(address: &GitAddress) -> Option<String> {
    let path = address.path().trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    let page = match address.host() {
        "github.com" => "settings/keys",
        "gitlab.com" => "-/settings/repository",
        "bitbucket.org" => "admin/access-keys/",
        _ => return None,
    };
    Some(format!("https://{}/{path}/{page}", address.host()))
}

/// A value with its length before it (RFC 4251, 5).
fn put(to: &mut Vec<u8>, value: &[u8]) {
    let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
    to.extend_from_slice(&length.to_be_bytes());
    to.extend_from_slice(value);
}

fn public_blob(public: &[u8]) -> Vec<u8> {
    let mut blob = Vec::new();
    put(&mut blob, KIND);
    put(&mut blob, public);
    blob
}

/// Twice the same number, by which a wrong password would be seen; the key; and a count up to the block's end.
fn private_part(seed: &[u8], public: &[u8], check: &[u8]) -> Zeroizing<Vec<u8>> {
    // So large that it never moves, which would leave what it held behind.
    let mut part = Zeroizing::new(Vec::with_capacity(256));
    part.extend_from_slice(check);
    part.extend_from_slice(check);
    put(&mut part, KIND);
    put(&mut part, public);
    let both = Zeroizing::new([seed, public].concat());
    put(&mut part, &both);
    put(&mut part, b"");
    let mut padding = 0;
    while part.len() % BLOCK != 0 {
        padding += 1;
        part.push(padding);
    }
    part
}

fn file(public: &[u8], private: &[u8]) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(512));
    bytes.extend_from_slice(b"openssh-key-v1\0");
    // No cipher, no way from a password to its key, and nothing to know about that way.
    for word in [&b"none"[..], b"none", b""] {
        put(&mut bytes, word);
    }
    bytes.extend_from_slice(&1_u32.to_be_bytes());
    put(&mut bytes, public);
    put(&mut bytes, private);
    let encoded = Zeroizing::new(BASE64.encode(&bytes));
    let mut text = Zeroizing::new(String::with_capacity(1024));
    text.push_str("-----BEGIN OPENSSH PRIVATE KEY-----\n");
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, behind) = rest.split_at(rest.len().min(LINE));
        text.push_str(line);
        text.push('\n');
        rest = behind;
    }
    text.push_str("-----END OPENSSH PRIVATE KEY-----\n");
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    use std::process::Command;

    use towline_shared::git::PublicKey;

    use super::*;

    #[test]
    fn openssh_takes_a_key_for_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..4 {
            let made = make("towline-shop").unwrap();
            let path = folder.path().join(number.to_string());
            let mut options = std::fs::File::options();
            options.write(true).create_new(true).mode(0o600);
            let mut file = options.open(&path).unwrap();
            file.write_all(made.private.as_bytes()).unwrap();
            let keygen = |option: &str| {
                let mut command = Command::new("ssh-keygen");
                let output = command.args([option, "-f"]).arg(&path).output().unwrap();
                assert!(output.status.success(), "{output:?}");
                String::from_utf8(output.stdout).unwrap()
            };
            let key: PublicKey = made.public.parse().unwrap();
            assert_eq!(keygen("-y").trim(), key.to_string());
            let shown = keygen("-l");
            assert!(shown.contains(&key.fingerprint()), "{shown}");
        }
    }

    #[test]
    fn no_two_keys_are_one() {
        let (one, other) = (make("x").unwrap(), make("x").unwrap());
        assert_ne!(one.public, other.public);
        assert_ne!(one.private, other.private);
    }

    /// As the forges tell their users, in words of their own.
    #[test]
    fn published_keys_have_the_published_fingerprints() {
        let table = [
            (
                "git@github.com:a/b.git",
                "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU",
                "https://github.com/a/b/settings/keys",
            ),
            (
                "git@gitlab.com:a/c/b.git",
                "SHA256:eUXGGm1YGsMAS7vkcx6JOJdOGHPem5gQp4taiCfCLB8",
                "https://gitlab.com/a/c/b/-/settings/repository",
            ),
            (
                "ssh://git@bitbucket.org/a/b",
                "SHA256:ybgmFkzwOSotHTHLJgHO0QN8L0xErw6vd0VhFA9m3SM",
                "https://bitbucket.org/a/b/admin/access-keys/",
            ),
        ];
        for (address, fingerprint, page) in table {
            let address: GitAddress = address.parse().unwrap();
            let keys = published(&address).unwrap();
            let key = PublicKey::of_known_host(&keys[0]).unwrap();
            assert_eq!(key.fingerprint(), fingerprint);
            assert_eq!(settings_page(&address).as_deref(), Some(page));
        }
        for address in ["ssh://git@github.com:2222/a/b", "git@git.example.org:a/b"] {
            assert_eq!(published(&address.parse().unwrap()), None, "{address}");
        }
    }
}
