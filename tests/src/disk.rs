//! A small disk of its own, which a test can fill.

use std::{
    fs::{File, remove_file},
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use crate::process::{guarded, output};

/// A file system with little room, mounted on a folder; unmounted when dropped. Only root may mount one.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// Mounts one of so many bytes on a new folder.
    pub fn mount(folder: PathBuf, bytes: u64) -> Self {
        std::fs::create_dir(&folder).expect("the folder can be made");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"]);
        mount.arg(&folder);
        output(mount);
        Self { folder }
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Takes all the room that is left.
    pub fn fill(&self) {
        let mut ballast = File::options()
            .create(true)
            .append(true)
            .open(self.ballast())
            .expect("the ballast can be made");
        for bytes in [1 << 20, 1 << 12, 1] {
            let block = vec![7; bytes];
            while ballast.write_all(&block).is_ok() {}
        }
    }

    /// Gives it back.
    pub fn clear(&self) {
        remove_file(self.ballast()).expect("the ballast is there");
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Detached at once, gone when the last process that has it open has ended.
        let mut unmount = guarded("umount");
        unmount.arg("--lazy").arg(&self.folder);
        // A test that has failed already must not fail twice.
        let _ = unmount.status();
    }
}
