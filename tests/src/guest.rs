//! A host to install things on: this machine's own system, whose changes are kept apart and go with it.
//!
//! It has process and mount namespaces of its own, and for its root an overlay over the machine's. There is no init
//! system in it: process 1 sleeps.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{
    engine::Engine,
    parts::Parts,
    process::{Process, child_of, guarded},
    scratch::{RUN, Scratch},
};

const START_LIMIT: Duration = Duration::from_secs(30);

/// Makes the guest's root: $1 is its folder, $2 the tests' parts, $3 the engine's socket, $4 the docker command line.
const ROOT: &str = r#"set -e
mount -t tmpfs -o size=2g tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
mount -t proc proc "$1/root/proc"
mount --rbind /dev "$1/root/dev"
mkdir -p "$1/root$2" "$1/root/run" "$1/root/usr/local/bin"
mount --rbind "$2" "$1/root$2"
touch "$1/root/run/docker.sock"
mount --bind "$3" "$1/root/run/docker.sock"
ln -sf "$4" "$1/root/usr/local/bin/docker"
rm -rf "$1/root/run/systemd" "$1"/root/usr/local/bin/towline* "$1"/root/usr/local/lib/towline* "$1"/root/var/lib/towline* "$1/root/etc/towline"
touch "$1/root/run/ready"
exec sleep infinity
"#;

/// A host; all that runs on it ends when it is dropped.
#[derive(Debug)]
pub struct Guest {
    namespaces: Process,
    init: u32,
    folder: PathBuf,
    docker_config: PathBuf,
    _scratch: Scratch,
}

/// How a command on a guest went.
#[derive(Debug)]
pub struct Said {
    /// Its exit code.
    pub code: Option<i32>,
    /// What it printed, errors too.
    pub text: String,
}

impl Guest {
    /// A host with this engine, as its root finds it.
    pub fn start(engine: &Engine) -> Self {
        let (scratch, parts) = (Scratch::new("guest"), Parts::locate());
        let folder = scratch.join("fs");
        fs::create_dir(&folder).expect("a scratch folder can be written");
        let host = engine.docker_host();
        let mut command = guarded("unshare");
        command.args(["--fork", "--kill-child=KILL", "--pid", "--mount"]);
        command.args(["--propagation", "private", "sh", "-c", ROOT, "sh"]);
        command
            .arg(&folder)
            .arg(parts.root())
            .arg(host.trim_start_matches("unix://"))
            .arg(parts.docker(engine.kind()));
        let mut namespaces = Process::start("a guest", command, &scratch.join("guest.log"));
        let init = child_of(namespaces.id());
        // The namespace's own view of the file system: nobody else sees the mounts.
        let ready = PathBuf::from(format!(
            "/proc/{init}/root{}/root/run/ready",
            folder.display()
        ));
        namespaces.wait_until("its root is there", START_LIMIT, |_| {
            ready.exists().then_some(())
        });
        Self {
            namespaces,
            init,
            docker_config: parts.docker_config(engine.kind()),
            folder,
            _scratch: scratch,
        }
    }

    /// Runs a script of the shell there, as root.
    pub fn sh(&self, script: &str) -> Said {
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &self.init.to_string(), "--mount", "--pid", "--"])
            .arg("chroot")
            .arg(self.folder.join("root"))
            .args(["/bin/sh", "-c", script])
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("HOME", "/root")
            .env("DOCKER_CONFIG", &self.docker_config)
            .envs(std::env::var_os(RUN).map(|run| (RUN, run)));
        let output = command.output().expect("nsenter runs");
        let text = [output.stdout, output.stderr].concat();
        Said {
            code: output.status.code(),
            text: String::from_utf8_lossy(&text).into_owned(),
        }
    }

    /// Whether something is at this path there.
    pub fn has(&self, path: &str) -> bool {
        self.real(path).symlink_metadata().is_ok()
    }

    /// Puts a file of the machine's there, with its mode.
    pub fn give(&self, file: &Path, path: &str) {
        fs::copy(file, self.real(path)).expect("the guest's file can be written");
    }

    /// Puts a file there.
    pub fn write(&self, path: &str, content: &str) {
        fs::write(self.real(path), content).expect("the guest's file can be written");
    }

    fn real(&self, path: &str) -> PathBuf {
        let root = format!("/proc/{}/root", self.init);
        let inside = self.folder.join("root").join(path.trim_start_matches('/'));
        Path::new(&root).join(inside.strip_prefix("/").unwrap_or(&inside))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.namespaces.kill();
    }
}

impl Said {
    /// What it printed, when it went well.
    #[track_caller]
    pub fn ok(&self) -> &str {
        assert_eq!(self.code, Some(0), "{}", self.text);
        &self.text
    }

    /// Asserts that it failed with these words.
    #[track_caller]
    pub fn failed(&self, words: &str) {
        assert!(
            self.code != Some(0) && self.text.contains(words),
            "{words:?}: {self:?}"
        );
    }
}
