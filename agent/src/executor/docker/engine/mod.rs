//! The container engine's API, in this executor's own words. Every call has a time limit: a hung
//! engine must not hang a job.

mod containers;
mod events;
mod exec;
mod images;
mod logs;
mod resources;
mod socket;
mod stats;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use tokio::sync::Mutex;

#[cfg(test)]
pub(super) use containers::RestartPolicy;
pub(super) use containers::{Container, Fate, Observed, Phase};
pub(super) use events::EventKind;
pub(super) use exec::{ExecOutput, Started};
pub(super) use images::{HistoryStep, Image, PushError};
pub(super) use logs::{LogPiece, LogQuery};
pub(super) use resources::Resource;

/// How long one answer may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to look whether the engine is there.
const PING_TIMEOUT: Duration = Duration::from_secs(3);

/// A connection to an engine, made when it is first needed and again after it was lost.
#[derive(Clone)]
pub(super) struct Engine {
    host: Arc<str>,
    /// As people are told of it.
    shown: Arc<str>,
    client: Arc<Mutex<Option<Docker>>>,
}

/// Why the engine did not do something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum EngineError {
    /// It is not there.
    #[error(
        "the Docker engine at {host} cannot be reached ({why}); start it (`systemctl start docker`) and look at its log"
    )]
    Unreachable { host: String, why: String },
    /// It is there and does not answer.
    #[error(
        "the Docker engine at {host} did not answer within {seconds} s; look at its log, restart it if it hangs"
    )]
    Hung { host: String, seconds: u64 },
    /// It answered with an error.
    #[error("the Docker engine refused: {message}")]
    Refused { status: u16, message: String },
    /// Its answer was not understood.
    #[error(
        "the Docker engine's answer was not understood ({0}); this version of it may not be supported"
    )]
    Unclear(String),
}

impl EngineError {
    /// Whether the same may work when the engine is back.
    pub const fn is_outage(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Hung { .. })
    }

    /// Whether the thing asked about does not exist (any more).
    pub const fn is_absent(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }
}

/// What an engine says of itself.
#[derive(Clone, Debug)]
pub(super) struct EngineVersion {
    pub version: String,
    pub api: String,
}

/// What an engine says of its host.
#[derive(Clone, Debug, Default)]
pub(super) struct EngineInfo {
    pub hostname: String,
    pub os: String,
    /// As the kernel calls it.
    pub arch: String,
    pub cores: u64,
    /// In bytes.
    pub memory: u64,
}

impl Engine {
    /// The engine at `unix:///path`, which people are told of by another name; nothing is connected yet.
    pub fn new(host: &str, shown: &str) -> Self {
        Self {
            host: host.into(),
            shown: shown.into(),
            client: Arc::default(),
        }
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    /// What it says of its host.
    pub async fn info(&self) -> Result<EngineInfo, EngineError> {
        let client = self.client().await?;
        let info = self.limited(PING_TIMEOUT, client.info()).await?;
        let count = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok());
        Ok(EngineInfo {
            hostname: info.name.unwrap_or_default(),
            os: info.operating_system.unwrap_or_default(),
            arch: info.architecture.unwrap_or_default(),
            cores: count(info.ncpu).unwrap_or_default(),
            memory: count(info.mem_total).unwrap_or_default(),
        })
    }

    /// Whether it answers now.
    pub async fn ping(&self) -> Result<(), EngineError> {
        let client = self.client().await?;
        self.limited(PING_TIMEOUT, client.ping()).await.map(drop)
    }

    pub async fn version(&self) -> Result<EngineVersion, EngineError> {
        let client = self.client().await?;
        let version = self.limited(PING_TIMEOUT, client.version()).await?;
        Ok(EngineVersion {
            version: version.version.unwrap_or_default(),
            api: client.client_version().to_string(),
        })
    }

    async fn client(&self) -> Result<Docker, EngineError> {
        if let Some(client) = self.client.lock().await.as_ref() {
            return Ok(client.clone());
        }
        // Each asks for itself: behind an engine that hangs, they must not wait for each other.
        let timeout = CALL_TIMEOUT.as_secs() * 2;
        let client = Docker::connect_with_unix(&self.host, timeout, bollard::API_DEFAULT_VERSION)
            .map_err(|error| self.explain(&error))?;
        let client = self
            .limited(PING_TIMEOUT, client.negotiate_version())
            .await?;
        *self.client.lock().await = Some(client.clone());
        Ok(client)
    }

    async fn call<T>(
        &self,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, EngineError> {
        let result = self.limited(CALL_TIMEOUT, call).await;
        if result.as_ref().is_err_and(EngineError::is_outage) {
            // The one that comes back may be of another version.
            *self.client.lock().await = None;
        }
        result
    }

    async fn limited<T>(
        &self,
        limit: Duration,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, EngineError> {
        match tokio::time::timeout(limit, call).await {
            Ok(result) => result.map_err(|error| self.explain(&error)),
            Err(_) => Err(EngineError::Hung {
                host: self.shown.to_string(),
                seconds: limit.as_secs(),
            }),
        }
    }

    fn explain(&self, error: &Error) -> EngineError {
        match error {
            // No engine says that: it is what stands before one that is not there.
            Error::DockerResponseServerError {
                status_code: 502,
                message,
            } => EngineError::Unreachable {
                host: self.shown.to_string(),
                why: message.clone(),
            },
            Error::DockerResponseServerError {
                status_code,
                message,
            } => EngineError::Refused {
                status: *status_code,
                message: message.clone(),
            },
            Error::RequestTimeoutError => EngineError::Hung {
                host: self.shown.to_string(),
                seconds: CALL_TIMEOUT.as_secs(),
            },
            Error::JsonDataError { message, .. } => EngineError::Unclear(message.clone()),
            Error::JsonSerdeError { err } => EngineError::Unclear(err.to_string()),
            other => EngineError::Unreachable {
                host: self.shown.to_string(),
                why: root_cause(other),
            },
        }
    }
}

fn root_cause(error: &Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn an_engine_that_hangs_holds_up_each_caller_for_itself_alone() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("docker.sock");
        let _hung = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let engine = Engine::new(&format!("unix://{}", socket.display()), "the test's socket");
        let began = std::time::Instant::now();
        let answers = futures_util::future::join_all((0..4).map(|_| engine.ping())).await;
        assert!(
            answers
                .iter()
                .all(|answer| matches!(answer, Err(EngineError::Hung { .. }))),
            "{answers:?}"
        );
        assert!(began.elapsed() < 2 * PING_TIMEOUT, "{:?}", began.elapsed());
    }
}
