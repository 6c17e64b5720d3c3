//! The master keys: where they come from, and how their file changes.
//!
//! A file, the environment and a program each give one key or, while it is exchanged, several with
//! white space between them, the newest first. Which version a key is, the database says, by the
//! key's fingerprint.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::FlockOperation;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{KEY, VaultError, random};
use crate::domain::hex::hex;
use crate::store::open::MAIN_FILE;

/// The most keys that are taken: a rotation needs two.
const MOST_KEYS: usize = 8;

/// One master key.
#[derive(Clone)]
pub(super) struct MasterKey {
    pub(super) bytes: Zeroizing<[u8; KEY]>,
    pub(super) fingerprint: String,
}

/// Where the keys come from, as long as that can be asked again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// They were given at the start.
    Given,
    /// A file.
    File(PathBuf),
}

/// The right to change the keys' file; ends when it is dropped.
#[derive(Debug)]
pub struct Turn {
    _lock: Option<File>,
}

impl MasterKey {
    pub(super) fn generate() -> Result<Self, VaultError> {
        Ok(Self::new(random::<KEY>()?))
    }

    fn new(bytes: [u8; KEY]) -> Self {
        let digest = Sha256::new()
            .chain_update(b"towline master key\0")
            .chain_update(bytes)
            .finalize();
        let fingerprint = hex(&digest[..16]);
        Self {
            bytes: Zeroizing::new(bytes),
            fingerprint,
        }
    }

    fn parse(text: &str) -> Result<Self, VaultError> {
        let bytes = Zeroizing::new(STANDARD.decode(text).map_err(|_| VaultError::Malformed)?);
        let bytes = <[u8; KEY]>::try_from(bytes.as_slice()).map_err(|_| VaultError::Malformed)?;
        Ok(Self::new(bytes))
    }
}

/// The keys in a text; at least one.
pub(super) fn parse(text: &str) -> Result<Vec<MasterKey>, VaultError> {
    let keys = text
        .split_whitespace()
        .map(MasterKey::parse)
        .collect::<Result<Vec<_>, _>>()?;
    if (1..=MOST_KEYS).contains(&keys.len()) {
        Ok(keys)
    } else {
        Err(VaultError::Malformed)
    }
}

/// The keys of the file in the data directory, which is made at the first start.
pub(super) fn read_or_create(path: &Path) -> Result<Vec<MasterKey>, VaultError> {
    match read(path) {
        Err(VaultError::File { cause, .. }) if cause.kind() == std::io::ErrorKind::NotFound => {
            if path.with_file_name(MAIN_FILE).exists() {
                return Err(VaultError::Missing {
                    path: path.to_owned(),
                });
            }
            let keys = vec![MasterKey::generate()?];
            write(path, &keys)?;
            Ok(keys)
        }
        read => read,
    }
}

/// The keys of a file that nobody else can read.
pub(super) fn read(path: &Path) -> Result<Vec<MasterKey>, VaultError> {
    let mut file = File::open(path).map_err(|cause| failed(path, cause))?;
    let metadata = file.metadata().map_err(|cause| failed(path, cause))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(VaultError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    let mut text = Zeroizing::new(String::new());
    file.read_to_string(&mut text)
        .map_err(|cause| failed(path, cause))?;
    parse(&text)
}

/// The keys are whole under the file's name or those before them: a crash in between leaves no half
/// of them.
pub(super) fn write(path: &Path, keys: &[MasterKey]) -> Result<(), VaultError> {
    let mut text = Zeroizing::new(String::with_capacity(keys.len() * 48));
    for key in keys {
        if !text.is_empty() {
            text.push('\n');
        }
        STANDARD.encode_string(key.bytes.as_slice(), &mut text);
    }
    replace(path, text.as_bytes()).map_err(|cause| failed(path, cause))
}

fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".new");
    let partial = PathBuf::from(partial);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&partial)?;
    // An operator's root must not take the file from the server's user.
    if let Ok(present) = std::fs::metadata(path) {
        fchown(&file, Some(present.uid()), Some(present.gid()))?;
    }
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&partial, path)?;
    File::open(folder_of(path)).and_then(|folder| folder.sync_all())
}

/// Locks the file's folder, since the file itself is replaced. Waits for nobody: who has the turn is
/// told by the refusal.
pub(super) fn take_turn(source: &Source) -> Result<Turn, VaultError> {
    let Source::File(path) = source else {
        return Ok(Turn { _lock: None });
    };
    let folder = File::open(folder_of(path)).map_err(|cause| failed(path, cause))?;
    match rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Turn {
            _lock: Some(folder),
        }),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(VaultError::Busy),
        Err(error) => Err(failed(path, error.into())),
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

fn failed(path: &Path, cause: std::io::Error) -> VaultError {
    VaultError::File {
        path: path.to_owned(),
        cause,
    }
}
