//! Reading what stands in a repository, as far as a project needs it to be understood.
//!
//! The system's git does it, in a process of its own with nothing of ours in its environment, in a folder of its own
//! that goes with it, and as nobody where this process is root. One commit is fetched, nothing before it; how long,
//! how large and how many files are bounded. The address is judged as any that a user names (`egress`), and git
//! connects to that very address.

mod child;
mod host_keys;
mod tree;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;
use towline_shared::git::{
    self, Complaint, Credential, Entry, GitAddress, Reach, Reference, Scheme,
};
use towline_shared::spec::ProjectFile;
use zeroize::Zeroizing;

use crate::egress::{Egress, EgressError};
use child::Git;

/// How many repositories a process reads at once: each may fill a disk and keep a core busy for a while.
static AT_ONCE: Semaphore = Semaphore::const_new(4);

/// What reading a repository may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// In all.
    pub time: Duration,
    /// Bytes on the disk while it is read.
    pub disk: u64,
    /// Files and folders in the commit.
    pub entries: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time: Duration::from_mins(2),
            disk: 512 * 1024 * 1024,
            entries: 50_000,
        }
    }
}

/// Reads repositories. Clones are the same.
#[derive(Clone, Debug)]
pub struct Repositories {
    egress: Egress,
    limits: Limits,
    /// Where git's folders are made.
    scratch: PathBuf,
}

/// A user and a password or token. Debugging shows neither.
#[derive(Clone)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password or token.
    pub password: Zeroizing<String>,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Login(redacted)")
    }
}

/// The key by which a repository is read over ssh, and those by which its server is known. Debugging shows none.
#[derive(Clone)]
pub struct SshKey {
    /// As forges take it.
    pub public: String,
    /// As ssh takes it.
    pub private: Zeroizing<String>,
    /// Lines of a `known_hosts` file.
    pub host_keys: Vec<String>,
}

impl std::fmt::Debug for SshKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SshKey(redacted)")
    }
}

/// By what a repository is read.
#[derive(Clone, Debug)]
pub enum Access {
    /// Nothing: it is public.
    Public,
    /// A user and a password.
    Login(Login),
    /// A key, over ssh.
    Key(SshKey),
}

/// A commit, and what of it was read.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Its whole name.
    pub commit: String,
    /// The first line of its message, as far as it is text.
    pub title: String,
    /// All its files, by path.
    pub entries: Vec<Entry>,
    /// Those that were read: what describes the project first, then what is small, up to the limits of a project.
    pub files: Vec<ProjectFile>,
}

/// Why a repository was not read.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// It may not be called.
    #[error(transparent)]
    Egress(#[from] EgressError),
    /// Git could not.
    #[error(transparent)]
    Git(#[from] Complaint),
    /// It took too long.
    #[error("the repository was not read within {} seconds", .0.as_secs())]
    TimedOut(Duration),
    /// It is too large.
    #[error("one commit of the repository has more than {} MiB; take large files out of it, or keep them in Git LFS", .0 / 1024 / 1024)]
    TooLarge(u64),
    /// It has too many files.
    #[error(
        "the commit has more than {0} files; take out what is generated or comes from elsewhere"
    )]
    TooMany(usize),
    /// The folder that was named is not in it.
    #[error("the commit has no folder {0:?}")]
    NoFolder(String),
    /// Others are read meanwhile.
    #[error("too many repositories are read at the moment; try again in a minute")]
    Busy,
    /// This machine cannot.
    #[error("git does not run on the control plane's machine: {0}; install git there")]
    NoGit(String),
    /// Neither over ssh.
    #[error("{0} does not run on the control plane's machine: {1}; install openssh-client there")]
    NoSsh(&'static str, String),
    /// Nobody answers as ssh does.
    #[error("the server {0} shows no host key; check the address and its port")]
    NoHostKey(String),
}

impl RepositoryError {
    /// Whether the same may be read another time without that anybody changes anything: a server comes back, and shows
    /// a commit that was just pushed a moment later.
    pub const fn may_pass(&self) -> bool {
        match self {
            Self::Git(complaint) => matches!(
                complaint,
                Complaint::NoReference
                    | Complaint::Unreachable(_)
                    | Complaint::NoRoom
                    | Complaint::Other(_)
            ),
            Self::Egress(error) => matches!(
                error,
                EgressError::TimedOut(_) | EgressError::Connect(_) | EgressError::Broken(_)
            ),
            Self::TimedOut(_) | Self::Busy | Self::NoHostKey(_) => true,
            Self::TooLarge(_)
            | Self::TooMany(_)
            | Self::NoFolder(_)
            | Self::NoGit(_)
            | Self::NoSsh(..) => false,
        }
    }
}

impl Repositories {
    /// Reads under a policy.
    pub fn new(egress: Egress, limits: Limits) -> Self {
        Self {
            egress,
            limits,
            scratch: std::env::temp_dir(),
        }
    }

