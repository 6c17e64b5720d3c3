//! The programs that are run: the engine's own check of its configuration, and what restarts it.

use std::fs::{self, File};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::process::Command;
use tokio::time::timeout;

use super::error::{DockerTlsError, Result};
use super::unit::TIMER;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How long a restart may take: systemd itself gives an engine with many containers some minutes to stop.
const RESTART_PATIENCE: Duration = Duration::from_mins(5);
/// How long the engine may take to read its configuration.
const CHECK_PATIENCE: Duration = Duration::from_secs(30);
/// The most characters of a program's words that an error repeats.
const TOLD: usize = 1500;

/// How the engine is restarted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restart {
    /// `systemctl restart docker`.
    Systemd,
    /// `rc-service docker restart`.
    OpenRc,
    /// A program and its arguments, on hosts with neither.
    Command(Vec<String>),
}

/// What the engine's own check said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Validation {
    /// It is content.
    Passed,
    /// It is an engine before 23.0, which has none: that it starts is the check.
    NotSupported,
    /// There is no `dockerd` where it is looked for: that it starts is the check.
    NoProgram,
}

impl Validation {
    /// For people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Passed => "dockerd --validate accepts it",
            Self::NotSupported => "this dockerd has no --validate; that it started is the check",
            Self::NoProgram => "no dockerd was found to validate it; that it started is the check",
        }
    }
}

impl Restart {
    /// What was asked for, or else what runs here.
    pub fn find(asked: &[String]) -> Result<Self> {
        if !asked.is_empty() {
            return Ok(Self::Command(asked.to_vec()));
        }
        if Path::new("/run/systemd/system").is_dir() {
            Ok(Self::Systemd)
        } else if Path::new("/run/openrc").is_dir() {
            Ok(Self::OpenRc)
        } else {
            Err(DockerTlsError::NoInit)
        }
    }

    /// Restarts the engine; what the programs print goes to `log`.
    pub async fn run(&self, log: &Path) -> Result<()> {
        match self {
            Self::Systemd => {
                run(&["systemctl", "daemon-reload"], log).await?;
                run(&["systemctl", "restart", "docker"], log).await
            }
            Self::OpenRc => run(&["rc-service", "docker", "restart"], log).await,
            Self::Command(words) => {
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                run(&words, log).await
            }
        }
    }

    /// Has the timer of the renewal run, where there is one.
    pub async fn start_timer(&self, log: &Path) -> Result<()> {
        match self {
            Self::Systemd => run(&["systemctl", "enable", "--now", TIMER], log).await,
            Self::OpenRc | Self::Command(_) => Ok(()),
        }
    }

    /// Ends it.
    pub async fn stop_timer(&self, log: &Path) {
        if *self == Self::Systemd {
            // One that never ran is as good.
            let _ = run(&["systemctl", "disable", "--now", TIMER], log).await;
        }
    }

    /// It in words.
    pub fn words(&self) -> String {
        match self {
            Self::Systemd => "systemctl restart docker".to_owned(),
            Self::OpenRc => "rc-service docker restart".to_owned(),
            Self::Command(words) => words.join(" "),
        }
    }
}

/// Runs a program whose words go to a file: what it starts may hold on to them.
async fn run(words: &[&str], log: &Path) -> Result<()> {
    let Some((program, arguments)) = words.split_first() else {
        return Err(DockerTlsError::NoInit);
    };
    let failed = |how: String, output: String| DockerTlsError::Program {
        program: words.join(" "),
        how,
        output,
    };
    let file = File::create(log).map_err(|cause| DockerTlsError::io("cannot write", log, cause))?;
    let errors = file
        .try_clone()
        .map_err(|cause| DockerTlsError::io("cannot write", log, cause))?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("PATH", PATH)
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(errors);
    let status = timeout(RESTART_PATIENCE, command.status()).await;
    let output = || end_of(&fs::read(log).unwrap_or_default());
    match status {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(failed(ended(status), output())),
        Ok(Err(error)) => Err(failed(format!("cannot be started: {error}"), String::new())),
        Err(_) => {
            let how = format!("did not end within {} s", RESTART_PATIENCE.as_secs());
            Err(failed(how, output()))
        }
    }
}

/// Has the engine read a configuration, with the flags that it will be started with.
pub async fn validate(program: &Path, flags: &[String], config: &Path) -> Result<Validation> {
    // It wants to see its docker-proxy, which may lie beside it and nowhere else.
    let beside = program.parent().unwrap_or(Path::new("/"));
    let mut command = Command::new(program);
    command
        .args(flags)
        .arg("--validate")
        .arg("--config-file")
        .arg(config)
        .env("PATH", format!("{PATH}:{}", beside.display()))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let failed = |how: String, output: String| DockerTlsError::Program {
        program: format!("{} --validate", program.display()),
        how,
        output,
    };
    let output = match timeout(CHECK_PATIENCE, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Validation::NoProgram);
        }
        Ok(Err(error)) => return Err(failed(format!("cannot be started: {error}"), String::new())),
        Err(_) => {
            let how = format!("did not end within {} s", CHECK_PATIENCE.as_secs());
            return Err(failed(how, String::new()));
        }
    };
    let words = end_of(&[output.stdout, output.stderr].concat());
    if output.status.success() {
        Ok(Validation::Passed)
    } else if words.contains("unknown flag: --validate") {
        Ok(Validation::NotSupported)
    } else {
        Err(failed(ended(output.status), words))
    }
}

fn ended(status: ExitStatus) -> String {
    format!("failed ({status})")
}

fn end_of(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let skipped = text.chars().count().saturating_sub(TOLD);
    text.chars()
        .skip(skipped)
        .collect::<String>()
        .trim()
        .to_owned()
}
