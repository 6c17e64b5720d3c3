//! The folder that holds everything an agent must not forget.
//!
//! ```text
//! identity.json   who the agent is: key, certificate, roots, addresses (0600)
//! ledger          the journal of its jobs
//! jobs/           one folder per held attempt: specification, log spool, the executor's files
//! status.json     what `towline-agent status` shows
//! upgrade.json    how far the last exchange of the agent's own program is
//! lock            held while an agent runs on this folder
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, FileExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use towline_shared::protocol::v1::Attempt;

/// How often, and how many milliseconds apart, a lock is tried that somebody has: who looks whether an agent runs has it
/// for a moment.
const TRIES: u32 = 10;
const BETWEEN: Duration = Duration::from_millis(20);

/// An agent's state folder.
#[derive(Clone, Debug)]
pub struct StateDir {
    root: PathBuf,
}

/// Why a state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It cannot be made or written.
    #[error("{action} {path}: {cause}; {remedy}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        cause: io::Error,
        /// What to do.
        remedy: &'static str,
    },
    /// Another process runs on it.
    #[error(
        "another towline-agent{} uses the state folder {path}; stop it first, or give this one its own --state-dir", .process.as_deref().unwrap_or_default()
    )]
    Locked {
        /// The folder.
        path: PathBuf,
        /// Which process, as far as it is known.
        process: Option<String>,
    },
}

/// Proof that no other agent runs on the same folder, for as long as it lives.
#[derive(Debug)]
pub struct StateLock {
    _file: File,
    boot: Boot,
}

/// Whether the machine was started since the folder was last used. If it was, what nobody had
/// synced may be gone from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boot {
    /// It was not: all that was written is there.
    Same,
    /// It was, or nobody can tell.
    Other,
}

impl StateLock {
    /// Whether the machine was started since the folder was last used.
    pub const fn boot(&self) -> Boot {
        self.boot
    }
}

impl StateDir {
    /// Opens the folder, and makes it (0700) when it is not there.
    pub fn open(root: &Path) -> Result<Self, StateError> {
        let dir = Self::existing(root);
        for folder in [dir.root.clone(), dir.jobs()] {
            create_private_dir(&folder)
                .map_err(|cause| failed("cannot create the state folder", &folder, cause))?;
        }
        Ok(dir)
    }

    /// The folder as it is, to be read.
    pub fn existing(root: &Path) -> Self {
        // Compose and the engine resolve relative paths in other folders.
        Self {
            root: std::path::absolute(root).unwrap_or_else(|_| root.to_path_buf()),
        }
    }

    /// Whether an agent runs on the folder. One that starts at this very moment finds it locked, and tries again.
    pub fn is_locked(&self) -> bool {
        let Ok(file) = File::open(self.root.join("lock")) else {
            return false;
        };
        flock(&file, FlockOperation::NonBlockingLockShared) == Err(rustix::io::Errno::WOULDBLOCK)
    }

    /// Takes the folder for this process, and proves that it can be written.
    pub fn lock(&self) -> Result<StateLock, StateError> {
        let path = self.root.join("lock");
        let cannot = |cause| failed("cannot lock the state folder by", &path, cause);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(cannot)?;
        let locked = lock_exclusively(&file);
        let mut user = String::new();
        file.read_to_string(&mut user).map_err(cannot)?;
        let (process, last_boot) = user.split_once('\n').unwrap_or_default();
        match locked {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(StateError::Locked {
                    path: self.root.clone(),
                    process: (!process.is_empty()).then(|| format!(" (process {process})")),
                });
            }
            Err(error) => return Err(cannot(error.into())),
        }
        let this_boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let boot = if !this_boot.is_empty() && this_boot == last_boot {
            Boot::Same
        } else {
            Boot::Other
        };
        let written = file.set_len(0).and_then(|()| {
            file.write_all_at(format!("{}\n{this_boot}", std::process::id()).as_bytes(), 0)
        });
        written.map_err(cannot)?;
        Ok(StateLock { _file: file, boot })
    }

    /// The folder itself; executors keep what outlives a job in folders of their own here.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The journal.
    pub fn ledger(&self) -> PathBuf {
        self.root.join("ledger")
    }

    /// The identity.
    pub fn identity(&self) -> PathBuf {
        self.root.join("identity.json")
    }

    /// What `status` shows of the last connection.
    pub fn status(&self) -> PathBuf {
        self.root.join("status.json")
    }

    /// The journal of the agent's upgrades.
    pub fn upgrade(&self) -> PathBuf {
        self.root.join("upgrade.json")
    }

    /// The folder of all attempts.
    pub fn jobs(&self) -> PathBuf {
        self.root.join("jobs")
    }

    /// The folder of one attempt.
    pub fn job(&self, attempt: Attempt) -> PathBuf {
        self.jobs()
            .join(format!("{}-{}", attempt.job, attempt.fence))
    }
}