    /// Reads a commit, or the folder of it that is named (empty: all of it).
    pub async fn read(
        &self,
        address: &GitAddress,
        access: &Access,
        what: &Reference,
        folder: &str,
    ) -> Result<Snapshot, RepositoryError> {
        let began = Instant::now();
        let _turn = self.turn(began).await?;
        let pinned = match address.scheme() {
            Scheme::Ssh => self.egress.locate_host(address.bare_host()).await?,
            Scheme::Https | Scheme::Http => self.egress.locate(&address.to_string()).await?,
        };
        let home = match access {
            Access::Key(key) => self.scratch(Some((address, pinned, key))).await?,
            Access::Public | Access::Login(_) => self.scratch(None).await?,
        };
        let repository = Repository {
            address,
            access,
            pinned,
            git: Git {
                program: "git",
                folder: home.path().to_path_buf(),
                ends: began + self.limits.time,
                limits: self.limits,
            },
        };
        let read = repository.read(what, folder, self.limits.entries).await;
        // Removing many files takes its time.
        let gone = tokio::task::spawn_blocking(move || home.close()).await;
        if !matches!(gone, Ok(Ok(()))) {
            tracing::warn!(?gone, "the folder of a read repository stays");
        }
        read
    }

    async fn turn(&self, began: Instant) -> Result<SemaphorePermit<'static>, RepositoryError> {
        let turn = tokio::time::timeout_at(began + self.limits.time, AT_ONCE.acquire()).await;
        match turn {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(RepositoryError::Busy),
        }
    }

    /// A folder for git, with what it needs to speak ssh by a key.
    async fn scratch(
        &self,
        way: Option<(&GitAddress, IpAddr, &SshKey)>,
    ) -> Result<TempDir, RepositoryError> {
        let parent = self.scratch.clone();
        let way = way.map(|(address, pinned, key)| (address.clone(), pinned, key.clone()));
        let fill = move |home: &Path| match &way {
            None => Ok(Vec::new()),
            Some((address, pinned, key)) => {
                let reach = Reach {
                    address,
                    credential: Credential::Key,
                    pinned: Some(*pinned),
                    home: &home.to_string_lossy(),
                };
                git::ssh::write(reach, &key.private, &key.host_keys)
            }
        };
        let made = tokio::task::spawn_blocking(move || child::own_folder(&parent, fill)).await;
        let cannot = |error: String| RepositoryError::NoGit(error);
        made.map_err(|error| cannot(error.to_string()))?
            .map_err(|error| cannot(error.to_string()))
    }
}

/// One repository while it is read.
struct Repository<'a> {
    address: &'a GitAddress,
    access: &'a Access,
    pinned: IpAddr,
    git: Git,
}

impl Repository<'_> {
    async fn read(
        &self,
        what: &Reference,
        folder: &str,
        most: usize,
    ) -> Result<Snapshot, RepositoryError> {
        let home = self.git.folder.to_string_lossy().into_owned();
        self.run(git::init(&home)).await?;
        self.run(git::fetch(&home, self.address, what)).await?;
        let commit = self.line(&["rev-parse", "--verify", "--end-of-options"], "^{commit}");
        let commit = commit.await?;
        let title = self.line(&["log", "-1", "--format=%s"], "").await?;
        let list = git::list(&commit, folder);
        let list: Vec<&str> = list.iter().map(String::as_str).collect();
        let listed = self.run(self.here(&list));
        let listed = match listed.await {
            Err(RepositoryError::Git(_)) => {
                return Err(RepositoryError::NoFolder(folder.to_owned()));
            }
            listed => listed?,
        };
        let entries = git::listed(&listed);
        if entries.len() > most {
            return Err(RepositoryError::TooMany(most));
        }
        let chosen = tree::choose(&entries);
        let names: Vec<&str> = chosen.iter().map(|entry| entry.blob.as_str()).collect();
        let names = names.join(
            "
",
        ) + "
";
        let batch = self.here(&["cat-file", "--batch"]);
        let environment = self.environment();
        let printed = self.git.run(&batch, &environment, names.into_bytes());
        let files = tree::contents(&chosen, &printed.await?);
        Ok(Snapshot {
            commit,
            title,
            entries,
            files,
        })
    }

    /// One line about what was fetched.
    async fn line(&self, before: &[&str], behind: &str) -> Result<String, RepositoryError> {
        let what = format!("{}{behind}", git::FETCHED);
        let printed = self.run(self.here(&[before, &[&what]].concat())).await?;
        let text = String::from_utf8_lossy(&printed);
        let is_text = |c: &char| !c.is_control();
        Ok(text.trim().chars().filter(is_text).take(200).collect())
    }

    fn here(&self, arguments: &[&str]) -> Vec<String> {
        let home = self.git.folder.to_string_lossy();
        let here = ["-C", home.as_ref()];
        here.iter()
            .chain(arguments)
            .map(|&one| one.to_owned())
            .collect()
    }

    async fn run(&self, arguments: Vec<String>) -> Result<Vec<u8>, RepositoryError> {
        self.git
            .run(&arguments, &self.environment(), Vec::new())
            .await
    }

    fn environment(&self) -> Vec<(String, String)> {
        let credential = match self.access {
            Access::Public => Credential::None,
            Access::Login(login) => Credential::Basic {
                user: &login.user,
                password: &login.password,
            },
            Access::Key(_) => Credential::Key,
        };
        git::environment(Reach {
            address: self.address,
            credential,
            pinned: Some(self.pinned),
            home: &self.git.folder.to_string_lossy(),
        })
    }
}
