//! Envelope encryption of what the database holds and must not tell.
//!
//! Each value is encrypted under a key of its own, and that key under the master key, both with
//! XChaCha20-Poly1305 and the value's place as associated data: a value that is moved to another
//! row, or back to an older version, does not open. The master key never enters the database.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::store::open::MAIN_FILE;

/// The name of the master key's file in the data directory.
pub const MASTER_KEY_FILE: &str = "master.key";
/// The version of the master key that new values are sealed under.
pub const KEY_VERSION: i64 = 1;

const KEY: usize = 32;
const NONCE: usize = 24;
const TAG: usize = 16;
/// An encrypted key: its nonce, the key, its tag.
const WRAPPED: usize = NONCE + KEY + TAG;

/// Seals and opens values under the master key.
#[derive(Clone)]
pub struct Vault {
    master: Zeroizing<[u8; KEY]>,
}

/// Where a value stands. It opens there and nowhere else.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The table.
    pub table: &'a str,
    /// The row.
    pub id: Uuid,
    /// The version of the value.
    pub version: i64,
}

/// Why a value cannot be sealed or opened, or the master key not be had.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The key from the environment is not what it should be.
    #[error(
        "the master key must be {KEY} random bytes in base64 (44 characters); make one with `openssl rand -base64 32`"
    )]
    Malformed,
    /// The key's file cannot be read or made.
    #[error("the master key {path} cannot be used: {cause}")]
    File {
        /// The file.
        path: PathBuf,
        /// The operating system's words.
        cause: std::io::Error,
    },
    /// The key's file is gone, and a new key would open nothing that is stored.
    #[error(
        "the master key {path} is missing beside the database it belongs to; put it back from where you keep it apart from the backup, or give it by TOWLINE_MASTER_KEY"
    )]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// Others on the machine can read the key.
    #[error(
        "the master key {path} can be read by others (mode {mode:o}); run `chmod 600 {path}`, and change its secrets if somebody did"
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The operating system gave no random bytes.
    #[error("the system gave no random bytes: {0}")]
    Randomness(getrandom::Error),
    /// The value was sealed under another key, for another place, or changed.
    #[error(
        "a sealed value of `{table}` does not open: the master key is another, or the row was changed"
    )]
    Sealed {
        /// The table.
        table: String,
    },
}

impl Vault {
    /// Takes the master key from the environment if it is given there, otherwise from its file in
    /// the data directory, which is made at the first start.
    pub fn load_or_create(data_dir: &Path, from_env: Option<&str>) -> Result<Self, VaultError> {
        match from_env {
            Some(text) => Self::from_base64(text),
            None => Self::from_file(&data_dir.join(MASTER_KEY_FILE)),
        }
    }

    fn from_base64(text: &str) -> Result<Self, VaultError> {
        let bytes = Zeroizing::new(
            STANDARD
                .decode(text.trim())
                .map_err(|_| VaultError::Malformed)?,
        );
        let master = <[u8; KEY]>::try_from(bytes.as_slice()).map_err(|_| VaultError::Malformed)?;
        Ok(Self {
            master: Zeroizing::new(master),
        })
    }

    fn from_file(path: &Path) -> Result<Self, VaultError> {
        let failed = |cause| VaultError::File {
            path: path.to_owned(),
            cause,
        };
        match File::open(path) {
            Ok(file) => read_key(file, path),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if path.with_file_name(MAIN_FILE).exists() {
                    return Err(VaultError::Missing {
                        path: path.to_owned(),
                    });
                }
                create_key(path)
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Seals a value for a place.
    pub fn seal(&self, place: Place<'_>, plain: &[u8]) -> Result<Vec<u8>, VaultError> {
        let key = Zeroizing::new(random::<KEY>()?);
        let context = place.context();
        let mut sealed = Vec::with_capacity(WRAPPED + NONCE + plain.len() + TAG);
        sealed.extend(encrypt(&self.master, &context, key.as_slice(), place)?);
        sealed.extend(encrypt(&key, &context, plain, place)?);
        Ok(sealed)
    }

    /// Opens a value at its place.
    pub fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let refused = || place.refused();
        let (wrapped, body) = sealed.split_at_checked(WRAPPED).ok_or_else(refused)?;
        let context = place.context();
        let key = decrypt(&self.master, &context, wrapped, place)?;
        let key = <[u8; KEY]>::try_from(key.as_slice()).map_err(|_| refused())?;
        decrypt(&Zeroizing::new(key), &context, body, place)
    }
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault([redacted])")
    }
}

impl Place<'_> {
    /// The lengths keep two places apart whose names run together.
    fn context(&self) -> Vec<u8> {
        let mut context = Vec::with_capacity(self.table.len() + 40);
        context.extend_from_slice(&(self.table.len() as u64).to_le_bytes());
        context.extend_from_slice(self.table.as_bytes());
        context.extend_from_slice(self.id.as_bytes());
        context.extend_from_slice(&self.version.to_le_bytes());
        context.extend_from_slice(&KEY_VERSION.to_le_bytes());
        context
    }

    fn refused(&self) -> VaultError {
        VaultError::Sealed {
            table: self.table.to_owned(),
        }
    }
}

