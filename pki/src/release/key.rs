//! Keys of releases, in minisign's files.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest as _};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use zeroize::Zeroizing;

use crate::error::PkiError;

/// What the bytes of a key begin with.
const ALGORITHM: &[u8] = b"Ed";
/// Lines that hold no key begin so: minisign's comments, and those of people.
const COMMENTS: [&str; 2] = ["untrusted comment:", "#"];
/// The most keys of one host: those in use while one takes the place of another.
const MAX_KEYS: usize = 8;
/// A secret key's bytes up to its number: algorithms of signature, derivation and checksum, and the derivation's salt and
/// two limits.
const SECRET_HEAD: usize = 2 + 2 + 2 + 32 + 8 + 8;
const SECRET_BYTES: usize = SECRET_HEAD + ID + 64 + 32;
const ID: usize = 8;

/// By which key something is signed; no secret, and no proof.
pub(super) type KeyId = [u8; ID];

/// The public half.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ReleaseKey {
    id: KeyId,
    public: [u8; 32],
}

/// The public keys that a host's owner trusts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReleaseKeys(Vec<ReleaseKey>);

/// The half that signs.
pub struct ReleaseSecret {
    id: KeyId,
    pair: Ed25519KeyPair,
    seed: Zeroizing<[u8; 32]>,
}

/// Text that is no key. It does not repeat the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseKeyError {
    /// It is no public key.
    #[error("line {0} is no public key of minisign (56 characters that begin with RW)")]
    Public(usize),
    /// There are too many.
    #[error("it holds more than {MAX_KEYS} keys; take away those that sign nothing any more")]
    Many,
    /// It is no secret key.
    #[error("it is no secret key of minisign")]
    Secret,
    /// A password is in the way.
    #[error(
        "it is protected by a password, which `minisign` alone asks for: sign by `minisign -S -s KEY -m FILE -t COMMENT`"
    )]
    Password,
}

impl ReleaseKey {
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.public)
            .verify(message, signature)
            .is_ok()
    }

    /// The text of its file.
    pub fn file(&self) -> String {
        format!(
            "untrusted comment: minisign public key {}\n{self}\n",
            name(self.id)
        )
    }

    fn read(line: &str) -> Option<Self> {
        let bytes = STANDARD.decode(line).ok()?;
        let rest = bytes.strip_prefix(ALGORITHM)?;
        let (id, public) = rest.split_first_chunk::<ID>()?;
        Some(Self {
            id: *id,
            public: public.try_into().ok()?,
        })
    }
}

impl fmt::Display for ReleaseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode([ALGORITHM, &self.id, &self.public].concat()))
    }
}

impl fmt::Debug for ReleaseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReleaseKey({self})")
    }
}

impl ReleaseKeys {
    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn of(&self, id: KeyId) -> impl Iterator<Item = &ReleaseKey> {
        self.0.iter().filter(move |key| key.id == id)
    }

    /// The keys alone, one a line.
    pub fn lines(&self) -> String {
        let lines: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        lines.join("\n")
    }

    /// What their files are called, for people.
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(|key| name(key.id)).collect()
    }
}

/// One key a line; files of minisign one behind the other are that, too.
impl FromStr for ReleaseKeys {
    type Err = ReleaseKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut keys = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || COMMENTS.iter().any(|comment| line.starts_with(comment)) {
                continue;
            }
            keys.push(ReleaseKey::read(line).ok_or(ReleaseKeyError::Public(number + 1))?);
        }
        if keys.len() > MAX_KEYS {
            return Err(ReleaseKeyError::Many);
        }
        Ok(Self(keys))
    }
}

impl From<ReleaseKey> for ReleaseKeys {
    fn from(key: ReleaseKey) -> Self {
        Self(vec![key])
    }
}

impl ReleaseSecret {
    /// Makes a new key.
    ///
    /// # Errors
    /// [`PkiError::Randomness`] when the system gives no random bytes.
    pub fn generate() -> Result<Self, PkiError> {
        let (mut seed, mut id) = (Zeroizing::new([0; 32]), [0; ID]);
        getrandom::fill(seed.as_mut_slice())?;
        getrandom::fill(&mut id)?;
        Self::of(id, seed).ok_or_else(|| PkiError::Tls("ring refused a seed".into()))
    }

    fn of(id: KeyId, seed: Zeroizing<[u8; 32]>) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_slice()).ok()?;
        Some(Self { id, pair, seed })
    }

    /// The public half.
    pub fn public(&self) -> ReleaseKey {
        let mut public = [0; 32];
        public.copy_from_slice(self.pair.public_key().as_ref());
        ReleaseKey {
            id: self.id,
            public,
        }
    }

    pub(super) const fn id(&self) -> KeyId {
        self.id
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }

    /// The text of its file, as `minisign -G -W` writes it: without a password.
    pub fn file(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(SECRET_BYTES));
        bytes.extend_from_slice(ALGORITHM);
        // No derivation, and BLAKE2b for the checksum.
        bytes.extend_from_slice(b"\0\0B2");
        bytes.resize(SECRET_HEAD, 0);
        bytes.extend_from_slice(&self.id);
        bytes.extend_from_slice(self.seed.as_slice());
        bytes.extend_from_slice(self.pair.public_key().as_ref());
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum);
        let encoded = Zeroizing::new(STANDARD.encode(bytes.as_slice()));
        Zeroizing::new(format!(
            "untrusted comment: minisign secret key {}\n{}\n",
            name(self.id),
            encoded.as_str()
        ))
    }
}

