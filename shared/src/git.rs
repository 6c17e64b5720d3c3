//! How both sides use the system's git: which addresses, and under which settings.
//!
//! Nothing of the machine's own configuration counts, no hook, filter, submodule or credential helper runs, no
//! redirect is followed, and only the protocol of the address itself is spoken. A password stands in the environment
//! of the one call, a key in a file of its own folder, and neither in an address or an argument. What runs git is each
//! side's own.

mod address;
mod complaint;
mod public_key;
pub mod ssh;
pub mod submodule;
mod tree;

use std::net::IpAddr;

use data_encoding::BASE64;

pub use address::{AddressError, GitAddress, Scheme};
pub use complaint::{Complaint, understand};
pub use public_key::{NoPublicKey, PublicKey};
pub use tree::{Entry, Kind, list, listed};

/// Where the commit that was asked for is, in a repository that [`fetch`] has filled.
pub const FETCHED: &str = "refs/towline/fetched";
/// The longest name of a branch or tag.
const MAX_REFERENCE: usize = 255;

/// By what a repository lets us read it.
#[derive(Clone, Copy)]
pub enum Credential<'a> {
    /// It is public.
    None,
    /// A user and a password or token, over https.
    Basic {
        /// The user; forges take any for a token.
        user: &'a str,
        /// The password or token.
        password: &'a str,
    },
    /// Over ssh, the key in the call's own folder ([`ssh::write`]).
    Key,
}

/// How a repository is reached.
#[derive(Clone, Copy)]
pub struct Reach<'a> {
    /// Its address.
    pub address: &'a GitAddress,
    /// By what it lets us read it.
    pub credential: Credential<'a>,
    /// Where its name leads, when that was judged already: no other address is called.
    pub pinned: Option<IpAddr>,
    /// A folder of the call's own, in place of a home.
    pub home: &'a str,
}

