//! What is written down before anything is changed: what was there, what takes its place, and how far it is.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::daemon_json::DaemonJson;
use super::error::{DockerTlsError, Result};
use super::files::{Bytes, SECRET, Snapshot};
use super::phase::Phase;
use super::restart::Restart;
use super::settings::{self, FOLDER};

const NAME: &str = "journal.json";

/// The journal of one host.
#[derive(Debug, Serialize, Deserialize)]
pub struct Journal {
    /// How far it is.
    pub phase: Phase,
    /// As it was enabled.
    pub settings: Settings,
    /// What is changed outside of our own folder, in this order.
    pub changes: Vec<Change>,
    /// What a renewal that goes on changes.
    #[serde(default)]
    pub renewal: Vec<Change>,
    /// Folders that were made, the innermost first.
    pub folders: Vec<PathBuf>,
}

/// As somebody has enabled it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// The engine's configuration.
    pub daemon_json: PathBuf,
    /// The engine's local socket, as a URL.
    pub docker_host: String,
    /// Where it listens.
    pub listen: SocketAddr,
    /// The engine's hosts.
    pub hosts: Vec<String>,
    /// The names and addresses that somebody gave.
    pub given: Vec<String>,
    /// Those of the certificate.
    pub names: Vec<String>,
    /// How the engine is restarted.
    pub restart: Restart,
    /// How long, in seconds, the engine may take to answer after a restart.
    pub patience_s: u64,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Where it is.
    pub path: PathBuf,
    /// As it was before.
    pub former: Snapshot,
    /// What we put there.
    pub ours: Bytes,
}

impl Settings {
    /// Our folder.
    pub fn folder(&self) -> PathBuf {
        folder(&self.daemon_json)
    }
}

/// The folder of certificates beside a `daemon.json`.
pub fn folder(daemon_json: &Path) -> PathBuf {
    daemon_json.with_file_name(FOLDER)
}

impl Change {
    /// A file that is to hold something else.
    pub fn of(path: &Path, ours: impl Into<Vec<u8>>) -> Result<Self> {
        Ok(Self {
            path: path.to_path_buf(),
            former: Snapshot::take(path)?,
            ours: Bytes(ours.into()),
        })
    }

    /// Puts ours there.
    pub fn apply(&self, new_mode: u32) -> Result<()> {
        self.former
            .with(self.ours.0.clone(), new_mode)
            .put(&self.path)
    }

    /// What is to be there when we are gone: the former file, or, where its owner has changed it since, that without what
    /// is ours.
    pub fn undone(&self, settings: &Settings) -> Result<Snapshot> {
        let now = Snapshot::take(&self.path)?;
        match now.content() {
            Some(content) if self.path == settings.daemon_json && content != self.ours.0 => {
                if Some(content) == self.former.content() {
                    return Ok(now);
                }
                let config = |trouble| DockerTlsError::Config {
                    path: self.path.clone(),
                    trouble,
                };
                let text = String::from_utf8_lossy(content);
                let ours = settings::keys(&settings.folder(), &settings.hosts);
                let text = DaemonJson::read(&text).and_then(|read| read.without(&ours));
                Ok(now.with(text.map_err(config)?, SECRET))
            }
            // Whoever took it away meant it.
            None if self.former == Snapshot::Absent => Ok(Snapshot::Absent),
            None if self.path == settings.daemon_json => Ok(now),
            Some(_) | None => Ok(self.former.clone()),
        }
    }
}

impl Journal {
    /// Reads the journal beside a `daemon.json`; nothing, when there is none.
    pub fn read(daemon_json: &Path) -> Result<Option<Self>> {
        let path = folder(daemon_json).join(NAME);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|cause| DockerTlsError::io("cannot read", &path, cause))?,
        };
        let read = serde_json::from_slice(&text);
        read.map(Some)
            .map_err(|cause| DockerTlsError::Journal { path, cause })
    }

    /// Takes away what a process has left that died before it had a journal: nothing was changed then.
    pub fn sweep(daemon_json: &Path) -> Result<()> {
        let folder = folder(daemon_json);
        Snapshot::Absent.put(&folder.join(NAME))?;
        // One that has something in it is somebody's.
        let _ = fs::remove_dir(&folder);
        Ok(())
    }

    /// Writes down that a phase begins.
    pub fn enter(&mut self, phase: Phase) -> Result<()> {
        self.phase = phase;
        let path = self.settings.folder().join(NAME);
        let text = serde_json::to_vec_pretty(self).map_err(|cause| DockerTlsError::Journal {
            path: path.clone(),
            cause,
        })?;
        Snapshot::Absent.with(text, SECRET).put(&path)
    }

    /// Takes our folder away, the journal last, and the folders that were made for us, if nobody else uses them.
    pub fn remove(self) -> Result<()> {
        let folder = self.settings.folder();
        let journal = folder.join(NAME);
        let failed = |path: &Path, cause| DockerTlsError::io("cannot remove", path, cause);
        let entries = fs::read_dir(&folder).map_err(|cause| failed(&folder, cause))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            let removed = match (path == journal, path.is_dir()) {
                (true, _) => Ok(()),
                (false, true) => fs::remove_dir_all(&path),
                (false, false) => fs::remove_file(&path),
            };
            removed.map_err(|cause| failed(&path, cause))?;
        }
        Snapshot::Absent.put(&journal)?;
        for made in std::iter::once(&folder).chain(&self.folders) {
            // Somebody may have put something there since.
            let _ = fs::remove_dir(made);
        }
        Ok(())
    }
}
