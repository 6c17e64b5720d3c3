//! How systemd starts the engine, and the drop-in by which it does so without hosts of its own: dockerd refuses hosts
//! that are given both by a flag and by `daemon.json`.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::{DockerTlsError, Result};

/// Where systemd looks for units; an earlier folder counts before a later one.
const UNIT_FOLDERS: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
/// Where the owner's own changes belong, and ours.
const DROP_IN: &str = "/etc/systemd/system/docker.service.d/towline-tls.conf";
/// The units that renew.
pub const TIMER: &str = "towline-docker-tls.timer";
const RENEWAL: &str = "towline-docker-tls.service";
/// Where distributions keep flags of the engine that its unit or init script takes in.
const OPTIONS: [&str; 3] = [
    "/etc/default/docker",
    "/etc/conf.d/docker",
    "/etc/sysconfig/docker",
];

/// How the engine is started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Started {
    /// The program.
    pub program: Option<PathBuf>,
    /// The line that starts it, without hosts.
    line: String,
    /// Its flags, as words, without hosts.
    pub flags: Vec<String>,
    /// Its hosts.
    pub hosts: Vec<String>,
}

/// The effective start of the engine by its unit and drop-ins; nothing when there is no unit.
pub fn of_systemd(daemon_json: &Path) -> Result<Option<Started>> {
    let folders = UNIT_FOLDERS.map(PathBuf::from);
    let unit = folders.iter().map(|folder| folder.join("docker.service"));
    let Some(unit) = unit.into_iter().find(|unit| unit.is_file()) else {
        return Ok(None);
    };
    let mut start = None;
    for file in std::iter::once(unit).chain(drop_ins(&folders)) {
        let text = fs::read_to_string(&file)
            .map_err(|cause| DockerTlsError::io("cannot read", &file, cause))?;
        for line in starts(&text) {
            start = (!line.is_empty()).then(|| (line, file.clone()));
        }
    }
    let Some((line, file)) = start else {
        return Ok(None);
    };
    let started = judge(&line, &file, daemon_json)?;
    if line.contains('$') {
        refuse_options(daemon_json)?;
    }
    Ok(Some(started))
}

/// The drop-ins of the unit in the order of their names; ours is none of its owner's.
fn drop_ins(folders: &[PathBuf]) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for folder in folders {
        let entries = fs::read_dir(folder.join("docker.service.d")).into_iter();
        for entry in entries.flatten().flatten() {
            let path = entry.path();
            let named = |other: &PathBuf| other.file_name() == path.file_name();
            let is_one = path
                .extension()
                .is_some_and(|extension| extension == "conf");
            if is_one && path != Path::new(DROP_IN) && !found.iter().any(named) {
                found.push(path);
            }
        }
    }
    found.sort_by(|one, other| one.file_name().cmp(&other.file_name()));
    found
}

/// The values of `ExecStart=` in `[Service]`, in their order; an empty one takes back those before.
fn starts(text: &str) -> Vec<String> {
    let joined = text.replace("\\\n", " ");
    let (mut section, mut found) = ("", Vec::new());
    for line in joined.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
        } else if section == "[Service]"
            && let Some((key, value)) = line.split_once('=')
            && key.trim() == "ExecStart"
        {
            found.push(value.trim().to_owned());
        }
    }
    found
}

fn judge(line: &str, file: &Path, daemon_json: &Path) -> Result<Started> {
    let mut words = line.split_whitespace();
    let program = words.next().unwrap_or_default();
    let mut started = Started {
        program: Some(program.trim_start_matches(['-', '@', ':', '+', '!']).into()),
        line: program.to_owned(),
        ..Started::default()
    };
    while let Some(word) = words.next() {
        let bare = unquoted(word);
        let flag = bare.split_once('=').map_or(bare, |(flag, _)| flag);
        match flag {
            "-H" | "--host" => {
                let given = bare.split_once('=').map(|(_, host)| host);
                let host = given
                    .or_else(|| words.next().map(unquoted))
                    .unwrap_or_default();
                started.hosts.push(local(host, file)?);
            }
            _ if bare.starts_with("-H") => started.hosts.push(local(&bare[2..], file)?),
            "--tls" | "--tlsverify" | "--tlscacert" | "--tlscert" | "--tlskey" => {
                return Err(conflict(flag, file));
            }
            "--config-file" => {
                let given = bare.split_once('=').map(|(_, path)| path);
                let path = given
                    .or_else(|| words.next().map(unquoted))
                    .unwrap_or_default();
                if Path::new(path) != daemon_json {
                    return Err(DockerTlsError::Conflict {
                        what: format!("--config-file {path}"),
                        place: file.to_path_buf(),
                        remedy: format!("give --daemon-json {path}"),
                    });
                }
                started.keep(&format!("--config-file={path}"));
            }
            _ => started.keep(word),
        }
    }
    Ok(started)
}

fn unquoted(word: &str) -> &str {
    word.trim_matches(['"', '\''])
}

/// A host that only this machine reaches stays; another is its owner's decision.
fn local(host: &str, file: &Path) -> Result<String> {
    if host.starts_with("fd://") || host.starts_with("unix://") {
        return Ok(host.to_owned());
    }
    Err(conflict(&format!("-H {host}"), file))
}

