//! A project's files as one archive, the same bytes for the same files.

use std::{fs, io::Read as _};

use super::{File, Mode, unreadable};
use crate::exit::Failure;

/// The files as a tar archive. A file that changed its size since it was listed is an error.
pub fn archive(files: &[File]) -> Result<Vec<u8>, Failure> {
    let mut archive = tar::Builder::new(Vec::new());
    for file in files {
        append(&mut archive, file)?;
    }
    archive
        .into_inner()
        .map_err(|error| Failure::usage("The archive cannot be made").detail(error.to_string()))
}

fn append(archive: &mut tar::Builder<Vec<u8>>, file: &File) -> Result<(), Failure> {
    let content = read(file)?;
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(file.bytes);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mode(match file.mode {
        Mode::Regular => 0o644,
        Mode::Executable => 0o755,
    });
    archive
        .append_data(&mut header, &file.path, content.as_slice())
        .map_err(|error| {
            Failure::usage(format!("{} cannot be put into the archive", file.path))
                .detail(error.to_string())
        })
}

fn read(file: &File) -> Result<Vec<u8>, Failure> {
    let mut content = Vec::new();
    fs::File::open(&file.place)
        .and_then(|opened| opened.take(file.bytes + 1).read_to_end(&mut content))
        .map_err(|error| unreadable(&file.place, &error))?;
    if content.len() as u64 == file.bytes {
        return Ok(content);
    }
    Err(Failure::usage(format!("{} changed while it was read", file.path)).remedy("try again"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_archive_has_the_files_and_nothing_of_this_machine() {
        let folder = tempfile::tempdir().unwrap();
        let deep = "folder/".repeat(20);
        fs::create_dir_all(folder.path().join(&deep)).unwrap();
        fs::write(folder.path().join("compose.yaml"), "services: {}").unwrap();
        fs::write(folder.path().join(&deep).join("a.txt"), "text").unwrap();
        let files = crate::folder::list(folder.path()).unwrap();
        let made = archive(&files).unwrap();
        assert_eq!(made, archive(&files).unwrap());
        let mut read = Vec::new();
        for entry in tar::Archive::new(made.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().to_str().unwrap().to_owned();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            assert_eq!(
                (
                    entry.header().mode().unwrap(),
                    entry.header().mtime().unwrap()
                ),
                (0o644, 0)
            );
            assert_eq!(entry.header().uid().unwrap(), 0);
            read.push((path, text));
        }
        let deep = format!("{deep}a.txt");
        assert_eq!(
            read,
            [
                ("compose.yaml".into(), "services: {}".into()),
                (deep, "text".into())
            ]
        );
    }

    #[test]
    fn a_file_that_changes_meanwhile_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("compose.yaml");
        fs::write(&place, "before").unwrap();
        let files = crate::folder::list(folder.path()).unwrap();
        fs::write(&place, "after that").unwrap();
        assert!(
            archive(&files)
                .unwrap_err()
                .sentence()
                .contains("changed while")
        );
    }
}
