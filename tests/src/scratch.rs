//! Folders of a test, and the proof that nothing outlives it.

use std::{
    env, fs, iter,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// Environment variable: the folder of the whole run. Every folder of a test lies below it, and every process of a
/// test carries it.
pub const RUN: &str = "TOWLINE_TEST_RUN";

/// The most characters of a command that a message shows.
const SHOWN: usize = 120;

/// A folder that goes when it is dropped. Its path is short, because sockets lie in it.
#[derive(Debug)]
pub struct Scratch {
    folder: tempfile::TempDir,
}

impl Scratch {
    /// Makes one, `name` says whose it is. Its mode is 0755, so that other users' processes can reach what is theirs.
    pub fn new(name: &str) -> Self {
        let parent = env::var_os(RUN).map_or_else(env::temp_dir, PathBuf::from);
        let mut builder = tempfile::Builder::new();
        let prefix = format!("tl-{name}-");
        builder.prefix(&prefix).rand_bytes(6);
        let keep = env::var_os("TOWLINE_TEST_KEEP").is_some();
        let folder = builder
            .disable_cleanup(keep)
            .tempdir_in(&parent)
            .expect("a scratch folder can be made");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))
            .expect("its mode can be set");
        Self { folder }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A file or folder in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// What still runs or is mounted because of `folder`: one line each, none when all is clean.
pub fn leftovers(folder: &Path) -> Vec<String> {
    let needle = folder.display().to_string();
    let processes = processes_of(&needle).into_iter().map(|process| {
        let command: String = process.command.chars().take(SHOWN).collect();
        format!("process {} {command}", process.id)
    });
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mounts: Vec<String> = mounts
        .lines()
        .filter(|line| line.contains(&needle))
        .map(|line| format!("mount {line}"))
        .collect();
    processes.chain(mounts).collect()
}

/// A process that names a folder in its arguments, environment or working folder.
#[derive(Debug)]
pub struct Named {
    /// Process id.
    pub id: u32,
    /// Its arguments, joined by spaces.
    pub command: String,
}

/// Every process that names `needle` in its arguments, environment or working folder, other than this one and those
/// that started it.
pub fn processes_of(needle: &str) -> Vec<Named> {
    let mine: Vec<u32> = iter::successors(Some(std::process::id()), |id| parent(*id)).collect();
    let ids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = ids
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|id| !mine.contains(id));
    ids.filter_map(|id| named(id, needle)).collect()
}

fn parent(id: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    line.trim().parse().ok().filter(|id| *id != 0)
}

fn named(id: u32, needle: &str) -> Option<Named> {
    let proc = PathBuf::from(format!("/proc/{id}"));
    let read = |name: &str| {
        String::from_utf8_lossy(&fs::read(proc.join(name)).unwrap_or_default()).replace('\0', " ")
    };
    let (command, environment) = (read("cmdline"), read("environ"));
    let folder = fs::read_link(proc.join("cwd")).unwrap_or_default();
    let hit = command.contains(needle)
        || environment.contains(needle)
        || folder.to_string_lossy().starts_with(needle);
    hit.then_some(Named { id, command })
}
