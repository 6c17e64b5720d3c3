//! Signatures, in minisign's files.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blake2::{Blake2b512, Digest as _};

use super::claim::{Claim, ClaimError};
use super::key::{KeyId, ReleaseKeys, ReleaseSecret};

/// A signature over the BLAKE2b-512 of a file. The older kind, over the file itself, is not taken.
const ALGORITHM: &[u8] = b"ED";
const UNTRUSTED: &str = "untrusted comment:";
const TRUSTED: &str = "trusted comment: ";
/// The most bytes of a signature's file.
const MAX_FILE: usize = 2048;

/// The BLAKE2b-512 of a file.
#[derive(Clone, PartialEq, Eq)]
pub struct FileDigest([u8; 64]);

/// A signature that nobody has verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    id: KeyId,
    file: [u8; 64],
    comment: String,
    /// Over the signature of the file and the comment.
    whole: [u8; 64],
}

/// A file and what it is, of somebody who is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed(pub Claim);

/// Text that is no signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it is no signature of minisign's kind (four lines, over the hash of the file: `minisign -S -H`)"
)]
pub struct SignatureError;

/// Why a signature does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureRefusal {
    /// No trusted key has made it.
    #[error("it is signed by another key than those that are trusted here ({0})")]
    Key(String),
    /// The file is another.
    #[error("the file is not the one that was signed")]
    File,
    /// The comment is another.
    #[error("its comment is not the one that was signed")]
    Comment,
    /// What was signed says too little.
    #[error(transparent)]
    Claim(#[from] ClaimError),
}

impl FileDigest {
    /// Reads a file to its end.
    ///
    /// # Errors
    /// What reading gives.
    pub fn of(mut file: impl Read) -> io::Result<Self> {
        let mut sum = Blake2b512::new();
        io::copy(&mut file, &mut sum)?;
        Ok(Self(sum.finalize().into()))
    }
}

impl fmt::Debug for FileDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileDigest(…)")
    }
}

impl Signature {
    /// Signs a file as what it is.
    pub fn make(secret: &ReleaseSecret, file: &FileDigest, claim: &Claim) -> Self {
        let comment = claim.to_string();
        let signature = array(&secret.sign(&file.0));
        let whole = [&signature[..], comment.as_bytes()].concat();
        Self {
            id: secret.id(),
            file: signature,
            whole: array(&secret.sign(&whole)),
            comment,
        }
    }

    /// What it says that the file is: words of anybody, until it is verified.
    ///
    /// # Errors
    /// The comment does not say so.
    pub fn claim(&self) -> Result<Claim, ClaimError> {
        self.comment.parse()
    }

    /// Verifies it by the keys that are trusted.
    ///
    /// # Errors
    /// Why it does not count.
    pub fn verify(
        &self,
        keys: &ReleaseKeys,
        file: &FileDigest,
    ) -> Result<Signed, SignatureRefusal> {
        let whole = [&self.file[..], self.comment.as_bytes()].concat();
        let mut refusal = SignatureRefusal::Key(keys.names().join(", "));
        // Numbers of keys are no proof: two keys may have the same.
        for key in keys.of(self.id) {
            refusal = match (
                key.verifies(&file.0, &self.file),
                key.verifies(&whole, &self.whole),
            ) {
                (true, true) => return Ok(Signed(self.claim()?)),
                (true, false) => SignatureRefusal::Comment,
                (false, _) => SignatureRefusal::File,
            };
        }
        Err(refusal)
    }
}

fn array(bytes: &[u8]) -> [u8; 64] {
    let mut array = [0; 64];
    array.copy_from_slice(bytes);
    array
}

/// The text of its file.
impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{UNTRUSTED} signature of a release of Towline's agent")?;
        let file = [ALGORITHM, &self.id, &self.file].concat();
        writeln!(f, "{}", STANDARD.encode(file))?;
        writeln!(f, "{TRUSTED}{}", self.comment)?;
        writeln!(f, "{}", STANDARD.encode(self.whole))
    }
}

impl FromStr for Signature {
    type Err = SignatureError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > MAX_FILE {
            return Err(SignatureError);
        }
        read(text).ok_or(SignatureError)
    }
}

fn read(text: &str) -> Option<Signature> {
    let mut lines = text.lines();
    lines.next()?.strip_prefix(UNTRUSTED)?;
    let signature = STANDARD.decode(lines.next()?).ok()?;
    let (id, file) = signature
        .strip_prefix(ALGORITHM)?
        .split_first_chunk::<8>()?;
    Some(Signature {
        id: *id,
        file: file.try_into().ok()?,
        comment: lines.next()?.strip_prefix(TRUSTED)?.to_owned(),
        whole: STANDARD.decode(lines.next()?).ok()?.try_into().ok()?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use semver::Version;

    use super::super::Architecture;
    use super::*;

    fn claim() -> Claim {
        Claim {
            version: Version::new(1, 2, 3),
            architecture: Architecture::X86_64,
        }
    }

    #[test]
    fn what_was_signed_counts_and_nothing_else() {
        let (secret, other) = (
            ReleaseSecret::generate().unwrap(),
            ReleaseSecret::generate().unwrap(),
        );
        let (file, another) = (
            FileDigest::of(&b"program"[..]).unwrap(),
            FileDigest::of(&b"prograM"[..]).unwrap(),
        );
        let keys = ReleaseKeys::from(secret.public());
        let text = Signature::make(&secret, &file, &claim()).to_string();
        let signature: Signature = text.parse().unwrap();
        assert_eq!(signature.verify(&keys, &file), Ok(Signed(claim())));
        assert_eq!(
            signature.verify(&keys, &another),
            Err(SignatureRefusal::File)
        );
        let raised: Signature = text.replace("1.2.3", "9.2.3").parse().unwrap();
        assert_eq!(raised.verify(&keys, &file), Err(SignatureRefusal::Comment));
        let of_other = ReleaseKeys::from(other.public());
        assert!(matches!(
            signature.verify(&of_other, &file),
            Err(SignatureRefusal::Key(_))
        ));
        assert!(matches!(
            signature.verify(&ReleaseKeys::default(), &file),
            Err(SignatureRefusal::Key(_))
        ));
        let mut vague = claim().to_string().parse::<Claim>().unwrap();
        vague.architecture = Architecture::Aarch64;
        assert_ne!(Signature::make(&secret, &file, &vague), signature);
    }

    #[test]
    fn what_is_no_signature_is_refused() {
        let secret = ReleaseSecret::generate().unwrap();
        let file = FileDigest::of(&b"program"[..]).unwrap();
        let text = Signature::make(&secret, &file, &claim()).to_string();
        let lines: Vec<&str> = text.lines().collect();
        for (cut, kept) in [(0, 0), (1, 1), (2, 2), (3, 3)] {
            assert_eq!(
                lines[..kept].join("\n").parse::<Signature>(),
                Err(SignatureError),
                "{cut} lines"
            );
        }
        let long = format!("{text}{}", "x".repeat(MAX_FILE));
        assert_eq!(long.parse::<Signature>(), Err(SignatureError));
        // The older kind: the algorithm's letters are `Ed`.
        let older = text.replacen("\nRU", "\nRW", 1);
        assert_ne!(older, text);
        assert_eq!(older.parse::<Signature>(), Err(SignatureError));
    }
}
