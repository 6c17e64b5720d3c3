//! `docker compose` as a child process.
//!
//! It is its own process group, writes to a file of the job's folder and reads its model from
//! memory, so that it lives on, loses nothing and needs nothing when the agent dies. Its environment
//! names the job: a restarted agent finds it and waits for it instead of starting another.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};
use tokio::process::{Child, Command};
use towline_shared::failpoint::reach;
use towline_shared::ids::JobId;
use towline_shared::spec::Secret;

use super::plugin::ComposePlugin;

/// Names the job in a child's environment.
pub(in crate::executor) const JOB_VARIABLE: &str = "TOWLINE_JOB";
/// Where it is recorded which process works on a project.
pub(super) const RECORD: &str = "compose.json";
pub(in crate::executor) const PATH: &str =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How long a child may take to stop when it is told to.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
/// How often to look whether a process that is no child of ours has ended.
const WATCH_EVERY: Duration = Duration::from_millis(20);

/// How compose is called for one project and job.
#[derive(Clone, Debug)]
pub(super) struct Compose {
    pub plugin: ComposePlugin,
    pub docker_host: String,
    pub docker_config: PathBuf,
    pub project: String,
    pub job: JobId,
    pub secrets: Vec<Secret>,
    /// The project's `.env`, when it is not to be looked for beside the files.
    pub env_file: Option<PathBuf>,
}

/// A running compose process.
pub(in crate::executor) enum Running {
    /// Started by this process.
    Own(Child),
    /// Left by a former process of the agent.
    Left(ProcessId),
}

/// A process, told apart from a later one of the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::executor) struct ProcessId {
    pid: i32,
    /// In clock ticks since the boot.
    started: u64,
}

impl Compose {
    /// A call with these arguments; secrets are in its environment alone.
    pub fn command(&self, folder: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.plugin.path);
        command
            .args(["--ansi", "never", "--project-name", &self.project])
            .args(
                self.env_file
                    .iter()
                    .flat_map(|path| [OsStr::new("--env-file"), path.as_os_str()]),
            )
            .args(arguments)
            .current_dir(folder)
            .env_clear()
            .envs(
                self.secrets
                    .iter()
                    .map(|secret| (&secret.name, &secret.value)),
            )
            .env("PATH", PATH)
            .env(
                "HOME",
                std::env::var_os("HOME").unwrap_or_else(|| "/root".into()),
            )
            .env("LANG", "C.UTF-8")
            .env("PWD", folder)
            .env("DOCKER_HOST", &self.docker_host)
            .env("DOCKER_CONFIG", &self.docker_config)
            .env("COMPOSE_MENU", "false")
            .env("COMPOSE_BAKE", "false")
            .env(JOB_VARIABLE, self.job.to_string())
            .stdin(Stdio::null());
        command
    }

    /// The output of a call that only reads; it ends with the agent.
    pub async fn output(
        &self,
        folder: &Path,
        arguments: &[&str],
        input: &[u8],
    ) -> std::io::Result<Output> {
        let mut command = self.command(folder, arguments);
        command
            .stdin(Stdio::from(in_memory(input)?))
            .kill_on_drop(true)
            .output()
            .await
    }

    /// Starts a call that outlives the agent.
    pub fn start(
        &self,
        folder: &Path,
        arguments: &[&str],
        input: &[u8],
        output: &Path,
    ) -> std::io::Result<Running> {
        let output = File::options().create(true).append(true).open(output)?;
        let mut command = self.command(folder, arguments);
        command
            .stdin(Stdio::from(in_memory(input)?))
            .stdout(Stdio::from(output.try_clone()?))
            .stderr(Stdio::from(output))
            .process_group(0);
        command.spawn().map(Running::Own)
    }
}

/// An anonymous file: nothing of it reaches a disk, and no writer is needed while it is read.
fn in_memory(content: &[u8]) -> std::io::Result<File> {
    let fd = rustix::fs::memfd_create("compose-model", rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut file = File::from(fd);
    file.write_all(content)?;
    file.rewind()?;
    Ok(file)
}

impl Running {
    /// The process, while it is there.
    pub fn id(&self) -> Option<ProcessId> {
        match self {
            Self::Own(child) => ProcessId::of(i32::try_from(child.id()?).ok()?),
            Self::Left(id) => Some(*id),
        }
    }

    /// Waits for its end; only of an own child is it known how it ended.
    pub async fn ended(&mut self) -> std::io::Result<Option<ExitStatus>> {
        match self {
            Self::Own(child) => child.wait().await.map(Some),
            Self::Left(id) => {
                id.gone().await;
                Ok(None)
            }
        }
    }

    /// Stops it and what it started: first by asking, then by force.
    pub async fn stop(&mut self) {
        let Some(id) = self.id() else { return };
        id.signal(Signal::TERM);
        if tokio::time::timeout(STOP_PATIENCE, self.ended())
            .await
            .is_err()
        {
            id.signal(Signal::KILL);
            // A process that cannot be killed hangs in the kernel; it must not hang the job.
            let _ = tokio::time::timeout(STOP_PATIENCE, self.ended()).await;
        }
        reach("agent: stopped compose");
    }
}

impl ProcessId {
    fn of(pid: i32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in parentheses, may contain anything; the fields count from behind it.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let is_zombie = fields.first() == Some(&"Z");
        let started = fields.get(19)?.parse().ok()?;
        (!is_zombie).then_some(Self { pid, started })
    }

    /// Whether it still runs.
    pub fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    pub async fn gone(self) {
        while self.is_alive() {
            tokio::time::sleep(WATCH_EVERY).await;
        }
    }

    /// Signals its whole group, which it leads.
    fn signal(self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.pid).filter(|_| self.is_alive()) {
            // It may have ended just now: then there is nothing to signal.
            let _ = rustix::process::kill_process_group(pid, signal);
        }
    }
}

