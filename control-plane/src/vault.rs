//! Envelope encryption of what the database holds and must not tell.
//!
//! Each value is encrypted under a key of its own, and that key under the master key, both with
//! XChaCha20-Poly1305 and the value's place as associated data: a value that is moved to another
//! row, or back to an older version, does not open. The master key never enters the database. When
//! it is exchanged only the values' keys are encrypted anew; the values stay as they are.

mod keys;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use uuid::Uuid;
use zeroize::Zeroizing;

pub use keys::Turn;
use keys::{MasterKey, Source};

/// The name of the master key's file in the data directory.
pub const MASTER_KEY_FILE: &str = "master.key";
/// The version of an installation's first master key.
pub const FIRST_KEY: i64 = 1;

/// What stands in the associated data of a value where that of its key has the master key's
/// version: a value is not encrypted anew when the master key is exchanged.
const VALUE_FORMAT: i64 = 1;
const KEY: usize = 32;
const NONCE: usize = 24;
const TAG: usize = 16;
/// An encrypted key: its nonce, the key, its tag.
const WRAPPED: usize = NONCE + KEY + TAG;

/// Seals and opens values under the master keys it has. Clones are the same vault.
#[derive(Clone)]
pub struct Vault {
    source: Source,
    ring: Arc<RwLock<Ring>>,
}

struct Ring {
    /// As the source gives them.
    given: Vec<MasterKey>,
    /// By their version. A key that the source gives no more is kept: rows may have been read while
    /// they were under it.
    known: BTreeMap<i64, MasterKey>,
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
    /// The master key was exchanged, and this process was not given the new one.
    #[error(
        "this server has no version {version} of the master key; give it the file that `towline-server admin rotate-master-key` wrote, or start it with the new key"
    )]
    UnknownKey {
        /// The version.
        version: i64,
    },
    /// The key comes from where this program cannot put another.
    #[error(
        "the master key comes from the environment or a program, where a new one must come from, too: start the servers with the new key as TOWLINE_MASTER_KEY and the present one as TOWLINE_MASTER_KEY_PREVIOUS (a program prints both, the new one first), then run this again in the same way"
    )]
    Given,
    /// Another process changes the master key.
    #[error(
        "another process exchanges the master key at this moment; wait for its end, then run this again if it did not finish"
    )]
    Busy,
}

impl Vault {
    /// Takes the master key from the environment if it is given there, otherwise from its file in
    /// the data directory, which is made at the first start.
    pub fn load_or_create(data_dir: &Path, from_env: Option<&str>) -> Result<Self, VaultError> {
        if let Some(text) = from_env {
            return Ok(Self::new(Source::Given, keys::parse(text)?));
        }
        let path = data_dir.join(MASTER_KEY_FILE);
        let given = keys::read_or_create(&path)?;
        Ok(Self::new(Source::File(path), given))
    }

    /// Takes the master key from a file of the operator's.
    pub fn of_file(path: &Path) -> Result<Self, VaultError> {
        let given = keys::read(path)?;
        Ok(Self::new(Source::File(path.to_owned()), given))
    }

    fn new(source: Source, given: Vec<MasterKey>) -> Self {
        let known = BTreeMap::new();
        Self {
            source,
            ring: Arc::new(RwLock::new(Ring { given, known })),
        }
    }

    /// Asks the source once more, if it is a file.
    pub fn reload(&self) -> Result<(), VaultError> {
        if let Source::File(path) = &self.source {
            let given = keys::read(path)?;
            self.change(|ring| ring.given = given);
        }
        Ok(())
    }

