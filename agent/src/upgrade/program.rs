//! The files of the program: the one that runs, the former one and the next one, beside each other.

use std::env;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest as _, Sha256};
use towline_shared::relay::Digest;

use crate::state_dir::sync_parent;

/// Where a program is kept that is fetched, or was exchanged.
const NEXT: &str = ".next-";
const PREVIOUS: &str = ".previous";

/// The file that this process was started from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program(PathBuf);

impl Program {
    /// This process's; links are followed. To be asked at the start, before anything else can be in its place.
    pub fn here() -> io::Result<Self> {
        env::current_exe().map(Self)
    }

    /// The program at a path.
    pub const fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The former program's.
    pub fn previous(&self) -> PathBuf {
        self.beside(PREVIOUS)
    }

    /// Where a program is fetched to; what is there of another one is taken away.
    pub fn next(&self, digest: Digest) -> io::Result<PathBuf> {
        let next = self.beside(&format!("{NEXT}{}", &digest.hex()[..16]));
        let (Some(folder), Some(stem)) = (self.0.parent(), self.0.file_name()) else {
            return Err(io::ErrorKind::InvalidFilename.into());
        };
        let prefix = format!("{}{NEXT}", stem.to_string_lossy());
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(&prefix) && path != next {
                fs::remove_file(&path)?;
            }
        }
        Ok(next)
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.0.clone().into_os_string();
        name.push(suffix);
        name.into()
    }

    /// What is in its place now.
    pub fn digest(&self) -> io::Result<Digest> {
        digest(&self.0)
    }

    /// Puts `next` in its place, and keeps the former one beside it. Whenever the machine dies, one of the two is there
    /// whole: the next one's bytes were synced before.
    pub fn exchange(&self, next: &Path) -> io::Result<()> {
        let link = self.beside(".link");
        match fs::remove_file(&link) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::hard_link(&self.0, &link)?;
        fs::rename(&link, self.previous())?;
        sync_parent(&self.0)?;
        fs::rename(next, &self.0)?;
        sync_parent(&self.0)
    }

    /// Puts the former program back.
    pub fn put_back(&self) -> io::Result<()> {
        fs::rename(self.previous(), &self.0)?;
        sync_parent(&self.0)
    }

    /// Becomes what is in its place, with the same arguments. It comes back only when that failed; why.
    pub fn exec(&self) -> io::Error {
        Command::new(&self.0).args(env::args_os().skip(1)).exec()
    }
}

/// The SHA-256 of a file.
pub(super) fn digest(path: &Path) -> io::Result<Digest> {
    let mut sum = Sha256::new();
    io::copy(&mut File::open(path)?, &mut sum)?;
    Ok(Digest(sum.finalize().into()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(path: &Path) -> String {
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn programs_change_places_and_back() {
        let folder = tempfile::tempdir().unwrap();
        let program = Program::at(folder.path().join("towline-agent"));
        fs::write(program.path(), "old").unwrap();
        // What a process left that died in the middle of an exchange.
        fs::write(folder.path().join("towline-agent.link"), "x").unwrap();
        fs::write(folder.path().join("towline-agent.next-0123"), "x").unwrap();
        let next = program.next(Digest([7; 32])).unwrap();
        fs::write(&next, "new").unwrap();
        program.exchange(&next).unwrap();
        assert_eq!(read(program.path()), "new");
        assert_eq!(read(&program.previous()), "old");
        let left = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(left, 2, "nothing else is left");
        program.put_back().unwrap();
        assert_eq!(read(program.path()), "old");
        assert!(program.put_back().is_err(), "there is no former one");
    }
}
