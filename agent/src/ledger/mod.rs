//! The durable journal of what the agent holds.
//!
//! It promises: what [`Ledger::append`] returned from survives the death of the process and of the
//! machine, and what it failed on was not journalled. A record is one frame of [`crate::records`];
//! several are made durable by one sync. The file is rewritten when most of it is history. A torn
//! end is cut off; damage anywhere else is refused, because it means that an acceptance or a fence
//! may be gone.

mod held;
mod record;
#[cfg(test)]
mod tests;
mod writer;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

pub use held::held_on_disk;
pub use record::{Acceptance, Entry, EntryProgress, LedgerState, Record, SecretCount};
pub use writer::{Append, LedgerWriter, remove_folder, write_waiting};

use towline_shared::failpoint::{is_planted, reach};

use crate::records::{self, RecordError};
use crate::state_dir::sync_parent;

/// The first bytes of the file: its kind and the version of its records.
const MAGIC: [u8; 8] = *b"TWLGER\x00\x01";
/// The largest record: a result with its message and images fits well.
const MAX_RECORD: usize = 256 * 1024;
/// Below this size the file is never rewritten.
const COMPACT_FLOOR: u64 = 1024 * 1024;

/// The journal, open for appending.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    file: File,
    health: Health,
    /// The end of what is durable.
    end: u64,
    /// The file is rewritten when it has grown to this.
    compact_at: u64,
    state: LedgerState,
}

/// Whether the file ends where it should.
#[derive(Debug, PartialEq, Eq)]
enum Health {
    Sound,
    /// A write failed half-way, or a sync did: what the file holds after `end` cannot be told, so
    /// it is rewritten before it is used again.
    Doubtful,
}

/// Why the journal cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The disk refuses.
    #[error("the journal {path} cannot be {action}: {cause}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        cause: io::Error,
    },
    /// It holds what cannot be trusted.
    #[error(
        "the journal {path} is damaged: {cause}. Jobs it held cannot be told any more. Look at the disk; then move the file away and start again: the control plane will report the jobs it knew of as failed (journal lost)"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        cause: RecordError,
    },
    /// It is no journal of this version.
    #[error(
        "{path} is no journal that this agent reads; a later agent may have written it: install that one again, or move the file away"
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
}

impl Ledger {
    /// Opens the journal, or makes an empty one.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let content = match fs::read(path) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(failed(path, "read", error)),
        };
        if MAGIC.starts_with(&content) {
            // New, or died while its first bytes were written.
            return Self::rewrite(path, LedgerState::default());
        }
        if !content.starts_with(&MAGIC) {
            return Err(LedgerError::Foreign { path: path.into() });
        }
        let (state, end) = Self::replay(path, &content)?;
        let file = open_for_append(path).map_err(|error| failed(path, "opened", error))?;
        let end = end as u64;
        file.set_len(end)
            .and_then(|()| file.sync_all())
            .map_err(|error| failed(path, "cut after its last whole record", error))?;
        Ok(Self {
            path: path.into(),
            file,
            health: Health::Sound,
            end,
            compact_at: compact_at(end),
            state,
        })
    }

    fn replay(path: &Path, content: &[u8]) -> Result<(LedgerState, usize), LedgerError> {
        let scan = records::scan(content, MAGIC.len(), MAX_RECORD).map_err(|cause| {
            LedgerError::Damaged {
                path: path.into(),
                cause,
            }
        })?;
        let mut state = LedgerState::default();
        for body in scan.bodies {
            let record = postcard::from_bytes(body)
                .map_err(|_| LedgerError::Foreign { path: path.into() })?;
            state.apply(&record);
        }
        Ok((state, scan.end))
    }

    /// What the journal says.
    pub const fn state(&self) -> &LedgerState {
        &self.state
    }

    /// The size of the file that survives a power cut, in bytes.
    pub fn durable_end(&self) -> u64 {
        if is_planted("agent: skip the journal's sync") {
            MAGIC.len() as u64
        } else {
            self.end
        }
    }

    /// Appends records and makes them durable, all or none.
    pub fn append(&mut self, appended: &[Record]) -> Result<(), LedgerError> {
        if self.health == Health::Doubtful {
            *self = Self::rewrite(&self.path, self.state.clone())?;
        }
        let mut bytes = Vec::new();
        for record in appended {
            frame(&self.path, &mut bytes, record)?;
        }
        let written = self
            .file
            .write_all(&bytes)
            .and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            self.retreat();
            return Err(failed(&self.path, "written", error));
        }
        self.end += bytes.len() as u64;
        for record in appended {
            self.state.apply(record);
            record.journalled();
        }
        self.compact();
        Ok(())
    }

    /// Gives back what a failed write may have taken.
    fn retreat(&mut self) {
        self.health = Health::Doubtful;
        let cut = self
            .file
            .set_len(self.end)
            .and_then(|()| self.file.sync_all());
        if let Err(error) = cut {
            tracing::warn!(%error, "the journal could not be cut back after a failed write");
        }
    }

    fn compact(&mut self) {
        if self.end < self.compact_at {
            return;
        }
        match Self::rewrite(&self.path, self.state.clone()) {
            Ok(fresh) => *self = fresh,
            Err(error) => {
                // The old file is whole; there is time until it has doubled.
                tracing::warn!(%error, "the journal could not be compacted");
                self.compact_at = self.end * 2;
            }
        }
    }

    /// Writes the state as a new file and puts it in the old one's place.
    fn rewrite(path: &Path, state: LedgerState) -> Result<Self, LedgerError> {
        let mut bytes = MAGIC.to_vec();
        for record in state.records() {
            frame(path, &mut bytes, &record)?;
        }
        let new = path.with_extension("new");
        let replaced = replace(path, &new, &bytes);
        let file = replaced.map_err(|error| {
            let _ = fs::remove_file(&new);
            failed(path, "rewritten", error)
        })?;
        let end = bytes.len() as u64;
        Ok(Self {
            path: path.into(),
            file,
            health: Health::Sound,
            end,
            compact_at: compact_at(end),
            state,
        })
    }
}

fn replace(path: &Path, new: &Path, bytes: &[u8]) -> io::Result<File> {
    let _ = fs::remove_file(new);
    let mut file = open_for_append(new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(new, path)?;
    sync_parent(path)?;
    reach("agent: rewrote the journal");
    Ok(file)
}

fn open_for_append(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
}

fn frame(path: &Path, bytes: &mut Vec<u8>, record: &Record) -> Result<(), LedgerError> {
    let body = postcard::to_stdvec(record)
        .map_err(|error| failed(path, "encoded", io::Error::other(error)))?;
    records::frame(bytes, &body, MAX_RECORD)
        .map_err(|error| failed(path, "extended", io::Error::other(error)))
}

const fn compact_at(end: u64) -> u64 {
    let doubled = end * 2;
    if doubled > COMPACT_FLOOR {
        doubled
    } else {
        COMPACT_FLOOR
    }
}

fn failed(path: &Path, action: &'static str, cause: io::Error) -> LedgerError {
    LedgerError::Io {
        path: path.into(),
        action,
        cause,
    }
}
