//! The one reader of uploaded archives.
//!
//! It takes plain files and folders and nothing else, and refuses the whole archive at the first
//! thing that is not: a reader that skips or repairs disagrees with another one some day, and
//! between the two hides the attack.

use std::collections::BTreeSet;
use std::io::Read as _;

use towline_shared::spec::{FileMode, MAX_PROJECT_BYTES, MAX_PROJECT_FILES, ProjectFile};

/// The most bytes of a path; what a database column and any file system takes.
pub const MAX_PATH_BYTES: usize = 255;
/// How deep folders may nest.
pub const MAX_PATH_DEPTH: usize = 16;
/// tar's unit.
const BLOCK: usize = 512;
/// The most bytes an archive of a project may have: its content, a header and padding for each
/// file and folder, and extended headers for long names.
pub const MAX_ARCHIVE_BYTES: usize = MAX_PROJECT_BYTES + MAX_PROJECT_FILES * 8 * BLOCK;

/// Why an archive is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ArchiveError {
    /// It is compressed.
    #[error("the archive is compressed ({0}); send a plain tar archive")]
    Compressed(&'static str),
    /// It is no tar archive, or is cut off.
    #[error("the body is no complete tar archive ({0}); make it with `tar -cf`")]
    Malformed(String),
    /// It has no file.
    #[error("the archive has no file; add at least a compose file")]
    Empty,
    /// It has too many files or folders.
    #[error(
        "the archive has more than {MAX_PROJECT_FILES} files or folders; leave out what the deploy does not need"
    )]
    TooMany,
    /// Its files are too large together.
    #[error(
        "the files have more than {MAX_PROJECT_BYTES} bytes together; leave out what the deploy does not need"
    )]
    TooLarge,
    /// A path cannot be taken.
    #[error("the path {path:?} {why}")]
    Path {
        /// The path, as far as it can be shown.
        path: String,
        /// What is wrong with it, and what to do.
        why: &'static str,
    },
    /// An entry is neither file nor folder.
    #[error("{path:?} is {kind}; an archive may have plain files and folders only")]
    Kind {
        /// Its path.
        path: String,
        /// What it is.
        kind: &'static str,
    },
}

/// Reads all files of an uncompressed tar archive, in its order.
pub fn read(archive: &[u8]) -> Result<Vec<ProjectFile>, ArchiveError> {
    refuse_compressed(archive)?;
    let mut contents = Contents::default();
    let mut end = 0;
    let malformed = |error: std::io::Error| ArchiveError::Malformed(error.to_string());
    for entry in tar::Archive::new(archive).entries().map_err(malformed)? {
        let mut entry = entry.map_err(malformed)?;
        let size = usize::try_from(entry.size()).map_err(|_| ArchiveError::TooLarge)?;
        let start = usize::try_from(entry.raw_file_position()).unwrap_or(usize::MAX);
        end = start.saturating_add(size.next_multiple_of(BLOCK));
        contents.take(&mut entry, size)?;
    }
    // Two blocks of zeros end an archive; anything else behind the last entry was cut or hidden.
    match archive.get(end..) {
        Some(rest) if rest.len() >= 2 * BLOCK && rest.iter().all(|&byte| byte == 0) => {
            contents.finish()
        }
        _ => Err(ArchiveError::Malformed(
            "its end is missing or not the end".into(),
        )),
    }
}

fn refuse_compressed(archive: &[u8]) -> Result<(), ArchiveError> {
    let known: [(&[u8], &str); 5] = [
        (b"\x1f\x8b", "gzip"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"\xfd7zXZ\0", "xz"),
        (b"BZh", "bzip2"),
        (b"PK\x03\x04", "zip"),
    ];
    match known.iter().find(|(magic, _)| archive.starts_with(magic)) {
        Some((_, name)) => Err(ArchiveError::Compressed(name)),
        None => Ok(()),
    }
}

/// What was read so far.
#[derive(Default)]
struct Contents {
    files: Vec<ProjectFile>,
    paths: BTreeSet<String>,
    folders: BTreeSet<String>,
    entries: usize,
    bytes: usize,
}

impl Contents {
    fn take(&mut self, entry: &mut tar::Entry<'_, &[u8]>, size: usize) -> Result<(), ArchiveError> {
        let kind = entry.header().entry_type();
        if kind.is_pax_global_extensions() {
            return Ok(());
        }
        self.entries += 1;
        if self.entries > MAX_PROJECT_FILES {
            return Err(ArchiveError::TooMany);
        }
        let bytes = entry.path_bytes().into_owned();
        let shown = || {
            String::from_utf8_lossy(&bytes)
                .chars()
                .take(MAX_PATH_BYTES)
                .collect::<String>()
        };
        if let Some(kind) = refused_kind(kind) {
            return Err(ArchiveError::Kind {
                path: shown(),
                kind,
            });
        }
        let path = project_path(&bytes, kind.is_dir())
            .map_err(|why| ArchiveError::Path { path: shown(), why })?;
        let mode = entry.header().mode().unwrap_or(0);
        if kind.is_dir() {
            self.folder(path)
        } else {
            self.file(entry, path, size, mode)
        }
    }