/// The environment of a call: all of it, beside `PATH`.
pub fn environment(reach: Reach<'_>) -> Vec<(String, String)> {
    let settings = settings(reach);
    let mut all: Vec<(String, String)> = [
        ("HOME", reach.home),
        ("LC_ALL", "C"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_ATTR_NOSYSTEM", "1"),
        ("GIT_TERMINAL_PROMPT", "0"),
        ("GIT_LFS_SKIP_SMUDGE", "1"),
        ("GIT_OPTIONAL_LOCKS", "0"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    if let Credential::Key = reach.credential {
        all.extend(ssh::environment());
    }
    all.push(("GIT_CONFIG_COUNT".to_owned(), settings.len().to_string()));
    for (number, (key, value)) in settings.into_iter().enumerate() {
        all.push((format!("GIT_CONFIG_KEY_{number}"), key));
        all.push((format!("GIT_CONFIG_VALUE_{number}"), value));
    }
    all
}

/// `git-config(1)`: those of the command outdo all others.
fn settings(reach: Reach<'_>) -> Vec<(String, String)> {
    let address = reach.address;
    let protocol = format!("protocol.{}.allow", address.scheme());
    let fixed = [
        ("protocol.allow", "never"),
        (protocol.as_str(), "always"),
        ("http.followRedirects", "false"),
        ("http.lowSpeedLimit", "1000"),
        ("http.lowSpeedTime", "30"),
        ("core.hooksPath", "/dev/null"),
        ("core.fsmonitor", "false"),
        ("core.attributesFile", "/dev/null"),
        ("core.protectHFS", "true"),
        ("core.protectNTFS", "true"),
        ("core.autocrlf", "false"),
        ("credential.helper", ""),
        ("submodule.recurse", "false"),
        ("fetch.recurseSubmodules", "false"),
        // One pack, whose size can be watched.
        ("fetch.unpackLimit", "1"),
        ("gc.auto", "0"),
        ("maintenance.auto", "false"),
        ("init.defaultBranch", "main"),
        ("advice.detachedHead", "false"),
        // The folder may be another user's on purpose.
        ("safe.directory", "*"),
    ];
    let mut settings: Vec<(String, String)> = fixed
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    if let Credential::Basic { user, password } = reach.credential {
        let pair = BASE64.encode(format!("{user}:{password}").as_bytes());
        let key = format!("http.{}.extraHeader", address.origin());
        settings.push((key, format!("Authorization: Basic {pair}")));
    }
    if let Some(pinned) = reach.pinned {
        let pinned = match pinned {
            IpAddr::V4(v4) => v4.to_string(),
            IpAddr::V6(v6) => format!("[{v6}]"),
        };
        let value = format!("{}:{}:{pinned}", address.host(), address.port());
        settings.push(("http.curloptResolve".to_owned(), value));
    }
    settings
}

/// Makes an empty repository of a folder.
pub fn init(folder: &str) -> Vec<String> {
    owned(&["init", "--quiet", folder])
}

/// Fetches one commit of a repository, without what came before it, into [`FETCHED`].
pub fn fetch(folder: &str, address: &GitAddress, what: &Reference) -> Vec<String> {
    let refspec = format!("+{}:{FETCHED}", what.as_str());
    let mut arguments = owned(&["-C", folder, "fetch", "--progress", "--depth", "1"]);
    arguments.extend(owned(&["--no-tags", "--no-write-fetch-head", "--"]));
    arguments.extend([address.to_string(), refspec]);
    arguments
}

fn owned(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|&one| one.to_owned()).collect()
}

/// What of a repository is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference(String);

/// A name that no branch or tag can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no name that a branch or tag may have (git-check-ref-format)")]
pub struct NoReference;

impl Reference {
    /// What the repository's owner shows first.
    pub fn head() -> Self {
        Self("HEAD".to_owned())
    }

    /// A branch.
    pub fn branch(name: &str) -> Result<Self, NoReference> {
        check_name(name).map(|()| Self(format!("refs/heads/{name}")))
    }

    /// A tag.
    pub fn tag(name: &str) -> Result<Self, NoReference> {
        check_name(name).map(|()| Self(format!("refs/tags/{name}")))
    }

    /// A commit, by its whole name.
    pub fn commit(name: &str) -> Result<Self, NoReference> {
        if is_commit(name) {
            Ok(Self(name.to_owned()))
        } else {
            Err(NoReference)
        }
    }

    /// In git's words.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether this is the whole name of a commit: 40 (SHA-1) or 64 (SHA-256) hexadecimal digits.
pub fn is_commit(name: &str) -> bool {
    matches!(name.len(), 40 | 64)
        && name
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// The rules of `git-check-ref-format(1)`, and a length.
fn check_name(name: &str) -> Result<(), NoReference> {
    let is_forbidden = |c: char| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c);
    let is_part = |part: &str| {
        !part.is_empty() && !part.starts_with('.') && part.strip_suffix(".lock").is_none()
    };
    let is_name = name.len() <= MAX_REFERENCE
        && !name.starts_with('-')
        && !name.ends_with('.')
        && !name.contains("..")
        && !name.contains("@{")
        && name != "@"
        && !name.chars().any(is_forbidden)
        && name.split('/').all(is_part);
    if is_name { Ok(()) } else { Err(NoReference) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn address() -> GitAddress {
        "https://git.example.org:8443/shop.git".parse().unwrap()
    }

    #[test]
    fn a_credential_is_for_its_own_origin_and_stands_in_no_argument() {
        let address = address();
        let reach = Reach {
            address: &address,
            credential: Credential::Basic {
                user: "x",
                password: "hunter2",
            },
            pinned: Some("192.0.2.7".parse().unwrap()),
            home: "/h",
        };
        let environment = environment(reach);
        let keys: Vec<&str> = environment
            .iter()
            .filter(|(name, _)| name.starts_with("GIT_CONFIG_KEY_"))
            .map(|(_, key)| key.as_str())
            .collect();
        assert!(keys.contains(&"http.https://git.example.org:8443/.extraHeader"));
        let has = |wanted: &str| environment.iter().any(|(_, value)| value == wanted);
        assert!(has("Authorization: Basic eDpodW50ZXIy"));
        assert!(has("git.example.org:8443:192.0.2.7"));
        assert!(has("protocol.https.allow"));
        let count = environment
            .iter()
            .find(|(name, _)| name == "GIT_CONFIG_COUNT");
        assert_eq!(count.unwrap().1, keys.len().to_string());
        let arguments = fetch("/f", &address, &Reference::head());
        assert!(arguments.iter().all(|one| !one.contains("hunter2")));
    }

    #[test]
    fn names_of_branches_are_judged_as_git_does() {
        for name in ["main", "feature/x-1", "release.1", "ü", "a@b"] {
            let reference = Reference::branch(name).unwrap();
            assert_eq!(reference.as_str(), format!("refs/heads/{name}"));
        }
        for name in [
            "",
            "-x",
            "a..b",
            "a b",
            "a~1",
            "a^",
            "a:b",
            "/a",
            "a/",
            "a//b",
            ".a",
            "a/.b",
            "a.lock",
            "a.",
            "@",
            "a@{1}",
            "a\\b",
            "a\nb",
            "a*",
            "a[b",
            &"a".repeat(256),
        ] {
            assert_eq!(Reference::branch(name), Err(NoReference), "{name:?}");
        }
        assert!(Reference::commit(&"a1".repeat(20)).is_ok());
        for name in ["a1", &"A1".repeat(20), &"g1".repeat(20)] {
            assert!(Reference::commit(name).is_err());
        }
    }
}
