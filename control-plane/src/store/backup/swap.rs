//! How restored files take the place of those that were there, as one step.
//!
//! They are made in the folder [`MAKING`]. When they are whole and on the disk, that folder is renamed
//! to [`MADE`]: from this moment on the restore has happened, and whoever opens the data directory
//! next brings it to its end. Before it, nothing has happened.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::backup::sync_folder_of;
use crate::store::open::{MAIN_FILE, OpenError, TELEMETRY_FILE};

const MAKING: &str = "restore.partial";
const MADE: &str = "restore.done";

/// The folder in which files are made.
pub(super) fn making(data_dir: &Path) -> PathBuf {
    data_dir.join(MAKING)
}

/// Makes the step: what was made is what is restored.
pub(super) fn decide(data_dir: &Path) -> io::Result<()> {
    let making = making(data_dir);
    for name in [MAIN_FILE, TELEMETRY_FILE] {
        fs::File::open(making.join(name))?.sync_all()?;
    }
    fs::File::open(&making)?.sync_all()?;
    fs::rename(&making, data_dir.join(MADE))?;
    sync_folder_of(&making)
}

/// Ends a restore that was decided, and takes away what is left of one that was not. Only for who
/// has the data directory for itself.
pub(in crate::store) fn settle(data_dir: &Path) -> Result<(), OpenError> {
    let failed = |cause| OpenError::DataDir {
        path: data_dir.to_owned(),
        cause,
    };
    let making = making(data_dir);
    if making.exists() {
        if !data_dir.join(MAIN_FILE).exists() {
            return Err(OpenError::RestoreBrokenOff { path: making });
        }
        tracing::warn!(
            "a restore was broken off before it changed anything; what it left is taken away"
        );
        fs::remove_dir_all(&making).map_err(failed)?;
    }
    move_in(data_dir).map_err(failed)
}

/// Whether a restore was decided and is not at its end.
pub(in crate::store) fn is_decided(data_dir: &Path) -> bool {
    data_dir.join(MADE).exists()
}

/// It may be killed after any line and begin again.
pub(super) fn move_in(data_dir: &Path) -> io::Result<()> {
    let made = data_dir.join(MADE);
    if !made.exists() {
        return Ok(());
    }
    for name in [TELEMETRY_FILE, MAIN_FILE] {
        if !made.join(name).exists() {
            continue;
        }
        // The former file's: they must not be taken for the new one's.
        for suffix in ["-wal", "-shm"] {
            remove(&data_dir.join(format!("{name}{suffix}")))?;
        }
        fs::rename(made.join(name), data_dir.join(name))?;
    }
    sync_folder_of(&made)?;
    fs::remove_dir_all(&made)?;
    sync_folder_of(&made)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