    fn folder(&mut self, path: String) -> Result<(), ArchiveError> {
        if self.paths.contains(&path) {
            return Err(twice(path));
        }
        if !path.is_empty() {
            self.folders.insert(path);
        }
        Ok(())
    }

    fn file(
        &mut self,
        entry: &mut tar::Entry<'_, &[u8]>,
        path: String,
        size: usize,
        mode: u32,
    ) -> Result<(), ArchiveError> {
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > MAX_PROJECT_BYTES {
            return Err(ArchiveError::TooLarge);
        }
        for (end, _) in path.match_indices('/') {
            if self.paths.contains(&path[..end]) {
                return Err(twice(path[..end].to_owned()));
            }
            self.folders.insert(path[..end].to_owned());
        }
        if self.folders.contains(&path) || !self.paths.insert(path.clone()) {
            return Err(twice(path));
        }
        let mut content = Vec::with_capacity(size);
        let read = entry.read_to_end(&mut content);
        if !matches!(read, Ok(read) if read == size) {
            return Err(ArchiveError::Malformed(format!("{path} is cut off")));
        }
        let mode = if mode & 0o111 == 0 {
            FileMode::Regular
        } else {
            FileMode::Executable
        };
        self.files.push(ProjectFile {
            path,
            content,
            mode,
        });
        Ok(())
    }

    fn finish(self) -> Result<Vec<ProjectFile>, ArchiveError> {
        if self.files.is_empty() {
            Err(ArchiveError::Empty)
        } else {
            Ok(self.files)
        }
    }
}

fn twice(path: String) -> ArchiveError {
    let why = "stands there twice, or both as file and as folder; keep one";
    ArchiveError::Path { path, why }
}

/// What an entry is, when it is neither a plain file nor a folder.
fn refused_kind(kind: tar::EntryType) -> Option<&'static str> {
    match kind {
        tar::EntryType::Regular | tar::EntryType::Directory => None,
        tar::EntryType::Symlink => Some("a symbolic link"),
        tar::EntryType::Link => Some("a hard link"),
        tar::EntryType::Char | tar::EntryType::Block => Some("a device"),
        tar::EntryType::Fifo => Some("a named pipe"),
        tar::EntryType::GNUSparse => Some("a sparse file (make the archive without --sparse)"),
        _ => Some("of an unknown kind"),
    }
}

