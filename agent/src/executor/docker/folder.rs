//! The folder of a deployed project on this host: what its containers mount.
//!
//! It stays at one place from deploy to deploy, because compose hashes the paths of mounts and makes
//! every container anew whose hash changed. Containers may write into it, so nothing in it is
//! trusted: projects are resolved elsewhere, and every path is walked without following links.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use towline_shared::failpoint::reach;
use towline_shared::spec::{FileMode, ProjectFile};

use crate::state_dir::write_durably;

const MANIFEST: &str = "manifest.json";
const FILES: &str = "files";
/// The name of a file that is being written; no project may have such a file.
const HALF_WRITTEN: &str = ".towline-half-written";

/// The folder of one compose project.
#[derive(Clone, Debug)]
pub(super) struct ProjectFolder {
    root: PathBuf,
}

/// What is known of a project folder's content.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Manifest {
    /// The files that came with the last deploy.
    files: BTreeSet<String>,
    /// The paths that containers of any deploy could write to.
    writable: BTreeSet<String>,
}

/// A path of the project that a container mounts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mount {
    /// From the project's root; empty for the root itself.
    pub path: String,
    pub access: Access,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Access {
    ReadOnly,
    Write,
}

/// Why a project folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub(in crate::executor) enum FolderError {
    #[error("cannot write the project's files to {path}: {source}")]
    Io { path: String, source: io::Error },
    #[error("{0} of the project's folder is a link that a container made; remove it on the host")]
    Link(String),
    #[error(
        "{mounted} is below {writable}, which containers can write to: a link placed there could reach any path of the host; \
         mount a folder beside it, or a named volume (rule bind_mounts)"
    )]
    BelowWritable { mounted: String, writable: String },
    #[error(
        "{path} is damaged ({cause}); remove the project from this host, or move its folder away, then deploy again"
    )]
    Manifest {
        path: String,
        cause: serde_json::Error,
    },
    #[error("{0:?} is no path a project may have")]
    Path(String),
}

impl ProjectFolder {
    pub fn new(state_dir: &Path, compose_project: &str) -> Self {
        Self {
            root: state_dir.join("projects").join(compose_project),
        }
    }

    /// Where the project's files are.
    pub fn files(&self) -> PathBuf {
        self.root.join(FILES)
    }

    /// Where something about this project is recorded, beside its files.
    pub fn record(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Makes the folder, closed to all but root.
    pub fn create(&self) -> Result<(), FolderError> {
        let io = |source| io_error(&self.root, source);
        create_private(&self.root).map_err(io)?;
        match std::fs::create_dir(self.files()) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            result => result.map_err(io),
        }
    }

    /// Refuses mounts that could be led astray by a link that a container has placed.
    pub fn check_mounts(&self, mounts: &[Mount]) -> Result<(), FolderError> {
        let own = mounts
            .iter()
            .filter(|mount| mount.access == Access::Write)
            .map(|mount| mount.path.clone());
        let writable: BTreeSet<String> = self.manifest()?.writable.into_iter().chain(own).collect();
        for mount in mounts {
            let around = writable
                .iter()
                .find(|writable| is_strictly_below(&mount.path, writable));
            if let Some(writable) = around {
                let name = |path: &str| format!("./{path}");
                return Err(FolderError::BelowWritable {
                    mounted: name(&mount.path),
                    writable: name(writable),
                });
            }
            self.refuse_links(&mount.path)?;
        }
        Ok(())
    }

    /// Brings the project's files to those of a release. Files that containers made stay.
    pub fn sync(&self, files: &[ProjectFile], mounts: &[Mount]) -> Result<(), FolderError> {
        let mut manifest = self.manifest()?;
        let old = manifest.files.clone();
        let new: BTreeSet<String> = files.iter().map(|file| file.path.clone()).collect();
        let writable = mounts.iter().filter(|mount| mount.access == Access::Write);
        manifest
            .writable
            .extend(writable.map(|mount| mount.path.clone()));
        manifest.files.extend(new.iter().cloned());
        self.write_manifest(&manifest)?;
        let root = self.open_root()?;
        for path in old.difference(&new) {
            self.delete(&root, path)?;
        }
        for file in files {
            place(&root, file, Keeping::Durably).map_err(|errno| self.errno(&file.path, errno))?;
            reach("agent: placed a file");
        }
        manifest.files = new;
        self.write_manifest(&manifest)
    }

