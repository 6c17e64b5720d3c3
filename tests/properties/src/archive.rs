//! The archive reader: what it accepts lies in the project and nowhere else.

use std::collections::BTreeSet;
use std::path::{Component, Path};

use towline_shared::spec::{MAX_PROJECT_BYTES, MAX_PROJECT_FILES, ProjectFile};

use crate::archive_reader::{MAX_ARCHIVE_BYTES, MAX_PATH_BYTES, MAX_PATH_DEPTH, read};
use crate::bound::within;

/// The content, and the names of what is empty.
const BASE: usize = MAX_PROJECT_BYTES + 1024 * 1024;

/// An uploaded archive.
pub fn archive(bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(MAX_ARCHIVE_BYTES)];
    let Ok(files) = within(BASE + 3 * bytes.len(), || read(bytes)) else {
        return;
    };
    assert!(!files.is_empty() && files.len() <= MAX_PROJECT_FILES);
    let content: usize = files.iter().map(|file| file.content.len()).sum();
    assert!(content <= MAX_PROJECT_BYTES && content <= bytes.len());
    for file in &files {
        stays_inside(&file.path);
    }
    each_has_its_place(&files);
    assert_eq!(read(&pack(&files)).as_ref(), Ok(&files));
}

fn stays_inside(path: &str) {
    let parts: Vec<_> = Path::new(path).components().collect();
    assert!(
        parts
            .iter()
            .all(|part| matches!(part, Component::Normal(_))),
        "{path:?} leaves the project"
    );
    let rebuilt: Vec<_> = parts
        .iter()
        .map(|part| part.as_os_str().to_str().unwrap())
        .collect();
    assert_eq!(
        rebuilt.join("/"),
        path,
        "two readers may differ on {path:?}"
    );
    assert!(path.len() <= MAX_PATH_BYTES && parts.len() <= MAX_PATH_DEPTH);
    assert!(!path.contains(|c: char| c.is_control() || c == '\\'));
}

/// No two files are one, and none is another's folder.
fn each_has_its_place(files: &[ProjectFile]) {
    let paths: BTreeSet<_> = files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths.len(), files.len());
    for path in &paths {
        for (end, _) in path.match_indices('/') {
            assert!(!paths.contains(&path[..end]), "{path:?} lies in a file");
        }
    }
}

/// The files as an archive of our own.
pub(crate) fn pack(files: &[ProjectFile]) -> Vec<u8> {
    use towline_shared::spec::FileMode;
    let mut archive = tar::Builder::new(Vec::new());
    for file in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(file.content.len() as u64);
        header.set_mode(match file.mode {
            FileMode::Regular => 0o644,
            FileMode::Executable => 0o755,
        });
        archive
            .append_data(&mut header, &file.path, file.content.as_slice())
            .unwrap();
    }
    archive.into_inner().unwrap()
}