fn conflict(what: &str, file: &Path) -> DockerTlsError {
    DockerTlsError::Conflict {
        what: what.to_owned(),
        place: file.to_path_buf(),
        remedy: "take it out there (and systemctl daemon-reload), then try again".to_owned(),
    }
}

/// Refuses flags of hosts and TLS that an options file brings.
pub fn refuse_options(daemon_json: &Path) -> Result<()> {
    for file in OPTIONS.map(Path::new) {
        let text = fs::read_to_string(file).unwrap_or_default();
        let lines = text.lines().map(str::trim);
        for line in lines.filter(|line| !line.starts_with('#')) {
            let Some((_, value)) = line.split_once('=') else {
                continue;
            };
            let started = judge(&format!("dockerd {}", unquoted(value)), file, daemon_json)?;
            if let Some(host) = started.hosts.first() {
                return Err(conflict(&format!("-H {host}"), file));
            }
        }
    }
    Ok(())
}

impl Started {
    fn keep(&mut self, word: &str) {
        self.line.push(' ');
        self.line.push_str(word);
        // What systemd would put there is not known here.
        if !word.contains('$') {
            self.flags.push(unquoted(word).to_owned());
        }
    }

    /// The drop-in, when the unit has hosts.
    pub fn drop_in(&self, daemon_json: &Path) -> Option<(PathBuf, String)> {
        if self.hosts.is_empty() {
            return None;
        }
        let text = format!(
            "# Written by `towline-agent docker-tls enable`; `towline-agent docker-tls disable` takes it away.\n\
             # The engine's hosts stand in {} now: dockerd refuses them in two places.\n\
             [Service]\nExecStart=\nExecStart={}\n",
            daemon_json.display(),
            self.line
        );
        Some((DROP_IN.into(), text))
    }
}

/// The units that look once a day whether the certificate is to be renewed.
pub fn timer(agent: &Path, daemon_json: &Path) -> [(PathBuf, String); 2] {
    let folder = Path::new(UNIT_FOLDERS[0]);
    let quoted = |path: &Path| {
        let path = path.display().to_string();
        format!(
            "\"{}\"",
            path.replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('%', "%%")
        )
    };
    let service = format!(
        "# Written by `towline-agent docker-tls enable`.\n[Unit]\nDescription=Renewal of the certificate of Docker's API\n\
         After=docker.service\n\n[Service]\nType=oneshot\n\
         ExecStart={} docker-tls renew --if-due --daemon-json {}\n",
        quoted(agent),
        quoted(daemon_json)
    );
    let timer = "# Written by `towline-agent docker-tls enable`.\n[Unit]\nDescription=Daily look at the certificate of Docker's API\n\n\
                 [Timer]\nOnCalendar=daily\nRandomizedDelaySec=1h\nPersistent=true\n\n[Install]\nWantedBy=timers.target\n";
    [
        (folder.join(RENEWAL), service),
        (folder.join(TIMER), timer.to_owned()),
    ]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const FILE: &str = "/etc/docker/daemon.json";

    fn judged(line: &str) -> Result<Started> {
        judge(line, Path::new("/lib/docker.service"), Path::new(FILE))
    }

    #[test]
    fn hosts_go_and_all_else_stays() {
        let text = "[Unit]\nExecStart=no\n[Service]\n# ExecStart=no\nExecStart=/usr/bin/dockerd -H fd:// \\\n  --containerd=/run/c.sock $DOCKER_OPTS\nExecReload=x\n";
        let lines = starts(text);
        assert_eq!(lines.len(), 1);
        let started = judged(&lines[0]).unwrap();
        assert_eq!(started.program, Some("/usr/bin/dockerd".into()));
        assert_eq!(started.hosts, ["fd://"]);
        assert_eq!(started.flags, ["--containerd=/run/c.sock"]);
        let (_, drop_in) = started.drop_in(Path::new(FILE)).unwrap();
        assert!(
            drop_in.ends_with("[Service]\nExecStart=\nExecStart=/usr/bin/dockerd --containerd=/run/c.sock $DOCKER_OPTS\n"),
            "{drop_in}"
        );
        let without = judged("/usr/bin/dockerd --debug").unwrap();
        assert!(without.drop_in(Path::new(FILE)).is_none());
        for spelling in [
            "-H unix:///a",
            "-Hunix:///a",
            "--host unix:///a",
            "--host=unix:///a",
            "\"--host=unix:///a\"",
        ] {
            let started = judged(&format!("dockerd {spelling} -D")).unwrap();
            assert_eq!(
                (started.hosts[0].as_str(), started.flags[0].as_str()),
                ("unix:///a", "-D")
            );
        }
    }

    #[test]
    fn what_its_owner_decided_is_named() {
        let table = [
            ("dockerd -H tcp://0.0.0.0:2375", "-H tcp://0.0.0.0:2375"),
            ("dockerd --host=0.0.0.0:2375", "-H 0.0.0.0:2375"),
            ("dockerd --tlsverify -D", "--tlsverify"),
            ("dockerd --tlscert=/a", "--tlscert"),
            (
                "dockerd --config-file /srv/d.json",
                "--daemon-json /srv/d.json",
            ),
        ];
        for (line, words) in table {
            let refusal = judged(line).unwrap_err().to_string();
            assert!(
                refusal.contains(words) && refusal.contains("/lib/docker.service"),
                "{refusal}"
            );
        }
        assert!(judged("dockerd --config-file=/etc/docker/daemon.json").is_ok());
    }
}
