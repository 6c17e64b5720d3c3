//! One agent beside the control plane, as a process.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, Command};
use towline_shared::ids::TargetId;
use towline_shared::remote_engine::RemoteEngine;
use zeroize::Zeroizing;

/// What of the control plane's environment an agent beside it has: nothing that could be a secret.
const ENVIRONMENT: [&str; 4] = ["PATH", "HOME", "LANG", "DOCKER_CONFIG"];
/// How long it has to end after it was told so.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
/// What its last words before it fails begin with.
const COMPLAINT: &str = "towline-agent: ";

/// An agent that runs.
pub(super) struct Running {
    child: Child,
    /// It lives as long as this is open.
    orders: ChildStdin,
    log: tokio::task::JoinHandle<Option<String>>,
}

/// How an agent has ended.
pub(super) struct Ended {
    pub status: ExitStatus,
    /// Its last words.
    pub complaint: Option<String>,
}

impl Running {
    /// Starts one, and tells it what to do.
    pub async fn start(
        program: &Path,
        state_dir: &Path,
        target: TargetId,
        orders: &RemoteEngine,
    ) -> std::io::Result<Self> {
        let mut command = Command::new(program);
        command
            .args(["--log-format", "json", "run-beside", "--state-dir"])
            .arg(state_dir)
            .env_clear()
            .envs(
                ENVIRONMENT
                    .into_iter()
                    .filter_map(|name| Some((name, std::env::var_os(name)?))),
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn()?;
        let missing = || std::io::Error::other("the agent has no pipes");
        let stderr = child.stderr.take().ok_or_else(missing)?;
        let mut stdin = child.stdin.take().ok_or_else(missing)?;
        let log = tokio::spawn(retell(stderr, target));
        let mut line = Zeroizing::new(serde_json::to_vec(orders)?);
        line.push(b'\n');
        stdin.write_all(&line).await?;
        stdin.flush().await?;
        Ok(Self {
            child,
            orders: stdin,
            log,
        })
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> std::io::Result<Ended> {
        let status = self.child.wait().await?;
        let complaint = (&mut self.log).await.ok().flatten();
        Ok(Ended { status, complaint })
    }

    /// Ends it: jobs that are under way are gone on with by the next.
    pub async fn stop(mut self) {
        drop(self.orders);
        if tokio::time::timeout(STOP_PATIENCE, self.child.wait())
            .await
            .is_err()
        {
            // It is killed when it is dropped in any case.
            let _ = self.child.kill().await;
        }
    }
}

/// Retells what an agent logs, and gives its last words.
async fn retell(stderr: ChildStderr, target: TargetId) -> Option<String> {
    let mut lines = BufReader::new(stderr).lines();
    let mut complaint = None;
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(words) = line.strip_prefix(COMPLAINT) {
            complaint = Some(words.to_owned());
        }
        let said: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        let message = said["message"].as_str().unwrap_or(&line);
        if let Some("INFO" | "DEBUG" | "TRACE") = said["level"].as_str() {
            tracing::debug!(%target, agent = message);
        } else {
            tracing::warn!(%target, agent = message);
        }
    }
    complaint
}
