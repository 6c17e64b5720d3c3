//! One commit of one repository, fetched by git in a folder of its own.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use towline_shared::git::{self, Complaint, Credential, GitAddress, Reach, Reference, Scheme};
use towline_shared::outcome::FailureReason;

use super::judge::{MAX_BYTES, too_large};
use crate::executor::docker::child;
use crate::executor::docker::folder;
use crate::executor::errand::Errand;
use crate::executor::stop::Stop;

/// How often the size of what git writes is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The most bytes that git's answers are read of.
const MAX_PRINTED: u64 = 64 * 1024 * 1024;

/// Where a commit comes from, and where it goes.
pub(super) struct Repository<'a> {
    pub address: GitAddress,
    pub what: Reference,
    /// Who reads it, and by what: a password, or over ssh a key. Nobody at another server than the source's.
    pub login: Option<(&'a str, &'a str)>,
    /// By what its server is known over ssh.
    pub host_keys: &'a [String],
    /// Git's own folder.
    pub home: PathBuf,
    /// Where the folders of all of a checkout's repositories are.
    pub watched: &'a Path,
    /// Where its files go.
    pub root: PathBuf,
}

impl Repository<'_> {
    /// Fetches the commit; none of its files is there yet.
    pub async fn fetch(&self, errand: &Errand<'_>) -> Result<(), Stop> {
        folder::create_private(&self.home)
            .and_then(|()| self.prepare_ssh())
            .map_err(|error| Stop::internal("cannot write the job's folder", &error))?;
        let home = self.home.to_string_lossy().into_owned();
        self.run(errand, git::init(&home)).await?;
        let fetch = git::fetch(&home, &self.address, &self.what);
        self.run(errand, fetch).await.map(drop)
    }

    /// Over ssh git needs files, which go with what it fetches.
    fn prepare_ssh(&self) -> io::Result<()> {
        let (Scheme::Ssh, Some((_, key))) = (self.address.scheme(), self.login) else {
            return Ok(());
        };
        let home = self.home.to_string_lossy();
        git::ssh::write(self.way(&home), key, self.host_keys).map(drop)
    }

    fn way<'b>(&'b self, home: &'b str) -> Reach<'b> {
        let credential = match (self.login, self.address.scheme()) {
            (None, _) => Credential::None,
            (Some(_), Scheme::Ssh) => Credential::Key,
            (Some((user, password)), Scheme::Https | Scheme::Http) => {
                Credential::Basic { user, password }
            }
        };
        Reach {
            address: &self.address,
            credential,
            pinned: None,
            home,
        }
    }

    /// Has git do something, and gives what it prints.
    pub async fn run(&self, errand: &Errand<'_>, arguments: Vec<String>) -> Result<Vec<u8>, Stop> {
        let mut child = self.start(errand, &arguments)?;
        let done = async {
            tokio::select! {
                done = communicate(&mut child) => Ok(done),
                () = self.too_large() => Err(too_large()),
            }
        };
        let done = match errand.bounded(done).await {
            Ok(done) => done,
            Err(stop) => Err(stop),
        };
        let done = match done {
            Ok(done) => done,
            Err(stop) => {
                end(&mut child).await;
                return Err(stop);
            }
        };
        let (succeeded, printed, complaint) =
            done.map_err(|error| Stop::internal("cannot read what git says", &error))?;
        if succeeded {
            return Ok(printed);
        }
        let complaint = git::understand(&String::from_utf8_lossy(&complaint));
        let reason = match complaint {
            Complaint::NoRoom => FailureReason::DiskFull,
            _ => FailureReason::SourceUnavailable,
        };
        Err(Stop::failed(reason, complaint.to_string()))
    }

    fn start(&self, errand: &Errand<'_>, arguments: &[String]) -> Result<Child, Stop> {
        let home = self.home.to_string_lossy();
        let mut command = Command::new("git");
        command
            .args(arguments)
            .env_clear()
            .env("PATH", child::PATH)
            .env(child::JOB_VARIABLE, errand.task.attempt.job.to_string())
            .env("GIT_DIR", self.home.join(".git"))
            .env("GIT_WORK_TREE", &self.root)
            .envs(git::environment(self.way(&home)))
            .current_dir(&self.root)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        command.spawn().map_err(|error| {
            let message = format!("cannot run git: {error}; install git on this host");
            Stop::failed(FailureReason::SourceUnavailable, message)
        })
    }

    /// Returns when what git writes is over the limit, and never otherwise.
    async fn too_large(&self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if size_of(self.watched) > MAX_BYTES {
                return;
            }
        }
    }
}

type Done = io::Result<(bool, Vec<u8>, Vec<u8>)>;

async fn communicate(child: &mut Child) -> Done {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (mut printed, mut complaint) = (Vec::new(), Vec::new());
    let read = async {
        if let Some(stdout) = stdout {
            stdout.take(MAX_PRINTED).read_to_end(&mut printed).await?;
        }
        Ok::<(), io::Error>(())
    };
    let hear = async {
        if let Some(stderr) = stderr {
            stderr.take(MAX_PRINTED).read_to_end(&mut complaint).await?;
        }
        Ok::<(), io::Error>(())
    };
    tokio::try_join!(read, hear)?;
    let status = child.wait().await?;
    Ok((status.success(), printed, complaint))
}

/// Ends git with all that it has started.
async fn end(child: &mut Child) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(pid) = pid.and_then(Pid::from_raw) {
        // It may have ended by itself just now.
        let _ = rustix::process::kill_process_group(pid, Signal::KILL);
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