/// Makes a folder (0700), and its parents where they are missing; one that is there stays as it is
/// but for its mode.
pub fn create_private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    if fs::metadata(path)?.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Writes a file (0600) so that it is there whole, or the one before it is, whenever the machine
/// dies.
pub fn write_durably(path: &Path, content: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let written = write_new(&new, content).and_then(|()| fs::rename(&new, path));
    if let Err(error) = written {
        // The half-written one must not take the space that may be what is missing.
        let _ = fs::remove_file(&new);
        return Err(error);
    }
    sync_parent(path)
}

fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Makes the entry of a file or folder in its parent durable.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// An error on a file of the state folder, with the remedy that fits its kind.
pub fn failed(action: &'static str, path: &Path, cause: io::Error) -> StateError {
    StateError::Io {
        action,
        path: path.to_path_buf(),
        remedy: remedy(&cause),
        cause,
    }
}

fn remedy(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::PermissionDenied => {
            "run towline-agent as root, or give it a --state-dir it may write"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "the disk is full: free some space on it"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "the file system is read-only: give a --state-dir on another one"
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "something else is in its place: give another --state-dir"
        }
        _ => "check the folder and the disk it is on",
    }
}

fn lock_exclusively(file: &File) -> rustix::io::Result<()> {
    let mut locked = flock(file, FlockOperation::NonBlockingLockExclusive);
    for _ in 1..TRIES {
        if locked != Err(rustix::io::Errno::WOULDBLOCK) {
            break;
        }
        std::thread::sleep(BETWEEN);
        locked = flock(file, FlockOperation::NonBlockingLockExclusive);
    }
    locked
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_folder_is_private_and_used_by_one_agent() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join("a/b");
        let dir = StateDir::open(&root).unwrap();
        for folder in [dir.root(), &dir.jobs()] {
            assert_eq!(
                fs::metadata(folder).unwrap().permissions().mode() & 0o777,
                0o700
            );
        }
        let lock = dir.lock().unwrap();
        assert_eq!(lock.boot(), Boot::Other, "nobody has used it before");
        assert!(dir.is_locked());
        let second = dir.lock().unwrap_err().to_string();
        assert!(
            second.contains(&format!("(process {})", std::process::id())),
            "{second}"
        );
        drop(lock);
        assert!(!dir.is_locked());
        assert_eq!(dir.lock().unwrap().boot(), Boot::Same);
        // The machine was started anew.
        fs::write(root.join("lock"), "1\nanother boot\n").unwrap();
        assert_eq!(dir.lock().unwrap().boot(), Boot::Other);
    }

    #[test]
    fn who_looks_keeps_no_agent_from_starting() {
        let home = tempfile::tempdir().unwrap();
        let dir = StateDir::open(home.path()).unwrap();
        drop(dir.lock().unwrap());
        let looker = File::open(dir.root().join("lock")).unwrap();
        flock(&looker, FlockOperation::LockShared).unwrap();
        let glance = std::thread::spawn(move || {
            std::thread::sleep(2 * BETWEEN);
            drop(looker);
        });
        assert!(dir.lock().is_ok());
        glance.join().unwrap();
    }

    #[test]
    fn a_folder_given_by_a_relative_path_is_the_same_one_everywhere() {
        let dir = StateDir::existing(Path::new("state"));
        let here = std::env::current_dir().unwrap();
        assert_eq!(dir.root(), here.join("state"));
        assert!(dir.jobs().is_absolute());
    }

    #[test]
    fn what_cannot_be_made_says_what_to_do() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("file");
        fs::write(&file, "").unwrap();
        let refused = StateDir::open(&file.join("state")).unwrap_err().to_string();
        assert!(refused.contains("another --state-dir"), "{refused}");
    }

    #[test]
    fn a_written_file_is_private_and_replaces_the_one_before() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("identity.json");
        write_durably(&path, b"one").unwrap();
        write_durably(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    }
}
