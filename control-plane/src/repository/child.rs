//! Git as a child: what it may cost is watched while it runs.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::fs::{Gid, Uid};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::time::Instant;
use towline_shared::git;

use super::{Limits, RepositoryError};

const PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// `nobody` and `nogroup`, as nearly everywhere.
const NOBODY: u32 = 65_534;
/// How often the size of the folder is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The most bytes that a call may print: a listing of as many files as there may be, or what is read of them.
const MAX_PRINTED: u64 = 32 * 1024 * 1024;
/// The most bytes of complaints that are read.
const MAX_COMPLAINT: u64 = 64 * 1024;

/// Git in one folder, or what finds out for it whom it may speak to.
pub(super) struct Git {
    pub program: &'static str,
    pub folder: PathBuf,
    pub ends: Instant,
    pub limits: Limits,
}

/// A folder for git alone; it goes when it is dropped. What it begins with is there before it is given away.
pub(super) fn own_folder(
    parent: &Path,
    fill: impl FnOnce(&Path) -> io::Result<Vec<PathBuf>>,
) -> io::Result<TempDir> {
    let folder = tempfile::Builder::new()
        .prefix("towline-repository-")
        .tempdir_in(parent)?;
    let filled = fill(folder.path())?;
    if is_root() {
        let (user, group) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
        // What is in a folder goes before that, and all of it last: until then nobody else reaches any of it.
        for path in filled
            .iter()
            .rev()
            .map(PathBuf::as_path)
            .chain([folder.path()])
        {
            rustix::fs::chown(path, Some(user), Some(group))?;
        }
    }
    Ok(folder)
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

impl Git {
    /// Runs one call to its end, within the limits; gives what it printed.
    pub(super) async fn run(
        &self,
        arguments: &[String],
        environment: &[(String, String)],
        input: Vec<u8>,
    ) -> Result<Vec<u8>, RepositoryError> {
        let mut child = self.start(arguments, environment)?;
        let result = tokio::select! {
            done = communicate(&mut child, input) => done,
            why = self.over_the_limits() => Err(why),
        };
        if result.is_err() {
            end(&mut child).await;
        }
        let (status, printed, complaint) = result?;
        if status.success() {
            Ok(printed)
        } else {
            Err(git::understand(&String::from_utf8_lossy(&complaint)).into())
        }
    }

    fn start(
        &self,
        arguments: &[String],
        environment: &[(String, String)],
    ) -> Result<Child, RepositoryError> {
        let mut command = Command::new(self.program);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", PATH)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.spawn().map_err(|error| match self.program {
            "git" => no_git(&error),
            program => RepositoryError::NoSsh(program, error.to_string()),
        })
    }

    /// Returns when a limit is passed, and never otherwise.
    async fn over_the_limits(&self) -> RepositoryError {
        loop {
            let next = Instant::now() + LOOK_EVERY;
            if next >= self.ends {
                tokio::time::sleep_until(self.ends).await;
                return RepositoryError::TimedOut(self.limits.time);
            }
            tokio::time::sleep_until(next).await;
            if size_of(&self.folder) > self.limits.disk {
                return RepositoryError::TooLarge(self.limits.disk);
            }
        }
    }
}

fn no_git(error: &io::Error) -> RepositoryError {
    RepositoryError::NoGit(error.to_string())
}

type Done = (std::process::ExitStatus, Vec<u8>, Vec<u8>);

async fn communicate(child: &mut Child, input: Vec<u8>) -> Result<Done, RepositoryError> {
    let mut stdin = child.stdin.take();
    let feed = async move {
        if let Some(stdin) = &mut stdin {
            // Who does not read it says why on its standard error.
            let _ = stdin.write_all(&input).await;
        }
    };
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let ((), printed, complaint) =
        tokio::join!(feed, read(stdout, MAX_PRINTED), read(stderr, MAX_COMPLAINT));
    let status = child.wait().await.map_err(|error| no_git(&error))?;
    Ok((
        status,
        printed.map_err(|error| no_git(&error))?,
        complaint.map_err(|error| no_git(&error))?,
    ))
}

/// Reads all of it, and keeps as much as is allowed: the end of what is longer.
async fn read(from: Option<impl AsyncRead + Unpin>, most: u64) -> io::Result<Vec<u8>> {
    let Some(mut from) = from else {
        return Ok(Vec::new());
    };
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let (mut kept, mut piece) = (Vec::new(), vec![0; 16 * 1024]);
    loop {
        let read = from.read(&mut piece).await?;
        if read == 0 {
            return Ok(kept);
        }
        if kept.len() + read > most {
            let over = (kept.len() + read - most).min(kept.len());
            kept.drain(..over);
        }
        kept.extend_from_slice(&piece[..read]);
    }
}

/// Ends a call with all that it has started.
async fn end(child: &mut Child) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
        // It may have ended by itself just now.
        let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
    }
    let _ = child.wait().await;
}

/// Bytes of the files in a folder and those below; what goes meanwhile does not count.
fn size_of(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size_of(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.filter_map(Result::ok).map(size).sum()
}
