//! The file of the keys whose programs this host may become: its owner's, and no control plane's.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use towline_pki::release::{ReleaseKeyError, ReleaseKeys};

use crate::policy_file::is_trusted;

/// Where it is, unless the command line says.
pub const DEFAULT_RELEASE_KEYS: &str = "/etc/towline/release-keys";
/// The most bytes that are read of it.
const MAX_BYTES: u64 = 16 * 1024;

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// There are none.
    #[error(
        "this host trusts no release key, so that no control plane can change its agent: put the public key of your releases (one line, as `towline pki release-key` and minisign write it) into {0}, or upgrade by the install script"
    )]
    None(PathBuf),
    /// They cannot be read.
    #[error("cannot read the release keys {path}: {cause}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// Others than its owner may write it.
    #[error(
        "the release keys {0} may be written by others than root and the agent's user; run chown root {0} and chmod go-w {0}"
    )]
    Writable(PathBuf),
    /// They are none.
    #[error("the release keys {path} are not valid: {cause}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Where and why.
        cause: ReleaseKeyError,
    },
}

/// Reads the keys.
pub fn load(path: &Path) -> Result<ReleaseKeys, KeysError> {
    let unreadable = |cause| KeysError::Unreadable {
        path: path.into(),
        cause,
    };
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(KeysError::None(path.into()));
        }
        opened => opened.map_err(unreadable)?,
    };
    if !is_trusted(&file.metadata().map_err(unreadable)?) {
        return Err(KeysError::Writable(path.into()));
    }
    let mut text = String::new();
    file.take(MAX_BYTES)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    let keys: ReleaseKeys = text.parse().map_err(|cause| KeysError::Invalid {
        path: path.into(),
        cause,
    })?;
    if keys.is_empty() {
        return Err(KeysError::None(path.into()));
    }
    Ok(keys)
}
