//! How git speaks ssh: by files in the call's own folder, and by nothing of the machine's.
//!
//! The command that git runs is one and the same for all; whom it calls, as whom, by which key, and who may answer
//! stands in the files. No agent is asked, nothing is forwarded, nobody is asked for a password, and a server that is
//! not known is not spoken to.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::{GitAddress, PublicKey, Reach};

/// The folder within the call's own.
const FOLDER: &str = "towline-ssh";
/// The most keys that a server is known by.
pub const MAX_HOST_KEYS: usize = 8;

/// What of it git is given by its environment. The shell that git runs the command by takes the folder from the
/// environment as one word, whatever is in it.
pub(super) fn environment() -> [(String, String); 2] {
    let command = format!("ssh -F \"$HOME/{FOLDER}/config\"");
    [
        ("GIT_SSH_COMMAND".to_owned(), command),
        ("GIT_SSH_VARIANT".to_owned(), "ssh".to_owned()),
    ]
}

/// Writes what the calls in a folder need, for their user's eyes only; gives what was written.
pub fn write(reach: Reach<'_>, key: &str, host_keys: &[String]) -> io::Result<Vec<PathBuf>> {
    let folder = Path::new(reach.home).join(FOLDER);
    let place = quotable(&folder)?;
    DirBuilder::new().mode(0o700).create(&folder)?;
    let known = known_hosts(reach.address, host_keys)?;
    let config = config(reach, place);
    let files = [("key", key), ("known_hosts", &*known), ("config", &*config)];
    let mut written = vec![folder.clone()];
    for (name, content) in files {
        let path = folder.join(name);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        options.open(&path)?.write_all(content.as_bytes())?;
        written.push(path);
    }
    Ok(written)
}

/// The folder's path, if ssh reads it as it is written: it has rules of its own for what is quoted.
fn quotable(folder: &Path) -> io::Result<&str> {
    let is_strange = |c: char| c.is_control() || "\"'\\%$".contains(c);
    let path = folder.to_str().filter(|path| !path.contains(is_strange));
    path.ok_or_else(|| {
        let message = format!(
            "ssh takes no path such as {}; choose a folder of plain letters",
            folder.display()
        );
        invalid(message)
    })
}

fn invalid(message: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

/// The keys that are kept for the server, whatever else the lines that are kept may say.
fn known_hosts(address: &GitAddress, lines: &[String]) -> io::Result<String> {
    let known_as = address.known_as();
    let known = |line: &String| {
        let key = PublicKey::of_known_host(line).map_err(invalid)?;
        Ok(format!("{known_as} {key}\n"))
    };
    lines.iter().take(MAX_HOST_KEYS).map(known).collect()
}

fn config(reach: Reach<'_>, place: &str) -> String {
    let address = reach.address;
    let host = match reach.pinned {
        Some(pinned) => pinned.to_string(),
        None => address.bare_host().to_owned(),
    };
    let (known_as, port) = (address.known_as(), address.port());
    let user = address.user().unwrap_or_default();
    format!(
        "Host *
HostName {host}
Port {port}
User {user}
HostKeyAlias {known_as}
IdentityFile \"{place}/key\"
IdentitiesOnly yes
IdentityAgent none
AddKeysToAgent no
PreferredAuthentications publickey
BatchMode yes
StrictHostKeyChecking yes
UserKnownHostsFile \"{place}/known_hosts\"
GlobalKnownHostsFile /dev/null
UpdateHostKeys no
CheckHostIP no
VerifyHostKeyDNS no
CanonicalizeHostname no
ForwardAgent no
ForwardX11 no
ClearAllForwardings yes
PermitLocalCommand no
ProxyCommand none
ControlMaster no
ControlPath none
RequestTTY no
ConnectTimeout 20
ConnectionAttempts 1
ServerAliveInterval 15
ServerAliveCountMax 2
LogLevel ERROR
"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::Credential;
    use super::*;

    const LINE: &str = "elsewhere ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

    fn reach<'a>(address: &'a GitAddress, home: &'a str) -> Reach<'a> {
        Reach {
            address,
            credential: Credential::Key,
            pinned: Some("192.0.2.7".parse().unwrap()),
            home,
        }
    }

    #[test]
    fn what_a_call_needs_is_its_own_and_nobody_elses() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_str().unwrap();
        let address = "ssh://git@git.example.org:2222/shop.git".parse().unwrap();
        let reach = reach(&address, home);
        let written = write(reach, "the key", &[LINE.to_owned()]).unwrap();
        for path in &written {
            let mode = path.metadata().unwrap().permissions().mode() & 0o777;
            let expected = if path.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(mode, expected, "{}", path.display());
        }
        let read = |name: &str| std::fs::read_to_string(folder.path().join(FOLDER).join(name));
        assert_eq!(read("key").unwrap(), "the key");
        let known = read("known_hosts").unwrap();
        assert!(
            known.starts_with("[git.example.org]:2222 ssh-ed25519 AAAA"),
            "{known}"
        );
        let config = read("config").unwrap();
        assert!(config.contains("\nHostName 192.0.2.7\nPort 2222\nUser git\n"));
        let environment = super::super::environment(reach);
        assert!(environment.iter().all(|(_, value)| value != "the key"));
        let command = environment
            .iter()
            .find(|(name, _)| name == "GIT_SSH_COMMAND");
        assert_eq!(
            command.unwrap().1,
            "ssh -F \"$HOME/towline-ssh/config\"",
            "it is the same for all"
        );
        // Nothing that lies there already is written to.
        assert!(write(reach, "another", &[]).is_err());
    }

    /// Ssh itself reads the file, and ends with what we mean, whatever the machine's own says.
    #[test]
    fn ssh_reads_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_str().unwrap();
        let address = "ssh://git@git.example.org:2222/shop.git".parse().unwrap();
        write(reach(&address, home), "", &[LINE.to_owned()]).unwrap();
        let config = folder.path().join(FOLDER).join("config");
        let shown = std::process::Command::new("ssh")
            .args(["-G", "-F"])
            .arg(&config)
            .arg("git.example.org")
            .output()
            .unwrap();
        let shown = String::from_utf8(shown.stdout).unwrap();
        for line in [
            "hostname 192.0.2.7",
            "port 2222",
            "user git",
            "hostkeyalias [git.example.org]:2222",
            "stricthostkeychecking true",
            "batchmode yes",
            "identitiesonly yes",
            "identityagent none",
            "globalknownhostsfile /dev/null",
            &format!("identityfile {home}/{FOLDER}/key"),
        ] {
            assert!(shown.lines().any(|one| one == line), "{line}: {shown}");
        }
        assert!(!shown.contains("proxycommand"), "{shown}");
    }

    #[test]
    fn neither_a_strange_folder_nor_a_strange_line_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let address = "git@h:x".parse().unwrap();
        for name in ["a\"b", "a%hb", "a$b", "a\nb"] {
            let home = folder.path().join(name);
            std::fs::create_dir(&home).unwrap();
            let error = write(reach(&address, home.to_str().unwrap()), "", &[]);
            assert_eq!(error.unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
        for line in ["* ssh-ed25519 AAAA", "@cert-authority * x", "", "a\nb"] {
            let home = tempfile::tempdir().unwrap();
            let reach = reach(&address, home.path().to_str().unwrap());
            assert!(write(reach, "", &[line.to_owned()]).is_err(), "{line:?}");
        }
    }
}
