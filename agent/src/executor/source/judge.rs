//! What a commit may have: so many files of so many bytes, and no links that lead out of it.

use std::path::{Component, Path};

use towline_shared::git::{Entry, Kind};

use super::{unfit, unreadable};
use crate::executor::stop::Stop;

/// The most bytes that the files of a commit, and of its submodules, may have together, and that git may take to fetch them.
pub(super) const MAX_BYTES: u64 = 1024 * 1024 * 1024;
/// The most files.
const MAX_ENTRIES: usize = 100_000;

/// What was taken so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// How many files.
    pub files: usize,
    /// Of how many bytes.
    pub bytes: u64,
}

impl Taken {
    /// With a commit more, if it is not too much.
    pub fn with(self, entries: &[Entry]) -> Result<Self, Stop> {
        let bytes: u64 = entries.iter().map(|entry| entry.bytes).sum();
        let all = Self {
            files: self.files + entries.len(),
            bytes: self.bytes.saturating_add(bytes),
        };
        if all.bytes > MAX_BYTES {
            return Err(too_large());
        }
        if all.files > MAX_ENTRIES {
            return Err(unfit(&format!(
                "the commit has more than {MAX_ENTRIES} files; take out what is generated or comes from elsewhere"
            )));
        }
        Ok(all)
    }
}

pub(super) fn too_large() -> Stop {
    unfit(&format!(
        "the commit has more than {} MiB; take large files out of the repository, or keep them in Git LFS",
        MAX_BYTES / 1024 / 1024
    ))
}

/// The links of a commit that lies in a folder (empty: the root).
pub(super) fn links(entries: &[Entry], folder: &str) -> Vec<String> {
    let links = entries.iter().filter(|entry| entry.kind == Kind::Link);
    links.map(|entry| below(folder, &entry.path)).collect()
}

/// A path in a folder (empty: the root).
pub(super) fn below(folder: &str, path: &str) -> String {
    match folder {
        "" => path.to_owned(),
        folder => format!("{folder}/{path}"),
    }
}

/// Programs of this host read what links lead to, as root: they may not lead out of the commit.
pub(super) fn judge_links(root: &Path, links: &[String]) -> Result<(), Stop> {
    for link in links {
        let path = root.join(link);
        let target = std::fs::read_link(&path).map_err(|error| unreadable(link, &error))?;
        let is_plain = is_plain_way(link, &target);
        let leads_out = path
            .canonicalize()
            .is_ok_and(|found| !found.starts_with(root));
        if !is_plain || leads_out {
            return Err(unfit(&format!(
                "{link} is a link that leads out of the project ({}); replace it by a file",
                target.display()
            )));
        }
    }
    Ok(())
}

/// Whether a link goes up first, if at all, and not beyond the root, and then only down.
fn is_plain_way(link: &str, target: &Path) -> bool {
    let mut depth = link.matches('/').count();
    let mut goes_down = false;
    for part in target.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if goes_down || depth == 0 => return false,
            Component::ParentDir => depth -= 1,
            Component::Normal(_) => goes_down = true,
            Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    true
}

/// Makes the folder of a submodule, which git has left empty, if anything. No link is gone through.
pub(super) fn make_folder(root: &Path, path: &str) -> Result<(), Stop> {
    let taken = || {
        unfit(&format!(
            "{path} is to be a submodule's folder, and something else is there"
        ))
    };
    let mut folder = root.to_owned();
    for part in path.split('/') {
        folder.push(part);
        match folder.symlink_metadata() {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Err(taken()),
            Err(_) => std::fs::create_dir(&folder).map_err(|error| unreadable(path, &error))?,
        }
    }
    let mut inside = folder
        .read_dir()
        .map_err(|error| unreadable(path, &error))?;
    if inside.next().is_some() {
        return Err(taken());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use towline_shared::spec::FileMode;

    use super::*;

    #[test]
    fn a_link_goes_up_first_and_stays_inside() {
        let table = [
            ("link", "file", true),
            ("link", "./a/b", true),
            ("a/link", "../file", true),
            ("a/b/link", "../../c/d", true),
            ("link", "../file", false),
            ("a/link", "../../file", false),
            ("link", "/etc/passwd", false),
            // Where `a` is a link itself, `a/..` is not where it seems to be.
            ("link", "a/../b", false),
            ("a/link", "b/../../../etc", false),
        ];
        for (link, target, plain) in table {
            assert_eq!(
                is_plain_way(link, Path::new(target)),
                plain,
                "{link} -> {target}"
            );
        }
    }

    #[test]
    fn a_link_that_leads_out_by_another_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap().join("root");
        std::fs::create_dir_all(root.join("in/deep")).unwrap();
        std::fs::write(root.join("in/file"), "x").unwrap();
        let link = |target: &str, path: &str| {
            std::os::unix::fs::symlink(target, root.join(path)).unwrap();
        };
        link("in/file", "good");
        link("nowhere", "dangling");
        let named = |names: &[&str]| {
            names
                .iter()
                .map(|&name| name.to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(judge_links(&root, &named(&["good", "dangling"])), Ok(()));
        link("/etc", "out");
        link("out/hostname", "through");
        for bad in ["out", "through"] {
            let stop = judge_links(&root, &named(&[bad])).unwrap_err();
            assert!(matches!(stop, Stop::Failed { message, .. } if message.starts_with(bad)));
        }
    }

    #[test]
    fn what_is_taken_is_counted_over_all() {
        let entry = |bytes| Entry {
            path: "x".to_owned(),
            kind: Kind::File(FileMode::Regular),
            bytes,
            blob: String::new(),
        };
        let half = Taken::default().with(&[entry(MAX_BYTES / 2)]).unwrap();
        let whole = half.with(&[entry(MAX_BYTES / 2)]).unwrap();
        assert_eq!((whole.files, whole.bytes), (2, MAX_BYTES));
        assert!(whole.with(&[entry(1)]).is_err());
        let many = vec![entry(0); MAX_ENTRIES];
        let many = Taken::default().with(&many).unwrap();
        assert!(many.with(&[entry(0)]).is_err());
    }

    #[test]
    fn a_submodule_has_a_folder_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("a/empty")).unwrap();
        std::fs::create_dir_all(root.join("full/in")).unwrap();
        std::fs::write(root.join("file"), "").unwrap();
        std::os::unix::fs::symlink("a", root.join("link")).unwrap();
        for (path, fits) in [
            ("a/empty", true),
            ("a/new/deep", true),
            ("full", false),
            ("file", false),
            ("file/x", false),
            ("link", false),
            ("link/empty", false),
        ] {
            assert_eq!(make_folder(&root, path).is_ok(), fits, "{path}");
        }
    }
}