    /// Removes the files that came with deploys; what containers made stays.
    pub fn remove_files(&self) -> Result<(), FolderError> {
        let mut manifest = self.manifest()?;
        // Nothing was ever deployed, or it was removed before: there may be no folder of files.
        if manifest.files.is_empty() {
            return Ok(());
        }
        let root = self.open_root()?;
        for path in std::mem::take(&mut manifest.files) {
            self.delete(&root, &path)?;
        }
        self.write_manifest(&manifest)
    }

    /// Removes the folder with all that containers put there.
    pub fn remove_all(&self) -> Result<(), FolderError> {
        match std::fs::remove_dir_all(&self.root) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(io_error(&self.root, error))
            }
            _ => Ok(()),
        }
    }

    /// None is there before the first deploy. One that cannot be read is no reason to forget what
    /// containers could write to.
    fn manifest(&self) -> Result<Manifest, FolderError> {
        let path = self.root.join(MANIFEST);
        match std::fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Manifest::default()),
            Err(source) => Err(io_error(&path, source)),
            Ok(text) => serde_json::from_slice(&text).map_err(|cause| FolderError::Manifest {
                path: path.display().to_string(),
                cause,
            }),
        }
    }

    fn write_manifest(&self, manifest: &Manifest) -> Result<(), FolderError> {
        let path = self.root.join(MANIFEST);
        serde_json::to_vec(manifest)
            .map_err(io::Error::other)
            .and_then(|text| write_durably(&path, &text))
            .map_err(|source| io_error(&path, source))?;
        reach("agent: stored a manifest");
        Ok(())
    }

    fn open_root(&self) -> Result<OwnedFd, FolderError> {
        let files = self.files();
        open_folder_at(rustix::fs::CWD, &files)
            .map_err(|errno| self.errno(&files.to_string_lossy(), errno))
    }

    fn delete(&self, root: &OwnedFd, path: &str) -> Result<(), FolderError> {
        match unplace(root, path) {
            Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
            Err(errno) => Err(self.errno(path, errno)),
        }
    }

    fn refuse_links(&self, path: &str) -> Result<(), FolderError> {
        let mut walked = self.files();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            walked.push(part);
            match std::fs::symlink_metadata(&walked) {
                Ok(metadata) if metadata.is_symlink() => {
                    return Err(FolderError::Link(path.to_owned()));
                }
                Ok(_) => {}
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }

    fn errno(&self, path: &str, errno: Errno) -> FolderError {
        match errno {
            Errno::LOOP | Errno::MLINK => FolderError::Link(path.to_owned()),
            Errno::INVAL => FolderError::Path(path.to_owned()),
            errno => io_error(&self.files().join(path), errno.into()),
        }
    }
}

impl FolderError {
    /// Whether the disk is full.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull)
    }
}

/// Makes a folder and those above it, closed to all but root.
pub(in crate::executor) fn create_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

/// Whether a path from a specification is relative and stays below its folder.
pub(super) fn is_project_path(path: &str) -> bool {
    let is_part =
        |part: &str| !part.is_empty() && part != "." && part != ".." && part != HALF_WRITTEN;
    !path.contains('\0') && path.split('/').all(is_part)
}

/// Writes a release's files into an empty folder of the agent's own.
pub(super) fn write_private(folder: &Path, files: &[ProjectFile]) -> Result<(), FolderError> {
    let io = |source| io_error(folder, source);
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
        _ => {}
    }
    create_private(folder).map_err(io)?;
    write_over(folder, files)
}

/// Writes files into a folder of the agent's own, over what is there.
pub(in crate::executor) fn write_over(
    folder: &Path,
    files: &[ProjectFile],
) -> Result<(), FolderError> {
    let io = |source| io_error(folder, source);
    let root = open_folder_at(rustix::fs::CWD, folder).map_err(|errno| io(errno.into()))?;
    for file in files {
        place(&root, file, Keeping::ForNow).map_err(|errno| match errno {
            Errno::INVAL => FolderError::Path(file.path.clone()),
            errno => io_error(&folder.join(&file.path), errno.into()),
        })?;
    }
    Ok(())
}

