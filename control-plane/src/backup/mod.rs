//! The file of a backup: one format for both databases.
//!
//! A header in clear says when, by what and under which master key it was made. What follows are rows
//! with their tables' and columns' names, in values that both databases have, compressed and
//! encrypted in frames under a key of the file's own. That key is sealed under the master key, which
//! is in no backup. Each frame is bound to the header, to its number, and to whether it is the last:
//! a file that was changed, cut off, or put together from others does not open.

mod file;
mod frames;
mod header;
mod record;

use std::io;
use std::path::PathBuf;

pub use file::{BackupFile, NewFile, Written};
pub use header::{Header, Key, Origin};
pub use record::{Record, Row, TableHead, Value};

pub(crate) use file::{BackupWriter, Records, sync_folder_of};

use crate::store::{OpenError, StoreError};
use crate::vault::VaultError;

/// Why a backup cannot be made, read or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file cannot be read or written.
    #[error("{path} cannot be {done}: {cause}")]
    File {
        /// The file.
        path: PathBuf,
        /// What was tried: `read` or `written`.
        done: &'static str,
        /// What the system said.
        cause: io::Error,
    },
    /// There is something under that name.
    #[error("{path} is there already; name another file, or take that one away")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// It is something else.
    #[error("this is no backup of Towline")]
    Foreign,
    /// A later program made it.
    #[error(
        "the backup was made by a newer towline-server (format {0}); use that one, or a later one"
    )]
    Format(u8),
    /// It is not what was written.
    #[error("the backup is damaged or was changed: {0}; use another copy of it")]
    Damaged(String),
    /// A row that no backup can hold.
    #[error("a row of {table} is larger than {limit} bytes and fits into no backup")]
    TooLarge {
        /// The table.
        table: String,
        /// The most bytes.
        limit: usize,
    },
    /// The key is another.
    #[error(
        "the backup was made under another master key, the one with the fingerprint {fingerprint}; give that one by --master-key-file, TOWLINE_MASTER_KEY or master.key in the data directory"
    )]
    Key {
        /// Of the key that is needed.
        fingerprint: String,
    },
    /// A value in it does not open.
    #[error("a sealed value in the backup does not open: {table}, row {row}: {cause}")]
    Sealed {
        /// The table.
        table: String,
        /// The row's identifier.
        row: uuid::Uuid,
        /// Why.
        cause: VaultError,
    },
    /// The state of things does not allow it.
    #[error("{message}; {remedy}")]
    Refused {
        /// What stands in the way.
        message: String,
        /// What to do.
        remedy: String,
    },
    /// The file's key cannot be sealed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The database that is restored into cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn damaged(what: impl Into<String>) -> BackupError {
    BackupError::Damaged(what.into())
}

#[cfg(test)]
mod tests;
