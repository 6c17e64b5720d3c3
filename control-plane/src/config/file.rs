//! The configuration file.

use std::io;
use std::path::{Path, PathBuf};

use super::Settings;

/// Why a configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigFileError {
    /// It cannot be read.
    #[error("the configuration file {path} cannot be read: {cause}; name another with --config")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// It is no TOML, or has a key or value that means nothing here.
    #[error("the configuration file {path} is not valid: {cause}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The line, the key and what was expected there.
        cause: toml::de::Error,
    },
}

/// Reads a file that was named and so must be there.
pub(super) fn read(path: &Path) -> Result<Settings, ConfigFileError> {
    let text = std::fs::read_to_string(path).map_err(|cause| unreadable(path, cause))?;
    parse(path, &text)
}

/// Reads a file that need not be there.
pub(super) fn read_if_there(path: &Path) -> Result<Settings, ConfigFileError> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(path, &text),
        // What is wrong with the data directory itself is told when it is used.
        Err(cause) if is_absent(&cause) => Ok(Settings::default()),
        Err(cause) => Err(unreadable(path, cause)),
    }
}

fn is_absent(cause: &io::Error) -> bool {
    matches!(
        cause.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn parse(path: &Path, text: &str) -> Result<Settings, ConfigFileError> {
    toml::from_str(text).map_err(|cause| ConfigFileError::Invalid {
        path: path.to_owned(),
        cause,
    })
}

fn unreadable(path: &Path, cause: io::Error) -> ConfigFileError {
    ConfigFileError::Unreadable {
        path: path.to_owned(),
        cause,
    }
}
