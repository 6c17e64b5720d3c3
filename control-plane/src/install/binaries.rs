//! The agents that this control plane hands out.

use std::fmt;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

/// What the files are called: this, `-` and the architecture.
const NAME: &str = "towline-agent";

/// What an agent runs on, as `uname -m` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// 64-bit x86.
    X86_64,
    /// 64-bit ARM.
    Aarch64,
}

/// Text that names no architecture that agents are made for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no architecture that agents are made for")]
pub struct UnknownArchitecture(String);

/// An agent to hand out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binary {
    /// Its file.
    pub path: PathBuf,
    /// The SHA-256 of its content, in hexadecimal digits.
    pub sha256: String,
}

/// The agents in a folder, each read once for as long as it stays the same file.
#[derive(Clone, Debug)]
pub struct Binaries {
    folder: PathBuf,
    /// The agent beside this very program, which runs on what that runs on.
    beside: Option<PathBuf>,
    known: Arc<Mutex<Vec<(Stamp, Binary)>>>,
}

/// By what a file is known to be the one that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    path: PathBuf,
    device: u64,
    inode: u64,
    bytes: u64,
    /// In seconds and nanoseconds.
    changed: (i64, i64),
}

impl Architecture {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::X86_64, Self::Aarch64];

    const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Architecture {
    type Err = UnknownArchitecture;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut all = Self::ALL.into_iter();
        all.find(|one| one.name() == text)
            .ok_or_else(|| UnknownArchitecture(text.to_owned()))
    }
}

impl Binaries {
    /// Those in a folder, as `towline-agent-x86_64`; for what this program runs on, the agent beside it will do, too.
    pub fn new(folder: PathBuf) -> Self {
        let beside = std::env::current_exe().ok();
        let beside = beside.and_then(|program| Some(program.parent()?.join(NAME)));
        Self {
            folder,
            beside,
            known: Arc::default(),
        }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The agent for an architecture, if there is one. It reads the file, the first time.
    pub fn find(&self, architecture: Architecture) -> io::Result<Option<Binary>> {
        let named = self.folder.join(format!("{NAME}-{architecture}"));
        let is_ours = architecture.name() == std::env::consts::ARCH;
        let beside = self.beside.iter().filter(|_| is_ours).cloned();
        for path in std::iter::once(named).chain(beside) {
            match path.metadata() {
                Ok(metadata) if metadata.is_file() => return self.read(&path, &metadata).map(Some),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// All that there are.
    pub fn all(&self) -> io::Result<Vec<(Architecture, Binary)>> {
        let mut all = Vec::new();
        for architecture in Architecture::ALL {
            all.extend(self.find(architecture)?.map(|found| (architecture, found)));
        }
        Ok(all)
    }

    fn read(&self, path: &Path, metadata: &Metadata) -> io::Result<Binary> {
        let stamp = Stamp {
            path: path.to_owned(),
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.size(),
            changed: (metadata.mtime(), metadata.mtime_nsec()),
        };
        // Held while it is read: who asks at the same moment waits for the answer, and does not read it, too.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, found)) = known.iter().find(|(of, _)| *of == stamp) {
            return Ok(found.clone());
        }
        let mut sum = Sha256::new();
        io::copy(&mut File::open(path)?, &mut sum)?;
        let binary = Binary {
            path: path.to_owned(),
            sha256: crate::domain::hex::hex(&sum.finalize()),
        };
        known.retain(|(of, _)| of.path != *path);
        known.push((stamp, binary.clone()));
        Ok(binary)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_agent_is_known_by_its_content_and_read_anew_when_that_changes() {
        let folder = tempfile::tempdir().unwrap();
        let mut binaries = Binaries::new(folder.path().to_owned());
        binaries.beside = None;
        assert_eq!(binaries.all().unwrap(), []);
        let path = folder.path().join("towline-agent-aarch64");
        std::fs::write(&path, "abc").unwrap();
        let found = binaries.find(Architecture::Aarch64).unwrap().unwrap();
        // The example of FIPS 180-2, appendix B.1.
        assert_eq!(
            found.sha256,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(binaries.find(Architecture::X86_64).unwrap(), None);
        let next = folder.path().join("next");
        std::fs::write(&next, "abcd").unwrap();
        std::fs::rename(next, &path).unwrap();
        let other = binaries.find(Architecture::Aarch64).unwrap().unwrap();
        assert_ne!(other.sha256, found.sha256);
        assert_eq!(binaries.known.lock().unwrap().len(), 1);
    }

    #[test]
    fn the_agent_beside_the_program_does_for_what_that_runs_on() {
        let folder = tempfile::tempdir().unwrap();
        let mut binaries = Binaries::new(folder.path().join("none"));
        let beside = folder.path().join("towline-agent");
        std::fs::write(&beside, "abc").unwrap();
        binaries.beside = Some(beside.clone());
        let all = binaries.all().unwrap();
        assert_eq!(all.len(), 1);
        assert_eq!(
            (all[0].0.name(), &all[0].1.path),
            (std::env::consts::ARCH, &beside)
        );
    }

    #[test]
    fn architectures_have_the_names_that_uname_gives() {
        for one in Architecture::ALL {
            assert_eq!(one.to_string().parse(), Ok(one));
        }
        for other in ["", "amd64", "../x86_64", "X86_64"] {
            assert!(other.parse::<Architecture>().is_err(), "{other}");
        }
    }
}
