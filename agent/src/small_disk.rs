//! A real file system with little room, for tests of a full disk.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

/// A tmpfs of a given size; it is gone when this is dropped.
pub(crate) struct SmallDisk {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl SmallDisk {
    /// Mounts one, which only root may. Others learn so, and their test ends.
    pub(crate) fn mount(kilobytes: u32) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("not tested: only root may mount a small file system");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_path_buf();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={kilobytes}k"), "tmpfs"])
            .arg(&path)
            .status()
            .unwrap();
        assert!(mounted.success(), "a tmpfs could not be mounted");
        Some(Self {
            _folder: folder,
            path,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes all the room that is left.
    pub(crate) fn fill(&self) {
        let mut bytes = 1 << 20;
        let mut file = std::fs::File::create(self.path.join("filler")).unwrap();
        while bytes > 0 {
            if std::io::Write::write_all(&mut file, &vec![0; bytes]).is_err() {
                bytes /= 2;
            }
        }
    }

    /// Gives back what [`Self::fill`] took.
    pub(crate) fn free(&self) {
        std::fs::remove_file(self.path.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}
