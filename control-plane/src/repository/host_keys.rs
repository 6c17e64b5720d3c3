//! By which keys a server is known over ssh: those that it publishes elsewhere, or those that it shows when it is asked
//! the first time.

use tokio::time::Instant;
use towline_shared::git::ssh::MAX_HOST_KEYS;
use towline_shared::git::{GitAddress, PublicKey};

use super::child::Git;
use super::{Repositories, RepositoryError};
use crate::domain::deploy_key;

/// How long a server may take to show a key, in seconds.
const PATIENCE: &str = "10";

impl Repositories {
    /// The lines of a `known_hosts` file by which the server of an address is known.
    pub async fn host_keys(&self, address: &GitAddress) -> Result<Vec<String>, RepositoryError> {
        match deploy_key::published(address) {
            Some(published) => Ok(published),
            None => self.ask(address).await,
        }
    }

    async fn ask(&self, address: &GitAddress) -> Result<Vec<String>, RepositoryError> {
        let began = Instant::now();
        let _turn = self.turn(began).await?;
        let pinned = self.egress.locate_host(address.bare_host()).await?;
        let home = self.scratch(None).await?;
        let scan = Git {
            program: "ssh-keyscan",
            folder: home.path().to_path_buf(),
            ends: began + self.limits.time,
            limits: self.limits,
        };
        let (port, pinned) = (address.port().to_string(), pinned.to_string());
        let options = ["-T", PATIENCE, "-t", "ed25519,ecdsa,rsa", "-p"];
        let arguments = options.into_iter().chain([&*port, &*pinned]);
        let arguments: Vec<String> = arguments.map(str::to_owned).collect();
        let printed = match scan.run(&arguments, &[], Vec::new()).await {
            Err(RepositoryError::Git(_)) => Vec::new(),
            printed => printed?,
        };
        let keys = shown(address, &String::from_utf8_lossy(&printed));
        if keys.is_empty() {
            return Err(RepositoryError::NoHostKey(address.known_as()));
        }
        Ok(keys)
    }
}

/// The keys that `ssh-keyscan` has printed, for the name that people call the server by; the strongest first.
fn shown(address: &GitAddress, printed: &str) -> Vec<String> {
    let lines = printed.lines().filter(|line| !line.starts_with('#'));
    let keys = lines.filter_map(|line| PublicKey::of_known_host(line).ok());
    let mut keys: Vec<PublicKey> = keys.take(MAX_HOST_KEYS).collect();
    keys.sort_by_key(|key| match key.kind() {
        "ssh-ed25519" => 0,
        "ssh-rsa" => 2,
        _ => 1,
    });
    let known_as = address.known_as();
    keys.iter().map(|key| format!("{known_as} {key}")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ED25519: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
    const ECDSA: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKgwFB9nkt5YRrYMjNuG5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg=";

    #[test]
    fn keys_are_kept_under_the_name_that_was_asked_for() {
        let address = "ssh://git@git.example.org:2222/x".parse().unwrap();
        let printed = format!(
            "# 192.0.2.7:2222 SSH-2.0-x\n[192.0.2.7]:2222 {ECDSA}\n[192.0.2.7]:2222 {ED25519}\nx ssh-dss AAAA\n\0"
        );
        let expected = [ED25519, ECDSA].map(|key| format!("[git.example.org]:2222 {key}"));
        assert_eq!(shown(&address, &printed), expected);
        assert!(shown(&address, "getaddrinfo: no\n").is_empty());
    }
}