fn io_error(path: &Path, source: io::Error) -> FolderError {
    FolderError::Io {
        path: path.display().to_string(),
        source,
    }
}

/// Whether a path lies in a folder, and is not the folder itself.
fn is_strictly_below(path: &str, folder: &str) -> bool {
    match path.strip_prefix(folder) {
        Some(rest) if folder.is_empty() => !rest.is_empty(),
        Some(rest) => rest.starts_with('/'),
        None => false,
    }
}

fn open_folder_at(parent: impl AsFd, path: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, path, flags, Mode::empty())
}

/// Opens the folder that holds `path`, and gives the last part of the path.
fn parent_of<'a>(
    root: &OwnedFd,
    path: &'a str,
    missing: Missing,
) -> Result<(OwnedFd, &'a str), Errno> {
    if !is_project_path(path) {
        return Err(Errno::INVAL);
    }
    let mut folder = root.try_clone().map_err(|_| Errno::MFILE)?;
    let mut rest = path;
    while let Some((part, below)) = rest.split_once('/') {
        folder = match open_folder_at(&folder, part) {
            Err(Errno::NOENT) if missing == Missing::Create => {
                rustix::fs::mkdirat(&folder, part, Mode::from_raw_mode(0o755))?;
                open_folder_at(&folder, part)?
            }
            // A file stands where a folder is needed now; only a former release can have put it there.
            opened => opened?,
        };
        rest = below;
    }
    Ok((folder, rest))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Create,
    Fail,
}

/// For how long a file is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keeping {
    /// As long as the job lasts, which writes it again when it is resumed.
    ForNow,
    /// Containers mount it after a power cut, too.
    Durably,
}

fn place(root: &OwnedFd, file: &ProjectFile, keeping: Keeping) -> Result<(), Errno> {
    let (folder, name) = parent_of(root, &file.path, Missing::Create)?;
    let mode = Mode::from_raw_mode(match file.mode {
        FileMode::Regular => 0o644,
        FileMode::Executable => 0o755,
    });
    if is_same(&folder, name, file, mode) {
        return Ok(());
    }
    match rustix::fs::unlinkat(&folder, HALF_WRITTEN, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(errno),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(&folder, HALF_WRITTEN, flags, mode)?;
    rustix::fs::fchmod(&fd, mode)?;
    let mut half = File::from(fd);
    let written = half.write_all(&file.content).and_then(|()| match keeping {
        Keeping::ForNow => Ok(()),
        Keeping::Durably => half.sync_data(),
    });
    written.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    rustix::fs::renameat(&folder, HALF_WRITTEN, &folder, name)?;
    match keeping {
        Keeping::ForNow => Ok(()),
        Keeping::Durably => rustix::fs::fsync(&folder),
    }
}

/// An unchanged file keeps its inode: containers may have mounted it.
fn is_same(folder: &OwnedFd, name: &str, file: &ProjectFile, mode: Mode) -> bool {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(fd) = rustix::fs::openat(folder, name, flags, Mode::empty()) else {
        return false;
    };
    let Ok(stat) = rustix::fs::fstat(&fd) else {
        return false;
    };
    let is_file = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file();
    let is_mode = Mode::from_raw_mode(stat.st_mode) == mode;
    if !is_file
        || !is_mode
        || u64::try_from(stat.st_size).ok() != u64::try_from(file.content.len()).ok()
    {
        return false;
    }
    let mut content = Vec::with_capacity(file.content.len());
    let limit = file.content.len() as u64 + 1;
    File::from(fd).take(limit).read_to_end(&mut content).is_ok() && content == file.content
}

fn unplace(root: &OwnedFd, path: &str) -> Result<(), Errno> {
    let (folder, name) = parent_of(root, path, Missing::Fail)?;
    rustix::fs::unlinkat(&folder, name, AtFlags::empty())?;
    // Folders that are empty now go as well; one that is not, stays.
    let mut above = path;
    while let Some((parent, _)) = above.rsplit_once('/') {
        let (folder, name) = parent_of(root, parent, Missing::Fail)?;
        if rustix::fs::unlinkat(&folder, name, AtFlags::REMOVEDIR).is_err() {
            break;
        }
        above = parent;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
