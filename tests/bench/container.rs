//! The same project without Towline, and the container to look at.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use towline_tests::compose::ComposeFolder;
use towline_tests::engine::Engine;
use towline_tests::patience::wait_until;

const LIMIT: Duration = Duration::from_mins(1);

/// The bare tool on the same engine.
pub struct Bare<'a> {
    engine: &'a Engine,
    folder: &'a ComposeFolder,
}

impl<'a> Bare<'a> {
    /// What compose calls the project.
    pub const PROJECT: &'static str = "bench-bare";

    pub const fn of(engine: &'a Engine, folder: &'a ComposeFolder) -> Self {
        Self { engine, folder }
    }

    /// Starts the project and waits until it runs.
    pub fn up(&self) {
        self.compose(&["up", "-d", "--wait"]);
    }

    /// Starts the project.
    pub fn start(&self) {
        self.compose(&["up", "-d"]);
    }

    /// Removes it.
    pub fn down(&self) {
        self.compose(&["down", "--timeout", "0"]);
    }

    fn compose(&self, arguments: &[&str]) {
        let mut command = self.engine.docker(&["compose", "-p", Self::PROJECT]);
        run(command.args(arguments).current_dir(self.folder.path()));
    }
}

fn run(command: &mut Command) {
    let output = command.output().expect("docker starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The first container that runs.
pub fn running(containers: impl Fn() -> Vec<Value>) -> String {
    wait_until("a running container", LIMIT, || {
        let containers = containers();
        let up = containers.iter().find(|one| one["State"] == "running")?;
        Some(up["ID"].as_str()?.to_owned())
    })
}