fn encrypt(
    key: &[u8; KEY],
    context: &[u8],
    plain: &[u8],
    place: Place<'_>,
) -> Result<Vec<u8>, VaultError> {
    let nonce = random::<NONCE>()?;
    let payload = Payload {
        msg: plain,
        aad: context,
    };
    let body = XChaCha20Poly1305::new(&(*key).into())
        .encrypt(&XNonce::from(nonce), payload)
        .map_err(|_| place.refused())?;
    Ok([nonce.as_slice(), &body].concat())
}

fn decrypt(
    key: &[u8; KEY],
    context: &[u8],
    sealed: &[u8],
    place: Place<'_>,
) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let (nonce, body) = sealed
        .split_first_chunk::<NONCE>()
        .ok_or_else(|| place.refused())?;
    let payload = Payload {
        msg: body,
        aad: context,
    };
    XChaCha20Poly1305::new(&(*key).into())
        .decrypt(&XNonce::from(*nonce), payload)
        .map(Zeroizing::new)
        .map_err(|_| place.refused())
}

fn random<const N: usize>() -> Result<[u8; N], VaultError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(VaultError::Randomness)?;
    Ok(bytes)
}

fn read_key(mut file: File, path: &Path) -> Result<Vault, VaultError> {
    let failed = |cause| VaultError::File {
        path: path.to_owned(),
        cause,
    };
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(VaultError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    let mut text = Zeroizing::new(String::new());
    file.read_to_string(&mut text).map_err(failed)?;
    Vault::from_base64(&text)
}

/// The key is whole under its name or not there: a crash in between leaves no empty key.
fn create_key(path: &Path) -> Result<Vault, VaultError> {
    let failed = |cause| VaultError::File {
        path: path.to_owned(),
        cause,
    };
    let master = Zeroizing::new(random::<KEY>()?);
    let partial = path.with_extension("key.new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&partial)
        .map_err(failed)?;
    let text = Zeroizing::new(STANDARD.encode(master.as_slice()));
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    std::fs::rename(&partial, path).map_err(failed)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(failed)?;
    Ok(Vault { master })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn place(table: &str, id: u128, version: i64) -> Place<'_> {
        Place {
            table,
            id: Uuid::from_u128(id),
            version,
        }
    }

    #[test]
    fn a_value_opens_at_its_place_only() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::load_or_create(dir.path(), None).unwrap();
        let sealed = vault.seal(place("secrets", 1, 1), b"hunter2").unwrap();
        assert!(!sealed.windows(7).any(|part| part == b"hunter2"));
        assert_eq!(
            vault
                .open(place("secrets", 1, 1), &sealed)
                .unwrap()
                .as_slice(),
            b"hunter2"
        );
        for other in [
            place("secret", 1, 1),
            place("secrets", 2, 1),
            place("secrets", 1, 2),
        ] {
            assert!(vault.open(other, &sealed).is_err(), "{other:?}");
        }
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert!(
                vault.open(place("secrets", 1, 1), &changed).is_err(),
                "byte {index}"
            );
        }
        assert!(vault.open(place("secrets", 1, 1), &sealed[..40]).is_err());
    }

    #[test]
    fn no_key_is_made_for_a_database_that_has_lost_its_own() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(MAIN_FILE), "a database").unwrap();
        assert!(matches!(
            Vault::load_or_create(dir.path(), None),
            Err(VaultError::Missing { .. })
        ));
        assert!(!dir.path().join(MASTER_KEY_FILE).exists());
    }

    #[test]
    fn the_key_is_made_once_and_for_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(MASTER_KEY_FILE);
        let sealed = Vault::load_or_create(dir.path(), None)
            .unwrap()
            .seal(place("t", 1, 1), b"x")
            .unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = Vault::load_or_create(dir.path(), None).unwrap();
        assert!(again.open(place("t", 1, 1), &sealed).is_ok());
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            Vault::load_or_create(dir.path(), Some(&text))
                .unwrap()
                .open(place("t", 1, 1), &sealed)
                .is_ok()
        );

        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(
            Vault::load_or_create(dir.path(), None),
            Err(VaultError::Exposed { mode: 0o640, .. })
        ));
    }

    #[test]
    fn a_key_that_is_none_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["", "hunter2", "AAAA", &STANDARD.encode([0; 31])] {
            let refused = Vault::load_or_create(dir.path(), Some(text));
            assert!(matches!(refused, Err(VaultError::Malformed)), "{text:?}");
        }
        assert!(!dir.path().join(MASTER_KEY_FILE).exists());
    }
}
