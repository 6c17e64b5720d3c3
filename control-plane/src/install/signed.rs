//! Agents that hosts become by an upgrade: those with a signature beside them.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::PathBuf;

use towline_pki::release::{ClaimError, ReleaseKeys, Signature, SignatureError};
use towline_shared::relay::Digest;
use towline_shared::upgrade::Upgrade;

use super::{Architecture, Binaries, Binary};

/// What a signature's file is called: the program's name with this behind it.
const SUFFIX: &str = ".minisig";
/// The file of the keys that enrolling hosts are told of.
const KEYS: &str = "release-keys";
/// The most bytes that are read of one.
const MAX_BYTES: u64 = 2048;

/// An agent that was signed, and what it says that it is. Whether that counts, each host judges by its own keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedAgent {
    /// What the host is told.
    pub upgrade: Upgrade,
    /// Its version, by its signer.
    pub version: String,
}

/// Why there is no agent to become.
#[derive(Debug, thiserror::Error)]
pub enum Unsigned {
    /// There is none at all.
    #[error(
        "this control plane has no agent for {0}; put towline-agent-{0} into its folder of agents (--agent-binaries)"
    )]
    Absent(Architecture),
    /// Nobody has signed it.
    #[error(
        "nobody has signed the agent {program}: there is no {signature}; sign it by `towline pki sign-agent`"
    )]
    Unsigned {
        /// The agent.
        program: PathBuf,
        /// Where its signature would be.
        signature: PathBuf,
    },
    /// The signature is none.
    #[error("{path}: {cause}")]
    Signature {
        /// Its file.
        path: PathBuf,
        /// Why.
        cause: SignatureError,
    },
    /// It does not say what it is of.
    #[error("{path}: {cause}; sign the agent by `towline pki sign-agent`")]
    Claim {
        /// Its file.
        path: PathBuf,
        /// Why.
        cause: ClaimError,
    },
    /// It is for another architecture.
    #[error("{path} is signed for another architecture than {architecture}")]
    Architecture {
        /// The signature's file.
        path: PathBuf,
        /// What was asked for.
        architecture: Architecture,
    },
    /// A file cannot be read.
    #[error("the agents cannot be read: {0}")]
    Io(#[from] io::Error),
    /// Its digest is none.
    #[error("the agent's digest cannot be read")]
    Digest,
}

impl Binaries {
    /// The agent for an architecture, with its signature. It reads files.
    ///
    /// # Errors
    /// There is none, or nobody has signed it.
    pub fn signed(&self, architecture: Architecture) -> Result<SignedAgent, Unsigned> {
        let binary = self.find(architecture)?;
        let binary = binary.ok_or(Unsigned::Absent(architecture))?;
        let (path, text) = signature_of(&binary)?;
        let signature: Signature = text.parse().map_err(|cause| Unsigned::Signature {
            path: path.clone(),
            cause,
        })?;
        let claim = signature.claim().map_err(|cause| Unsigned::Claim {
            path: path.clone(),
            cause,
        })?;
        if claim.architecture.to_string() != architecture.to_string() {
            return Err(Unsigned::Architecture { path, architecture });
        }
        Ok(SignedAgent {
            upgrade: Upgrade {
                sha256: digest_of(&binary)?,
                bytes: binary.path.metadata()?.len(),
                signature: signature.to_string(),
            },
            version: claim.version.to_string(),
        })
    }

    /// The keys of releases that enrolling hosts are told to trust: the file `release-keys` beside the agents, where there
    /// is one.
    ///
    /// # Errors
    /// It cannot be read, or holds something else.
    pub fn release_keys(&self) -> io::Result<ReleaseKeys> {
        match fs::read_to_string(self.folder().join(KEYS)) {
            Ok(text) => text.parse().map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(ReleaseKeys::default()),
            Err(error) => Err(error),
        }
    }

    /// The text of the signature of the agent for an architecture, if there are both. It reads files.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn signature(&self, architecture: Architecture) -> io::Result<Option<String>> {
        let Some(binary) = self.find(architecture)? else {
            return Ok(None);
        };
        match signature_of(&binary) {
            Ok((_, text)) => Ok(Some(text)),
            Err(Unsigned::Io(error)) => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// The agent of this digest, if it is one that is handed out. It reads files.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn by_digest(&self, sha256: &str) -> io::Result<Option<Binary>> {
        let all = self.all()?.into_iter();
        Ok(all
            .map(|(_, binary)| binary)
            .find(|binary| binary.sha256 == sha256))
    }
}

fn digest_of(binary: &Binary) -> Result<Digest, Unsigned> {
    format!("sha256:{}", binary.sha256)
        .parse()
        .map_err(|_| Unsigned::Digest)
}

fn signature_of(binary: &Binary) -> Result<(PathBuf, String), Unsigned> {
    let mut path = binary.path.clone().into_os_string();
    path.push(SUFFIX);
    let path = PathBuf::from(path);
    let file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Unsigned::Unsigned {
                program: binary.path.clone(),
                signature: path,
            });
        }
        opened => opened?,
    };
    let mut text = String::new();
    file.take(MAX_BYTES).read_to_string(&mut text)?;
    Ok((path, text))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use towline_pki::release::{self, Claim, FileDigest, ReleaseSecret};

    use super::*;

    #[test]
    fn only_what_was_signed_as_what_it_is_is_handed_to_agents() {
        let folder = tempfile::tempdir().unwrap();
        let binaries = Binaries::new(folder.path().to_owned());
        let signed = || binaries.signed(Architecture::Aarch64);
        assert!(matches!(signed(), Err(Unsigned::Absent(_))));
        let program = folder.path().join("towline-agent-aarch64");
        std::fs::write(&program, "abc").unwrap();
        assert!(matches!(signed(), Err(Unsigned::Unsigned { .. })));
        let beside = folder.path().join("towline-agent-aarch64.minisig");
        std::fs::write(&beside, "nonsense").unwrap();
        assert!(matches!(signed(), Err(Unsigned::Signature { .. })));
        let secret = ReleaseSecret::generate().unwrap();
        let sign = |architecture| {
            let claim = Claim {
                version: "1.2.3".parse().unwrap(),
                architecture,
            };
            let digest = FileDigest::of(&b"abc"[..]).unwrap();
            let signature = Signature::make(&secret, &digest, &claim);
            std::fs::write(&beside, signature.to_string()).unwrap();
        };
        sign(release::Architecture::X86_64);
        assert!(matches!(signed(), Err(Unsigned::Architecture { .. })));
        sign(release::Architecture::Aarch64);
        let found = signed().unwrap();
        assert_eq!((found.version.as_str(), found.upgrade.bytes), ("1.2.3", 3));
        let known = binaries.by_digest(&found.upgrade.sha256.hex()).unwrap();
        assert_eq!(known.unwrap().path, program);
        assert_eq!(binaries.by_digest("0f").unwrap(), None);
    }
}