/// Over the algorithm and what follows the head.
fn checksum(bytes: &[u8]) -> [u8; 32] {
    let mut sum = Blake2b::<U32>::new();
    sum.update(ALGORITHM);
    sum.update(&bytes[SECRET_HEAD..]);
    sum.finalize().into()
}

impl FromStr for ReleaseSecret {
    type Err = ReleaseKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let line = text.lines().nth(1).unwrap_or_default().trim();
        let bytes = Zeroizing::new(STANDARD.decode(line).map_err(|_| ReleaseKeyError::Secret)?);
        if bytes.len() != SECRET_BYTES || !bytes.starts_with(ALGORITHM) {
            return Err(ReleaseKeyError::Secret);
        }
        if bytes[2..4] != [0, 0] {
            return Err(ReleaseKeyError::Password);
        }
        let (key, sum) = bytes.split_at(SECRET_BYTES - 32);
        // Where there is no password, minisign leaves the sum out; that the two halves fit says enough.
        if sum != [0; 32] && checksum(key) != sum {
            return Err(ReleaseKeyError::Secret);
        }
        let (id, pair) = key[SECRET_HEAD..].split_at(ID);
        let (mut number, mut seed) = ([0; ID], Zeroizing::new([0; 32]));
        number.copy_from_slice(id);
        seed.copy_from_slice(&pair[..32]);
        Self::of(number, seed)
            .filter(|read| read.pair.public_key().as_ref() == &pair[32..])
            .ok_or(ReleaseKeyError::Secret)
    }
}

impl fmt::Debug for ReleaseSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReleaseSecret({})", name(self.id))
    }
}

/// As minisign writes the number of a key.
fn name(id: KeyId) -> String {
    format!("{:016X}", u64::from_le_bytes(id))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The key in minisign's own documentation.
    const KNOWN: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";

    #[test]
    fn keys_are_read_from_the_files_that_minisign_writes() {
        let text =
            format!("untrusted comment: minisign public key\n{KNOWN}\n\n# the next\n{KNOWN}\n");
        let keys: ReleaseKeys = text.parse().unwrap();
        assert_eq!(keys.0.len(), 2);
        assert_eq!(keys.0[0].to_string(), KNOWN);
        assert_eq!(keys.names()[0], "E7620F1842B4E81F");
        assert!("".parse::<ReleaseKeys>().unwrap().is_empty());
        let broken = format!("{KNOWN}\n{}\n", &KNOWN[1..]);
        assert_eq!(
            broken.parse::<ReleaseKeys>(),
            Err(ReleaseKeyError::Public(2))
        );
        let many = format!("{KNOWN}\n").repeat(MAX_KEYS + 1);
        assert_eq!(many.parse::<ReleaseKeys>(), Err(ReleaseKeyError::Many));
    }

    #[test]
    fn a_secret_key_is_read_back_and_a_damaged_one_is_not() {
        let secret = ReleaseSecret::generate().unwrap();
        let file = secret.file();
        let read: ReleaseSecret = file.parse().unwrap();
        assert_eq!(read.public(), secret.public());
        let line = file.lines().nth(1).unwrap();
        for at in [0, 60, 100, 150] {
            let mut bytes = STANDARD.decode(line).unwrap();
            bytes[at] ^= 1;
            let damaged = format!("untrusted comment: x\n{}\n", STANDARD.encode(bytes));
            let refused = damaged.parse::<ReleaseSecret>();
            assert!(refused.is_err(), "byte {at}");
        }
        let mut bytes = STANDARD.decode(line).unwrap();
        bytes[SECRET_BYTES - 32..].fill(0);
        let file = |bytes: &[u8]| format!("untrusted comment: x\n{}\n", STANDARD.encode(bytes));
        let without_sum: ReleaseSecret = file(&bytes).parse().unwrap();
        assert_eq!(without_sum.public(), secret.public());
        bytes[100] ^= 1;
        assert!(file(&bytes).parse::<ReleaseSecret>().is_err());
        let mut bytes = STANDARD.decode(line).unwrap();
        bytes[2..4].copy_from_slice(b"Sc");
        let protected = format!("untrusted comment: x\n{}\n", STANDARD.encode(bytes));
        assert_eq!(
            protected.parse::<ReleaseSecret>().unwrap_err(),
            ReleaseKeyError::Password
        );
    }
}