    /// Learns which versions the keys are, from all versions and their fingerprints.
    pub fn learn<'a>(&self, versions: impl IntoIterator<Item = (i64, &'a str)>) {
        self.change(|ring| {
            for (version, fingerprint) in versions {
                let given = ring.given.iter();
                let mut given = given.filter(|key| key.fingerprint == fingerprint);
                if let Some(key) = given.next() {
                    ring.known.insert(version, key.clone());
                }
            }
        });
    }

    /// Whether it has this version of the master key.
    pub fn knows(&self, version: i64) -> bool {
        self.look(|ring| ring.known.contains_key(&version))
    }

    /// The fingerprints of the keys that the source gives, the newest key's first.
    pub fn fingerprints(&self) -> Vec<String> {
        self.look(|ring| {
            let given = ring.given.iter();
            given.map(|key| key.fingerprint.clone()).collect()
        })
    }

    /// Takes the right to change the keys' file.
    pub fn take_turn(&self) -> Result<Turn, VaultError> {
        keys::take_turn(&self.source)
    }

    /// Makes a key and puts it first into the file. Gives its fingerprint.
    pub fn add_key(&self, _turn: &Turn) -> Result<String, VaultError> {
        let Source::File(path) = &self.source else {
            return Err(VaultError::Given);
        };
        let mut given = keys::read(path)?;
        let key = MasterKey::generate()?;
        let fingerprint = key.fingerprint.clone();
        given.insert(0, key);
        keys::write(path, &given)?;
        self.change(|ring| ring.given = given);
        Ok(fingerprint)
    }

    /// Leaves only these keys in the file.
    pub fn keep_keys(&self, _turn: &Turn, kept: &[&str]) -> Result<(), VaultError> {
        let Source::File(path) = &self.source else {
            return Err(VaultError::Given);
        };
        let mut given = keys::read(path)?;
        given.retain(|key| kept.contains(&key.fingerprint.as_str()));
        keys::write(path, &given)?;
        self.change(|ring| ring.given = given);
        Ok(())
    }

    /// Seals a value for a place, under a version of the master key.
    pub fn seal(
        &self,
        version: i64,
        place: Place<'_>,
        plain: &[u8],
    ) -> Result<Vec<u8>, VaultError> {
        let master = self.key(version)?;
        let key = Zeroizing::new(random::<KEY>()?);
        let mut sealed = Vec::with_capacity(WRAPPED + NONCE + plain.len() + TAG);
        let context = place.context(version);
        sealed.extend(encrypt(&master.bytes, &context, key.as_slice(), place)?);
        sealed.extend(encrypt(&key, &place.context(VALUE_FORMAT), plain, place)?);
        Ok(sealed)
    }

    /// Opens a value at its place.
    pub fn open(
        &self,
        version: i64,
        place: Place<'_>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        open_with(&self.key(version)?, version, place, sealed)
    }

    /// Puts a value from one version of the master key under another.
    pub fn rewrap(
        &self,
        (from, to): (i64, i64),
        place: Place<'_>,
        sealed: &[u8],
    ) -> Result<Vec<u8>, VaultError> {
        let (old, new) = (self.key(from)?, self.key(to)?);
        let (key, body) = unwrap(&old, from, place, sealed)?;
        // What cannot be read is not said to be under the new key.
        decrypt(&key, &place.context(VALUE_FORMAT), body, place)?;
        let wrapped = encrypt(&new.bytes, &place.context(to), key.as_slice(), place)?;
        Ok([&wrapped, body].concat())
    }

    /// The fingerprint of the key under which a value opens as under the installation's first one.
    pub fn first_key_of(&self, place: Place<'_>, sealed: &[u8]) -> Option<String> {
        self.look(|ring| {
            let opens = |key: &&MasterKey| open_with(key, FIRST_KEY, place, sealed).is_ok();
            ring.given
                .iter()
                .find(opens)
                .map(|key| key.fingerprint.clone())
        })
    }

    fn key(&self, version: i64) -> Result<MasterKey, VaultError> {
        self.look(|ring| ring.known.get(&version).cloned())
            .ok_or(VaultError::UnknownKey { version })
    }

    fn look<T>(&self, look: impl FnOnce(&Ring) -> T) -> T {
        look(&self.ring.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change(&self, change: impl FnOnce(&mut Ring)) {
        change(&mut self.ring.write().unwrap_or_else(PoisonError::into_inner));
    }
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault([redacted])")
    }
}

impl Place<'_> {
    /// The lengths keep two places apart whose names run together.
    fn context(&self, key: i64) -> Vec<u8> {
        let mut context = Vec::with_capacity(self.table.len() + 40);
        context.extend_from_slice(&(self.table.len() as u64).to_le_bytes());
        context.extend_from_slice(self.table.as_bytes());
        context.extend_from_slice(self.id.as_bytes());
        context.extend_from_slice(&self.version.to_le_bytes());
        context.extend_from_slice(&key.to_le_bytes());
        context
    }

    fn refused(&self) -> VaultError {
        VaultError::Sealed {
            table: self.table.to_owned(),
        }
    }
}

fn open_with(
    master: &MasterKey,
    version: i64,
    place: Place<'_>,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let (key, body) = unwrap(master, version, place, sealed)?;
    decrypt(&key, &place.context(VALUE_FORMAT), body, place)
}

/// A value's own key, and the value as it is encrypted.
fn unwrap<'a>(
    master: &MasterKey,
    version: i64,
    place: Place<'_>,
    sealed: &'a [u8],
) -> Result<(Zeroizing<[u8; KEY]>, &'a [u8]), VaultError> {
    let refused = || place.refused();
    let (wrapped, body) = sealed.split_at_checked(WRAPPED).ok_or_else(refused)?;
    let key = decrypt(&master.bytes, &place.context(version), wrapped, place)?;
    let key = <[u8; KEY]>::try_from(key.as_slice()).map_err(|_| refused())?;
    Ok((Zeroizing::new(key), body))
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

/// Random bytes of the system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], VaultError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(VaultError::Randomness)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