/// The path within the project: relative, `/`-separated, without `.` and `..`.
fn project_path(bytes: &[u8], is_folder: bool) -> Result<String, &'static str> {
    let path = std::str::from_utf8(bytes).map_err(|_| "is no UTF-8; rename the file")?;
    if path.contains(|c: char| c.is_control() || c == '\\') {
        return Err("has a control character or a backslash; rename the file");
    }
    if path.starts_with('/') {
        return Err("is absolute; make the archive from inside the project's folder");
    }
    let mut path = path;
    while let Some(rest) = path.strip_prefix("./") {
        path = rest;
    }
    if is_folder {
        path = path.strip_suffix('/').unwrap_or(path);
        if matches!(path, "" | ".") {
            return Ok(String::new());
        }
    }
    if path.split('/').any(|part| part == "..") {
        return Err(
            "leads out of the project (`..`); make the archive from inside the project's folder",
        );
    }
    if path.split('/').any(|part| matches!(part, "" | ".")) {
        return Err("has an empty part; make the archive with `tar`");
    }
    if path.len() > MAX_PATH_BYTES {
        return Err("is longer than 255 bytes; shorten it");
    }
    if path.split('/').count() > MAX_PATH_DEPTH {
        return Err("nests more than 16 deep; flatten it");
    }
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// One entry with its path written as it is, whatever the `tar` crate thinks of it.
    fn entry(path: &str, kind: u8, content: &[u8]) -> Vec<u8> {
        let mut header = tar::Header::new_ustar();
        let name = path.as_bytes();
        header.as_mut_bytes()[..name.len().min(100)].copy_from_slice(&name[..name.len().min(100)]);
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        header.set_entry_type(tar::EntryType::new(kind));
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        bytes
    }

    fn archive(entries: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = entries.concat();
        bytes.resize(bytes.len() + 2 * BLOCK, 0);
        bytes
    }

    fn file(path: &str) -> Vec<u8> {
        entry(path, b'0', b"x")
    }

    /// A pax header that gives the next entry another path.
    fn pax(path: &str) -> Vec<u8> {
        let body = format!(" path={path}\n");
        let length = (body.len()..body.len() + 8)
            .find(|length| length.to_string().len() + body.len() == *length)
            .unwrap();
        entry("pax", b'x', format!("{length}{body}").as_bytes())
    }

    #[test]
    fn an_ordinary_archive_is_read() {
        let long = format!("d/{}", "n".repeat(150));
        let bytes = archive(&[
            entry("./", b'5', b""),
            entry("./compose.yaml", b'0', b"services: {}"),
            entry("d/", b'5', b""),
            entry("d/empty", b'0', b""),
            pax(&long),
            file("short"),
        ]);
        let files = read(&bytes).unwrap();
        let paths: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["compose.yaml", "d/empty", long.as_str()]);
        assert_eq!(files[0].content, b"services: {}");
        assert_eq!(files[0].mode, FileMode::Executable);
    }

    #[test]
    fn what_the_tar_program_writes_is_read() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("compose.yaml"), "services: {}\n").unwrap();
        std::fs::create_dir(folder.path().join("www")).unwrap();
        std::fs::write(folder.path().join("www/index.html"), "hello").unwrap();
        let output = std::process::Command::new("tar")
            .arg("-C")
            .arg(folder.path())
            .args(["-cf", "-", "."])
            .output()
            .unwrap();
        let mut files = read(&output.stdout).unwrap();
        files.sort_by(|one, other| one.path.cmp(&other.path));
        assert_eq!(files[1].path, "www/index.html");
        assert_eq!(
            (files[0].mode, files[1].content.as_slice()),
            (FileMode::Regular, b"hello".as_slice())
        );
    }

    #[test]
    fn hostile_archives_are_refused() {
        let deep = "d/".repeat(16) + "f";
        let long = "n".repeat(256);
        let cases: Vec<(&str, Vec<u8>, &str)> = vec![
            ("absolute", archive(&[file("/etc/passwd")]), "absolute"),
            (
                "absolute folder",
                archive(&[entry("/etc/", b'5', b"")]),
                "absolute",
            ),
            ("up", archive(&[file("../x")]), "leads out"),
            (
                "up in the middle",
                archive(&[file("a/../../x")]),
                "leads out",
            ),
            ("up by pax", archive(&[pax("../x"), file("x")]), "leads out"),
            (
                "absolute behind a dot",
                archive(&[file(".//etc/x")]),
                "empty part",
            ),
            ("backslash", archive(&[file("..\\x")]), "backslash"),
            ("control", archive(&[file("a\nb")]), "control"),
            ("empty part", archive(&[file("a//b")]), "empty part"),
            ("no name", archive(&[file("")]), "empty part"),
            (
                "symbolic link",
                archive(&[entry("a", b'2', b"")]),
                "symbolic link",
            ),
            ("hard link", archive(&[entry("a", b'1', b"")]), "hard link"),
            ("device", archive(&[entry("a", b'3', b"")]), "device"),
            ("block device", archive(&[entry("a", b'4', b"")]), "device"),
            ("pipe", archive(&[entry("a", b'6', b"")]), "pipe"),
            (
                "volume label",
                archive(&[entry("a", b'V', b"")]),
                "unknown kind",
            ),
            ("twice", archive(&[file("a"), file("./a")]), "twice"),
            (
                "file as folder",
                archive(&[file("a"), file("a/b")]),
                "twice",
            ),
            (
                "folder as file",
                archive(&[file("a/b"), file("a")]),
                "twice",
            ),
            (
                "folder over file",
                archive(&[file("a"), entry("a/", b'5', b"")]),
                "twice",
            ),
            ("deep", archive(&[pax(&deep), file("x")]), "16 deep"),
            ("long", archive(&[pax(&long), file("x")]), "255"),
            ("gzip", b"\x1f\x8b\x08\0".to_vec(), "gzip"),
            ("zip", b"PK\x03\x04".to_vec(), "zip"),
            ("text", b"services: {}\n".repeat(100), "no complete tar"),
            ("nothing", vec![], "no complete tar"),
            ("no file", archive(&[]), "no file"),
            ("no end", file("a"), "no complete tar"),
            (
                "cut in the content",
                archive(&[entry("a", b'0', &[1; 2000])])[..1024].to_vec(),
                "no complete tar",
            ),
            (
                "hidden behind the end",
                [archive(&[file("a")]), archive(&[file("b")])].concat(),
                "no complete tar",
            ),
            (
                "many",
                archive(&vec![entry("d/", b'5', b""); MAX_PROJECT_FILES + 1]),
                "more than 1000",
            ),
            (
                "large",
                archive(&[entry("a", b'0', &vec![0; MAX_PROJECT_BYTES]), file("b")]),
                "bytes together",
            ),
        ];
        for (name, bytes, expected) in cases {
            let error = read(&bytes)
                .map(|files| files.len())
                .unwrap_err()
                .to_string();
            assert!(error.contains(expected), "{name}: {error}");
        }
    }

    #[test]
    fn a_size_that_lies_costs_no_memory() {
        let mut header = tar::Header::new_ustar();
        header.set_path("a").unwrap();
        header.set_size(8 << 30);
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.resize(4 * BLOCK, 0);
        assert_eq!(read(&bytes).unwrap_err(), ArchiveError::TooLarge);
    }
}