/// The compose process that a former process of the agent left running for a job.
pub(in crate::executor) fn left_by(job: JobId) -> Option<Running> {
    let wanted = format!("{JOB_VARIABLE}={job}");
    let processes = std::fs::read_dir("/proc").ok()?.filter_map(Result::ok);
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let ours = pids.filter(|pid| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment
            .split(|&byte| byte == 0)
            .any(|variable| variable == wanted.as_bytes())
    });
    // Its own children inherit the environment; the leader of the group is compose itself.
    let leader = ours.filter(|pid| {
        let pid = Pid::from_raw(*pid);
        pid.is_some() && rustix::process::getpgid(pid).ok() == pid
    });
    leader.filter_map(ProcessId::of).map(Running::Left).next()
}

/// Records which process works on a project, so that no job starts a second one beside it.
pub(super) fn record(path: &Path, running: &Running) -> std::io::Result<()> {
    let Some(id) = running.id() else {
        return Ok(());
    };
    std::fs::write(path, serde_json::to_vec(&id)?)
}

/// The process of whichever job that still works on a project.
pub(super) fn recorded(path: &Path) -> Option<ProcessId> {
    let id: ProcessId = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    id.is_alive().then_some(id)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A compose call whose program is another one.
    fn calling(program: &str) -> Compose {
        Compose {
            plugin: ComposePlugin {
                path: program.into(),
            },
            docker_host: "unix:///nowhere".into(),
            docker_config: "/nowhere".into(),
            project: "shop".into(),
            job: JobId::new(),
            secrets: vec![Secret {
                name: "PASSWORD".into(),
                value: "hunter2".into(),
            }],
            env_file: None,
        }
    }

    #[tokio::test]
    async fn secrets_are_in_the_environment_and_never_among_the_arguments() {
        let output = calling("/usr/bin/env")
            .command(Path::new("/"), &[])
            .output()
            .await
            .unwrap();
        // `env` refuses compose's arguments, which is what shows them.
        assert!(!String::from_utf8_lossy(&output.stderr).contains("hunter2"));
        let command = calling("/bin/true").command(Path::new("/"), &["up"]);
        let secret = command
            .as_std()
            .get_envs()
            .find(|(name, _)| *name == "PASSWORD");
        assert_eq!(secret.unwrap().1.unwrap(), "hunter2");
        assert!(
            command
                .as_std()
                .get_args()
                .all(|argument| argument != "hunter2")
        );
    }

    #[tokio::test]
    async fn a_child_left_behind_is_found_waited_for_and_stopped() {
        let compose = calling("/bin/sleep");
        let mut command = tokio::process::Command::new("/bin/sleep");
        command
            .arg("30")
            .env(JOB_VARIABLE, compose.job.to_string())
            .kill_on_drop(true)
            .process_group(0);
        let mut child = command.spawn().unwrap();
        // The kernel shows a process's environment a moment after it has begun.
        let mut left = loop {
            match left_by(compose.job) {
                Some(left) => break left,
                None => tokio::time::sleep(WATCH_EVERY).await,
            }
        };
        assert_eq!(left.id().unwrap().pid.cast_unsigned(), child.id().unwrap());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("compose.json");
        record(&path, &left).unwrap();
        assert_eq!(recorded(&path), left.id());
        left.stop().await;
        assert!(!child.wait().await.unwrap().success());
        assert_eq!(recorded(&path), None);
        assert!(left_by(compose.job).is_none());
    }

    #[tokio::test]
    async fn a_child_reads_its_model_and_writes_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("output");
        let mut compose = calling("/bin/cat");
        compose.secrets.clear();
        let mut command = compose.command(folder.path(), &[]);
        let file = File::options()
            .create(true)
            .append(true)
            .open(&output)
            .unwrap();
        let mut child = {
            let mut std = std::process::Command::new("/bin/cat");
            std.stdin(in_memory(b"{}").unwrap()).stdout(file);
            std.spawn().unwrap()
        };
        assert!(child.wait().unwrap().success());
        assert_eq!(std::fs::read(&output).unwrap(), b"{}");
        assert!(
            command
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .await
                .is_ok()
        );
    }
}
