//! Debian's docker-registry with one login, on the loopback of an engine, where that takes plain HTTP.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{engine::Engine, ports::published_port, process::Process, scratch::Scratch};

const PROGRAM: &str = "/usr/bin/docker-registry";
/// Who may log in.
pub const USER: &str = "ada";
/// By this password.
pub const PASSWORD: &str = "a-password-of-the-registry-7";
/// Its bcrypt, of the least cost.
const HASH: &str = "$2y$05$towlinetowlinetowlineu50UfWG9n8XJmsxTY.LybkR54DfAWyki";
const LIMIT: Duration = Duration::from_secs(20);

/// It ends with the test.
#[derive(Debug)]
pub struct Registry {
    folder: Scratch,
    port: u16,
    process: Process,
}

impl Registry {
    /// Empty, in the network of an engine.
    pub fn start(engine: &Engine) -> Self {
        assert!(
            Path::new(PROGRAM).exists(),
            "{PROGRAM} is missing: run tests/setup"
        );
        let (folder, port) = (Scratch::new("registry"), published_port());
        let place = folder.path().display();
        fs::write(folder.join("htpasswd"), format!("{USER}:{HASH}\n")).expect("a file is written");
        let config = format!(
            "version: 0.1
log: {{level: warn}}
storage: {{filesystem: {{rootdirectory: {place}/images}}}}
http: {{addr: \"127.0.0.1:{port}\"}}
auth: {{htpasswd: {{realm: towline-test, path: {place}/htpasswd}}}}
"
        );
        fs::write(folder.join("config.yml"), config).expect("a file is written");
        let mut command = engine.on_host(PROGRAM);
        command.arg("serve").arg(folder.join("config.yml"));
        let mut process = Process::start("registry", command, &folder.join("registry.log"));
        let listens = || {
            let mut ask = engine.on_host("curl");
            ask.args([
                "--silent",
                "--output",
                "/dev/null",
                "--write-out",
                "%{http_code}",
            ]);
            ask.arg(format!("http://127.0.0.1:{port}/v2/"));
            let asked = ask.output().expect("curl runs");
            (asked.stdout == b"401").then_some(())
        };
        process.wait_until("the registry listens", LIMIT, |_| listens());
        Self {
            folder,
            port,
            process,
        }
    }

    /// As names of images begin.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Answers 500 when a manifest of this repository is to be written, until it is mended.
    pub fn damage(&self, repository: &str) {
        let (whole, aside) = self.manifests(repository);
        fs::rename(&whole, aside).expect("something was pushed there");
        fs::write(&whole, "no folder").expect("a file is written");
    }

    /// Takes manifests of this repository again.
    pub fn mend(&self, repository: &str) {
        let (whole, aside) = self.manifests(repository);
        fs::remove_file(&whole).expect("it was damaged");
        fs::rename(aside, whole).expect("it was put aside");
    }

    /// Where manifests are, and where they are put aside.
    fn manifests(&self, repository: &str) -> (PathBuf, PathBuf) {
        let below = format!("images/docker/registry/v2/repositories/{repository}");
        let folder = self.folder.join(&below);
        (folder.join("_manifests"), folder.join("aside"))
    }

    /// Answers nobody until it is told to.
    pub fn freeze(&mut self) {
        self.process.signal(rustix::process::Signal::STOP);
    }

    /// Answers again.
    pub fn resume(&mut self) {
        self.process.signal(rustix::process::Signal::CONT);
    }
}
