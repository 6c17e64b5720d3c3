//! Why Docker's API was not secured, with what to do.

use std::io;
use std::path::{Path, PathBuf};

use towline_pki::PkiError;
use towline_pki::docker::NameRefusal;

use super::daemon_json::ConfigTrouble;
use super::phase::NotNow;
use super::probe::ProbeTrouble;

/// The result of a part of the work.
pub type Result<T> = std::result::Result<T, DockerTlsError>;

/// What went wrong. Unless it says otherwise, everything is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum DockerTlsError {
    /// A file or folder.
    #[error("{action} {path}: {cause}; run it as root, on a file system that can be written")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        cause: io::Error,
    },
    /// `daemon.json`.
    #[error("{path}, {trouble}")]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        trouble: ConfigTrouble,
    },
    /// Something that the host's owner has set.
    #[error("{place} has {what}, which Towline would have to set; {remedy}")]
    Conflict {
        /// The setting.
        what: String,
        /// The file.
        place: PathBuf,
        /// What to do.
        remedy: String,
    },
    /// A name.
    #[error("{0}")]
    Names(#[from] NameRefusal),
    /// A certificate.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// What was written down of earlier work cannot be read.
    #[error(
        "{path}, where it is written down what was there before, cannot be read: {cause}; it has the former files in base64: put them back by hand, then remove it"
    )]
    Journal {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: serde_json::Error,
    },
    /// The address that the engine is to listen on.
    #[error("the engine cannot listen on {address}: {cause}; give another by --listen")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        cause: io::Error,
    },
    /// Nobody knows how to restart the engine.
    #[error(
        "neither systemd nor OpenRC runs here; say how the engine is restarted by --restart-command PROGRAM ARGUMENT…, as the last option"
    )]
    NoInit,
    /// A program.
    #[error("`{program}` {how}{}", said(.output))]
    Program {
        /// It, with its arguments.
        program: String,
        /// How it ended.
        how: String,
        /// The end of what it printed.
        output: String,
    },
    /// The engine, looked at from outside.
    #[error(transparent)]
    Probe(#[from] ProbeTrouble),
    /// Not in this phase.
    #[error(transparent)]
    NotNow(#[from] NotNow),
    /// It is enabled in another way.
    #[error(
        "Docker's API over TLS is enabled here already, with {0}; disable it first, then enable it anew"
    )]
    Differs(String),
    /// Another one is at it.
    #[error("another towline-agent docker-tls is at work on {0}; wait for its end")]
    Busy(PathBuf),
    /// It failed, and what was before is back.
    #[error("{0}\nEverything was put back as it was before.")]
    PutBack(Box<DockerTlsError>),
    /// It failed, and what was before is not back.
    #[error(
        "{cause}\nPutting back what was before failed as well: {then}\nRun `towline-agent docker-tls disable` when that is mended."
    )]
    NotPutBack {
        /// What failed first.
        cause: Box<DockerTlsError>,
        /// What failed then.
        then: Box<DockerTlsError>,
    },
    /// A renewal that nobody has to look at would stop containers.
    #[error(
        "the certificate ends on {until} and is to be renewed, for which the engine restarts; without \"live-restore\": true in {path} that stops containers, so it is left to you: run `towline-agent docker-tls renew` at a good time before"
    )]
    WouldStop {
        /// `daemon.json`.
        path: PathBuf,
        /// The end of the certificate.
        until: String,
    },
}

impl DockerTlsError {
    /// An error on a file.
    pub fn io(action: &'static str, path: &Path, cause: io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_path_buf(),
            cause,
        }
    }
}

fn said(output: &str) -> String {
    match output.trim() {
        "" => String::new(),
        words => format!(": {words}"),
    }
}
