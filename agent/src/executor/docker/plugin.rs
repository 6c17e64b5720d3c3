//! The compose plugin: where it is, and how to install it when it is not.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use towline_shared::protocol::v1::Plugin;

/// Where distributions and Docker's own packages put plugins.
const SYSTEM_FOLDERS: [&str; 4] = [
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
];
const NAME: &str = "docker-compose";
const VERSION_TIMEOUT: Duration = Duration::from_secs(10);

/// A plugin that can be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ComposePlugin {
    pub path: PathBuf,
}

impl ComposePlugin {
    /// Looks where the docker command line looks; the docker command line itself is not needed.
    pub fn find(docker_config: &Path) -> Option<Self> {
        let own = docker_config.join("cli-plugins");
        let folders = std::iter::once(own).chain(SYSTEM_FOLDERS.iter().map(PathBuf::from));
        folders
            .map(|folder| folder.join(NAME))
            .find(|path| is_program(path))
            .map(|path| Self { path })
    }

    /// Its version, or what is wrong with it, for a person.
    pub async fn version(&self) -> Plugin {
        let mut command = Command::new(&self.path);
        command
            .args(["version", "--short"])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let output = tokio::time::timeout(VERSION_TIMEOUT, command.output()).await;
        match output {
            Ok(Ok(output)) if output.status.success() => {
                judge(String::from_utf8_lossy(&output.stdout).trim())
            }
            _ => Plugin::Missing(format!(
                "{} does not run; {}",
                self.path.display(),
                install_hint()
            )),
        }
    }
}

fn judge(version: &str) -> Plugin {
    let number = version.trim_start_matches('v');
    let major = number
        .split('.')
        .next()
        .and_then(|major| major.parse::<u32>().ok());
    match major {
        Some(major) if major >= 2 => Plugin::Version(number.to_owned()),
        _ => Plugin::Missing(format!(
            "docker compose {version} is too old, version 2 or later is needed; {}",
            install_hint()
        )),
    }
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// How to install the plugin on this host.
pub(super) fn install_hint() -> String {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    hint_for(&release).to_owned()
}

fn hint_for(os_release: &str) -> &'static str {
    let field = |name: &str| {
        let line = os_release.lines().find_map(|line| line.strip_prefix(name));
        line.map(|value| value.trim_matches('"'))
            .unwrap_or_default()
    };
    let names = format!("{} {}", field("ID="), field("ID_LIKE="));
    let is = |name: &str| names.split_whitespace().any(|word| word == name);
    if is("ubuntu") {
        "install it with `apt-get install docker-compose-v2` (or `docker-compose-plugin` from Docker's own repository)"
    } else if is("debian") {
        "install it with `apt-get install docker-compose` on Debian 13 or later, or `docker-compose-plugin` from Docker's own \
         repository"
    } else if is("fedora") || is("rhel") || is("centos") {
        "install it with `dnf install docker-compose-plugin` from Docker's own repository"
    } else if is("alpine") {
        "install it with `apk add docker-cli-compose`"
    } else if is("arch") {
        "install it with `pacman -S docker-compose`"
    } else if is("suse") || is("opensuse") {
        "install it with `zypper install docker-compose`"
    } else {
        "install Docker's compose plugin, version 2 or later, into /usr/local/lib/docker/cli-plugins"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_fit_the_distribution() {
        let cases = [
            ("ID=ubuntu\nID_LIKE=debian\n", "docker-compose-v2"),
            ("PRETTY_NAME=\"Debian\"\nID=debian\n", "Debian 13"),
            ("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", "dnf"),
            ("ID=alpine\n", "apk"),
            ("", "/usr/local/lib"),
        ];
        for (release, expected) in cases {
            assert!(hint_for(release).contains(expected), "{release}");
        }
    }

    #[test]
    fn only_version_two_and_later_will_do() {
        assert_eq!(judge("2.26.1-4"), Plugin::Version("2.26.1-4".into()));
        assert_eq!(judge("v5.0.1"), Plugin::Version("5.0.1".into()));
        assert!(matches!(judge("1.29.2"), Plugin::Missing(why) if why.contains("too old")));
        assert!(matches!(judge("nonsense"), Plugin::Missing(_)));
    }
}
