//! Files that are replaced whole, and remembered with their bytes, mode and owner.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown,
};
use std::path::{Path, PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::error::{DockerTlsError, Result};
use crate::state_dir::sync_parent;

/// The mode of keys.
pub const SECRET: u32 = 0o600;
/// The mode of what everybody may read.
pub const PUBLIC: u32 = 0o644;

/// A file's bytes; in a journal they stand in base64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text).map_err(serde::de::Error::custom)?;
        Ok(Self(bytes))
    }
}

/// A file at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Snapshot {
    /// It is not there.
    Absent,
    /// It is there.
    Present {
        /// What it holds.
        content: Bytes,
        /// Its permissions.
        mode: u32,
        /// Its user.
        uid: u32,
        /// Its group.
        gid: u32,
    },
}

impl Snapshot {
    /// The file as it is now.
    pub fn take(path: &Path) -> Result<Self> {
        let failed = |cause| DockerTlsError::io("cannot read", path, cause);
        let content = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::Absent),
            read => read.map_err(failed)?,
        };
        let metadata = fs::metadata(path).map_err(failed)?;
        Ok(Self::Present {
            content: Bytes(content),
            mode: metadata.mode() & 0o7777,
            uid: metadata.uid(),
            gid: metadata.gid(),
        })
    }

    /// What it holds, if it is there.
    pub fn content(&self) -> Option<&[u8]> {
        match self {
            Self::Absent => None,
            Self::Present { content, .. } => Some(&content.0),
        }
    }

    /// The same file with other bytes; a new one is root's, with this mode.
    pub fn with(&self, content: impl Into<Vec<u8>>, new_mode: u32) -> Self {
        let (mode, uid, gid) = match self {
            Self::Absent => (new_mode, 0, 0),
            Self::Present { mode, uid, gid, .. } => (*mode, *uid, *gid),
        };
        Self::Present {
            content: Bytes(content.into()),
            mode,
            uid,
            gid,
        }
    }

    /// Makes the file so; it is there whole, or as it was, whenever the machine dies.
    pub fn put(&self, path: &Path) -> Result<()> {
        let draft = draft(path);
        // Of a process that has died.
        let _ = fs::remove_file(&draft);
        let put = match self {
            Self::Absent => match fs::remove_file(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                removed => removed,
            },
            Self::Present {
                content,
                mode,
                uid,
                gid,
            } => replace(path, &draft, &content.0, *mode, (*uid, *gid)),
        };
        put.and_then(|()| sync_parent(path))
            .map_err(|cause| DockerTlsError::io("cannot write", path, cause))
    }
}

/// Where a file is written before it takes its place.
fn draft(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".towline-new");
    path.with_file_name(name)
}

fn replace(
    path: &Path,
    draft: &Path,
    content: &[u8],
    mode: u32,
    owner: (u32, u32),
) -> io::Result<()> {
    let written = write_new(draft, content, mode, owner).and_then(|()| fs::rename(draft, path));
    if written.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(draft);
    }
    written
}

fn write_new(draft: &Path, content: &[u8], mode: u32, owner: (u32, u32)) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(draft)?;
    let metadata = file.metadata()?;
    if (metadata.uid(), metadata.gid()) != owner {
        fchown(&file, Some(owner.0), Some(owner.1))?;
    }
    // The process's mask may have taken something from it; never was it more.
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(content)?;
    file.sync_all()
}

/// Makes a folder with this mode, and its parents (0755) where they are missing; one that is there stays as it is.
pub fn make_folder(path: &Path, mode: u32) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_folder(parent, 0o755)?;
    }
    DirBuilder::new()
        .mode(mode)
        .create(path)
        .map_err(|cause| DockerTlsError::io("cannot make the folder", path, cause))
}

/// The folders of a path that are missing, the innermost first.
pub fn missing_folders(path: &Path) -> Vec<PathBuf> {
    let missing = path.ancestors().take_while(|folder| !folder.is_dir());
    missing.map(Path::to_path_buf).collect()
}

/// Where a file really is, when its path is a link.
pub fn real(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    fs::canonicalize(&absolute).unwrap_or(absolute)
}

/// The exclusive hold of a folder, for as long as the file lives; nothing where there is no such folder yet.
pub fn hold(folder: &Path) -> Result<Option<File>> {
    let Ok(file) = File::open(folder) else {
        return Ok(None);
    };
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(_) => Err(DockerTlsError::Busy(folder.to_path_buf())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_file_comes_back_with_its_bytes_and_its_mode() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("daemon.json");
        let absent = Snapshot::take(&path).unwrap();
        assert_eq!(absent, Snapshot::Absent);
        fs::write(&path, b"{}\xff").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let former = Snapshot::take(&path).unwrap();
        let written = serde_json::to_string(&former).unwrap();
        assert_eq!(serde_json::from_str::<Snapshot>(&written).unwrap(), former);
        former.with("{\"a\": 1}", PUBLIC).put(&path).unwrap();
        let now = Snapshot::take(&path).unwrap();
        assert!(matches!(&now, Snapshot::Present { mode: 0o640, .. }));
        assert_eq!(now.content(), Some(&b"{\"a\": 1}"[..]));
        former.put(&path).unwrap();
        assert_eq!(Snapshot::take(&path).unwrap(), former);
        absent.put(&path).unwrap();
        absent.put(&path).unwrap();
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
        let deep = home.path().join("a/b/c");
        let missing = missing_folders(&deep);
        assert_eq!(missing.len(), 3);
        make_folder(&deep, 0o700).unwrap();
        for folder in missing {
            fs::remove_dir(folder).unwrap();
        }
    }
}
