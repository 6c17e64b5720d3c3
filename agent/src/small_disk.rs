//! A real file system with little room, for tests of a full disk: this crate's own and those that run the agent.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

use std::path::{Path, PathBuf};
use std::process::Command;

/// A tmpfs of a given size; it is gone when this is dropped.
#[derive(Debug)]
pub struct SmallDisk {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl SmallDisk {
    /// Mounts one, which only root may.
    pub fn mount(kilobytes: u32) -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "this test mounts a small file system: run it as root"
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_path_buf();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={kilobytes}k"), "tmpfs"])
            .arg(&path)
            .status()
            .unwrap();
        assert!(mounted.success(), "a tmpfs could not be mounted");
        Self {
            _folder: folder,
            path,
        }
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes all the room that is left.
    pub fn fill(&self) {
        let mut bytes = 1 << 20;
        let mut file = std::fs::File::create(self.path.join("filler")).unwrap();
        while bytes > 0 {
            if std::io::Write::write_all(&mut file, &vec![0; bytes]).is_err() {
                bytes /= 2;
            }
        }
    }

    /// Gives back what [`Self::fill`] took.
    pub fn free(&self) {
        std::fs::remove_file(self.path.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}
