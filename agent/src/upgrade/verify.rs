//! `towline-agent verify`: whether a file is an agent of somebody whom this host trusts.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use towline_pki::release::{Claim, FileDigest, SignatureError, SignatureRefusal, Signed};

use super::release_keys::{self, KeysError};

/// Why a program is not known to be good.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// No key counts here.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// A file cannot be read.
    #[error("cannot read {path}: {cause}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The signature is none.
    #[error("{path}: {cause}")]
    Signature {
        /// Its file.
        path: PathBuf,
        /// Why.
        cause: SignatureError,
    },
    /// It does not count.
    #[error("{path} is refused: {cause}")]
    Refused {
        /// The program.
        path: PathBuf,
        /// Why.
        cause: SignatureRefusal,
    },
}

/// Verifies a program by the signature beside it.
pub fn verify(path: &Path, keys: &Path) -> Result<Claim, VerifyError> {
    let keys = release_keys::load(keys)?;
    let mut beside = path.to_path_buf().into_os_string();
    beside.push(".minisig");
    let beside = PathBuf::from(beside);
    let unreadable = |path: &Path, cause| VerifyError::Unreadable {
        path: path.into(),
        cause,
    };
    let text = fs::read_to_string(&beside).map_err(|cause| unreadable(&beside, cause))?;
    let signature = text
        .parse::<towline_pki::release::Signature>()
        .map_err(|cause| VerifyError::Signature {
            path: beside,
            cause,
        })?;
    let digest = File::open(path)
        .and_then(FileDigest::of)
        .map_err(|cause| unreadable(path, cause))?;
    let Signed(claim) = signature
        .verify(&keys, &digest)
        .map_err(|cause| VerifyError::Refused {
            path: path.into(),
            cause,
        })?;
    Ok(claim)
}
