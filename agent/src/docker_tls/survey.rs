//! What enabling would do, found out without changing anything.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use towline_pki::docker::{HostName, HostNames};

use super::arguments::EnableArgs;
use super::daemon_json::DaemonJson;
use super::error::{DockerTlsError, Result};
use super::files::{self, Snapshot};
use super::host_names;
use super::journal::{Change, Settings, folder};
use super::restart::Restart;
use super::settings;
use super::unit::{self, Started};

/// What is to be done.
#[derive(Debug)]
pub struct Plan {
    /// As it will be enabled.
    pub settings: Settings,
    /// The names and addresses of the certificate.
    pub names: HostNames,
    /// The files outside of our own folder.
    pub changes: Vec<Change>,
    /// Folders that are missing, the innermost first.
    pub folders: Vec<PathBuf>,
    /// How the engine is started.
    pub started: Started,
    /// Whether containers go on while the engine restarts.
    pub containers: Containers,
}

/// What becomes of containers while the engine restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Containers {
    /// They go on (`live-restore`).
    GoOn,
    /// They stop.
    Stop,
}

impl Containers {
    /// By the engine's configuration.
    pub fn of(daemon_json: &Path) -> Result<Self> {
        let snapshot = Snapshot::take(daemon_json)?;
        let text = String::from_utf8_lossy(snapshot.content().unwrap_or_default());
        let read = read(&text, daemon_json)?;
        Ok(Self::by(&read))
    }

    fn by(config: &DaemonJson<'_>) -> Self {
        match config.get("live-restore") {
            Some(Value::Bool(true)) => Self::GoOn,
            _ => Self::Stop,
        }
    }
}

/// Looks at the host. Whatever of its owner's is in the way is an error.
pub fn plan(args: &EnableArgs) -> Result<Plan> {
    let daemon_json = files::real(&args.place.daemon_json);
    let names = names(args)?;
    let restart = Restart::find(&args.restart_command)?;
    let started = started(&restart, &daemon_json, args)?;
    let settings = settings(args, daemon_json, &names, restart, &started);
    free(args.listen)?;
    let snapshot = Snapshot::take(&settings.daemon_json)?;
    let text = text_of(&snapshot, &settings.daemon_json)?;
    let config = read(&text, &settings.daemon_json)?;
    let keys = settings::keys(&settings.folder(), &settings.hosts);
    let new = config
        .with(&keys)
        .map_err(|trouble| DockerTlsError::Config {
            path: settings.daemon_json.clone(),
            trouble,
        })?;
    let containers = Containers::by(&config);
    let mut changes = additions(&settings, &started)?;
    // The last: with it the others count.
    changes.push(Change::of(&settings.daemon_json, new)?);
    let folders = changes.iter().map(|change| change.path.as_path());
    let folders = folders.filter_map(Path::parent).map(files::missing_folders);
    let mut missing: Vec<PathBuf> = Vec::new();
    for folder in folders.flatten() {
        if !missing.contains(&folder) {
            missing.push(folder);
        }
    }
    Ok(Plan {
        settings,
        names,
        changes,
        folders: missing,
        started,
        containers,
    })
}

fn settings(
    args: &EnableArgs,
    daemon_json: PathBuf,
    names: &HostNames,
    restart: Restart,
    started: &Started,
) -> Settings {
    let local = match started.hosts.as_slice() {
        [] => vec![args.docker_host.clone()],
        hosts => hosts.to_vec(),
    };
    let port = std::iter::once(format!("tcp://{}", args.listen));
    Settings {
        daemon_json,
        docker_host: args.docker_host.clone(),
        listen: args.listen,
        hosts: local.into_iter().chain(port).collect(),
        given: args.name.iter().chain(&args.ip).cloned().collect(),
        names: names.iter().map(ToString::to_string).collect(),
        restart,
        patience_s: args.patience,
    }
}

/// What somebody gave, and what the host has beside that.
fn names(args: &EnableArgs) -> Result<HostNames> {
    let mut names: Vec<HostName> = Vec::new();
    if !(args.name.is_empty() && args.ip.is_empty()) {
        names.extend(HostNames::read(&args.name, &args.ip)?.iter().cloned());
    }
    names.extend(host_names::find());
    Ok(HostNames::of(names)?)
}

fn started(restart: &Restart, daemon_json: &Path, args: &EnableArgs) -> Result<Started> {
    let found = match restart {
        Restart::Systemd => unit::of_systemd(daemon_json)?,
        Restart::OpenRc => {
            unit::refuse_options(daemon_json)?;
            None
        }
        Restart::Command(_) => None,
    };
    let mut started = found.unwrap_or_default();
    if let Some(program) = &args.dockerd {
        started.program = Some(program.clone());
    }
    Ok(started)
}

fn additions(settings: &Settings, started: &Started) -> Result<Vec<Change>> {
    if settings.restart != Restart::Systemd {
        return Ok(Vec::new());
    }
    let agent = std::env::current_exe()
        .map_err(|cause| DockerTlsError::io("cannot find", Path::new("towline-agent"), cause))?;
    let timer = unit::timer(&agent, &settings.daemon_json);
    let files = started
        .drop_in(&settings.daemon_json)
        .into_iter()
        .chain(timer);
    files.map(|(path, text)| Change::of(&path, text)).collect()
}

/// Nothing listens there yet, and the address is this host's.
fn free(listen: SocketAddr) -> Result<()> {
    let bound = TcpListener::bind(listen);
    bound.map(|_| ()).map_err(|cause| DockerTlsError::Listen {
        address: listen,
        cause,
    })
}

fn text_of(snapshot: &Snapshot, path: &Path) -> Result<String> {
    let bytes = snapshot.content().unwrap_or_default().to_vec();
    String::from_utf8(bytes).map_err(|error| {
        let cause = std::io::Error::new(std::io::ErrorKind::InvalidData, error);
        DockerTlsError::io("cannot read", path, cause)
    })
}

fn read<'t>(text: &'t str, path: &Path) -> Result<DaemonJson<'t>> {
    DaemonJson::read(text).map_err(|trouble| DockerTlsError::Config {
        path: path.to_path_buf(),
        trouble,
    })
}

impl Settings {
    /// Where the engine is reached from this host.
    pub fn address(&self) -> SocketAddr {
        let address: IpAddr = host_names::reachable(self.listen.ip());
        SocketAddr::new(address, self.listen.port())
    }

    /// How long the engine may take to answer after a restart.
    pub fn patience(&self) -> Duration {
        Duration::from_secs(self.patience_s)
    }

    /// The folder, made for a first time.
    pub fn make_folder(&self) -> Result<PathBuf> {
        let folder = folder(&self.daemon_json);
        files::make_folder(&folder, 0o700)?;
        Ok(folder)
    }
}
