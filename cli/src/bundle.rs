//! A folder of certificates and keys: each file is there whole, with its mode from the first byte on, or as it was.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use crate::exit::Failure;

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Its owner alone: keys.
    Owner,
    /// Everybody: certificates.
    Everybody,
}

impl Readers {
    const fn mode(self) -> u32 {
        match self {
            Self::Owner => 0o600,
            Self::Everybody => 0o644,
        }
    }
}

/// A file that is to be written.
#[derive(Debug)]
pub struct Piece {
    /// Its name in the folder.
    pub name: &'static str,
    /// What it holds.
    pub text: Zeroizing<String>,
    /// Who may read it.
    pub readers: Readers,
}

/// Writes all pieces into `folder`, which is made (0700) when it is not there: first beside their places, and when all
/// are on the disk, onto them.
pub fn write(folder: &Path, pieces: &[Piece]) -> Result<(), Failure> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| unwritable(folder, &error))?;
    let drafts: Vec<(PathBuf, PathBuf)> =
        pieces.iter().map(|piece| places(folder, piece)).collect();
    let staged = pieces
        .iter()
        .zip(&drafts)
        .try_for_each(|(piece, (draft, _))| {
            stage(draft, piece).map_err(|error| unwritable(draft, &error))
        });
    let placed = staged.and_then(|()| {
        drafts.iter().try_for_each(|(draft, place)| {
            fs::rename(draft, place).map_err(|error| unwritable(place, &error))
        })
    });
    if placed.is_err() {
        for (draft, _) in &drafts {
            // The first error is the one to tell.
            let _ = fs::remove_file(draft);
        }
    }
    placed?;
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| unwritable(folder, &error))
}

fn places(folder: &Path, piece: &Piece) -> (PathBuf, PathBuf) {
    let draft = format!(".{}.{}", piece.name, std::process::id());
    (folder.join(draft), folder.join(piece.name))
}

fn stage(draft: &Path, piece: &Piece) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(piece.readers.mode())
        .open(draft)?;
    file.write_all(piece.text.as_bytes())?;
    file.sync_all()
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::usage(format!("{} cannot be written", path.display()))
        .detail(error.to_string())
        .remedy("give a folder that you may write by --out")
}

/// A file's text, or nothing when there is no such file.
pub fn read(path: &Path) -> Result<Option<Zeroizing<String>>, Failure> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(Zeroizing::new(text))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            Err(Failure::usage(format!("{} cannot be read", path.display()))
                .detail(error.to_string()))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn piece(name: &'static str, text: &str, readers: Readers) -> Piece {
        Piece {
            name,
            text: Zeroizing::new(text.to_owned()),
            readers,
        }
    }

    #[test]
    fn all_is_written_or_nothing() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("new/bundle");
        let pieces = |text: &str| {
            [
                piece("cert.pem", text, Readers::Everybody),
                piece("key.pem", text, Readers::Owner),
            ]
        };
        write(&folder, &pieces("one")).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        assert_eq!(mode(&folder.join("cert.pem")), 0o644);
        assert_eq!(mode(&folder.join("key.pem")), 0o600);
        // The second cannot be written beside its place.
        let (draft, _) = places(&folder, &pieces("two")[1]);
        fs::create_dir(&draft).unwrap();
        assert!(write(&folder, &pieces("two")).is_err());
        fs::remove_dir(&draft).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
        assert_eq!(&**read(&folder.join("cert.pem")).unwrap().unwrap(), "one");
        write(&folder, &pieces("two")).unwrap();
        assert_eq!(&**read(&folder.join("key.pem")).unwrap().unwrap(), "two");
        assert!(read(&folder.join("none.pem")).unwrap().is_none());
    }
}
