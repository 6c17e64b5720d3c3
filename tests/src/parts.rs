//! Finds the programs that `tests/setup` brought and that Cargo built.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use crate::process::guarded;

/// Which Docker Engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EngineKind {
    /// Debian 12's, 20.10, with its own client.
    Old,
    /// Debian 13's, 26, with its own client.
    New,
    /// Unstable's, 28 or later, whose BuildKit checks Dockerfiles; no product code is tried on it.
    Newest,
}

impl EngineKind {
    /// Those that hosts have, for tests that run on each.
    pub const ALL: [Self; 2] = [Self::Old, Self::New];

    /// A short name for folders and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Old => "old",
            Self::New => "new",
            Self::Newest => "newest",
        }
    }
}

/// The folder that `tests/setup` filled.
#[derive(Clone, Debug)]
pub struct Parts {
    root: PathBuf,
}

impl Parts {
    /// `TOWLINE_PARTS`, or `.test-parts` in the repository. Panics with the remedy when it is not complete.
    pub fn locate() -> Self {
        let root = env::var_os("TOWLINE_PARTS")
            .map_or_else(|| repository().join(".test-parts"), PathBuf::from);
        assert!(
            root.join("complete").is_file(),
            "{} is not complete: run tests/setup",
            root.display()
        );
        Self { root }
    }

    /// `PATH` with the engine's programs and client first, then containerd and runc, then the system's.
    pub fn path(&self, kind: EngineKind) -> String {
        let engine = self.root.join(format!("docker-{}/usr", kind.name()));
        let old = self.root.join("docker-old/usr");
        let folders = [
            engine.join("bin"),
            engine.join("sbin"),
            old.join("bin"),
            old.join("sbin"),
        ];
        let folders: Vec<String> = folders
            .iter()
            .map(|folder| folder.display().to_string())
            .collect();
        format!(
            "{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            folders.join(":")
        )
    }

    /// A `DOCKER_CONFIG` whose `cli-plugins` are compose v2 and buildx.
    pub fn docker_config(&self, kind: EngineKind) -> PathBuf {
        self.root.join(match kind {
            EngineKind::Old | EngineKind::New => "docker-config",
            EngineKind::Newest => "docker-config-newest",
        })
    }

    /// A file of the checkers of generated files.
    pub fn checker(&self, file: &str) -> PathBuf {
        self.whole("checkers");
        self.root.join(file)
    }

    /// A folder of its own that `tests/setup` has finished.
    fn whole(&self, name: &str) -> PathBuf {
        let folder = self.root.join(name);
        assert!(
            folder.join("complete").is_file(),
            "{} is not complete: run tests/setup",
            folder.display()
        );
        folder
    }

    /// The root file system of the test images: a tar archive of busybox and its links.
    pub fn rootfs(&self) -> PathBuf {
        self.root.join("busybox-rootfs.tar")
    }

    /// The root file system of the images that samples are built with: every language at once.
    pub fn languages(&self) -> PathBuf {
        self.whole("languages").join("root.tar")
    }

    /// The Python that has Salt, which only `tests/setup --bench` brings.
    pub fn salt(&self) -> PathBuf {
        let python = self.root.join("salt/bin/python");
        assert!(
            python.is_file(),
            "{} is not there: run tests/setup --bench",
            python.display()
        );
        python
    }

    /// The modules of the OpenID provider.
    pub fn provider(&self) -> PathBuf {
        self.whole("oidc")
    }

    /// Schemathesis' program.
    pub fn schemathesis(&self) -> PathBuf {
        self.whole("schemathesis").join("bin/schemathesis")
    }

    /// Where all of it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// An engine's own command line.
    pub fn docker(&self, kind: EngineKind) -> PathBuf {
        self.root
            .join(format!("docker-{}/usr/bin/docker", kind.name()))
    }

    /// A busybox of its own, without libraries.
    pub fn busybox(&self) -> PathBuf {
        self.root.join("docker-old/bin/busybox")
    }

    /// tini: process 1 of an engine's namespaces.
    pub fn init(&self) -> PathBuf {
        self.root.join("docker-old/usr/bin/tini-static")
    }

    /// A program of PostgreSQL's newest installed server (`initdb`, `postgres`, `psql`).
    pub fn postgres(&self, program: &str) -> PathBuf {
        let versions = std::fs::read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten()
            .flatten();
        let newest = versions
            .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
            .max();
        let version = newest
            .unwrap_or_else(|| panic!("PostgreSQL's server programs are missing: run tests/setup"));
        PathBuf::from(format!("/usr/lib/postgresql/{version}/bin/{program}"))
    }
}

/// The repository's root.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests crate lies in the repository")
}

/// One of Towline's binaries: in `TOWLINE_BIN_DIR`, or where Cargo put it beside this test.
pub fn binary(name: &str) -> PathBuf {
    let folder = env::var_os("TOWLINE_BIN_DIR").map_or_else(target_folder, PathBuf::from);
    let path = folder.join(name);
    assert!(
        path.is_file(),
        "{} is missing: run cargo build --workspace --bins",
        path.display()
    );
    path
}

/// A guarded command whose environment is only what a service manager would give: `PATH` with the engine's client, its
/// plugins, and the test run's marks.
pub fn clean_command(program: impl AsRef<std::ffi::OsStr>, kind: EngineKind) -> Command {
    let parts = Parts::locate();
    let mut command = guarded(program);
    command
        .env_clear()
        .env("PATH", parts.path(kind))
        .env("DOCKER_CONFIG", parts.docker_config(kind));
    command.env("HOME", "/nonexistent").env("LANG", "C.UTF-8");
    for name in ["TMPDIR", "RUST_BACKTRACE", crate::scratch::RUN] {
        if let Some(value) = env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

fn target_folder() -> PathBuf {
    let this = env::current_exe().expect("a test has a path");
    let folder = this.parent().expect("a test lies in a folder");
    if folder.ends_with("deps") {
        folder.parent().expect("deps lies in a folder").to_owned()
    } else {
        folder.to_owned()
    }
}
