//! The script that makes a host an agent.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};
use towline_pki::release::ReleaseKeys;

use super::{Architecture, Binary};
use crate::config::PublicUrl;
use crate::domain::hex::hex;

/// The script as it is kept, with places to fill.
const TEMPLATE: &str = include_str!("../../../install/agent.sh");
/// Where it is served, below the public address.
pub(super) const PATH: &str = "install.sh";
/// What it is called on the host.
const FILE: &str = "towline-install.sh";

/// The script of this installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script(String);

impl Script {
    /// The script for these agents, to be fetched from that address, and these keys of releases.
    pub fn new(url: &PublicUrl, agents: &[(Architecture, Binary)], keys: &ReleaseKeys) -> Self {
        let digests = agents.iter().fold(String::new(), |mut lines, (of, agent)| {
            // Writing to a string cannot fail.
            let _ = writeln!(lines, "{of} {}", agent.sha256);
            lines
        });
        let filled = [
            ("@URL@", quoted(url.to_string().trim_end_matches('/'))),
            ("@VERSION@", quoted(env!("CARGO_PKG_VERSION"))),
            ("@DIGESTS@", digests.trim_end().to_owned()),
            ("@RELEASE_KEYS@", keys.lines()),
        ];
        let script = filled
            .into_iter()
            .fold(TEMPLATE.to_owned(), |script, (place, value)| {
                script.replacen(place, &value, 1)
            });
        Self(script)
    }

    /// The text.
    pub fn into_text(self) -> String {
        self.0
    }

    /// What it is known by: the SHA-256 of its text, in hexadecimal digits.
    pub fn sha256(&self) -> String {
        hex(&Sha256::digest(&self.0))
    }
}

/// What is pasted into a shell of the host. The host need not trust the address: the script is known by its digest, and
/// the agent by the script.
pub fn command(url: &PublicUrl, script: &Script, token: &str) -> String {
    let url = url.to_string();
    format!(
        "curl -fsSk {}/{PATH} -o {FILE} && echo '{}  {FILE}' | sha256sum -c && sh {FILE} --token {token}",
        url.trim_end_matches('/'),
        script.sha256()
    )
}

/// Text within single quotes of a shell.
fn quoted(text: &str) -> String {
    text.replace('\'', "'\\''")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn script() -> Script {
        let agent = Binary {
            path: "/x".into(),
            sha256: "0f".repeat(32),
        };
        let url = "https://towline.example.org:8443".parse().unwrap();
        Script::new(
            &url,
            &[(Architecture::X86_64, agent)],
            &ReleaseKeys::default(),
        )
    }

    #[test]
    fn the_script_knows_its_installation_and_its_agents() {
        let text = script().into_text();
        for line in [
            "url='https://towline.example.org:8443'".to_owned(),
            format!("digests='x86_64 {}'", "0f".repeat(32)),
            format!("version='{}'", env!("CARGO_PKG_VERSION")),
        ] {
            assert!(text.lines().any(|has| has == line), "{line}");
        }
        assert!(!text.contains("'@"), "each place is filled");
    }

    #[test]
    fn the_command_checks_the_script_before_it_runs() {
        let url = "https://towline.example.org:8443".parse().unwrap();
        let command = command(&url, &script(), "twl1_x");
        let digest = script().sha256();
        assert_eq!(
            command,
            format!(
                "curl -fsSk https://towline.example.org:8443/install.sh -o towline-install.sh && \
                 echo '{digest}  towline-install.sh' | sha256sum -c && \
                 sh towline-install.sh --token twl1_x"
            )
        );
    }
}
