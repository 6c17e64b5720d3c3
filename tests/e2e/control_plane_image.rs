//! The control plane in a container, as `docs/install.md` has it.
//!
//! No image can be pulled here: the stage of the Dockerfile that is Debian with its packages is replaced by a Debian that is
//! there. That the packages are of these names is not shown.

use std::fs;

use towline_tests::base_images::debian;
use towline_tests::engine::{Engine, EngineKind};
use towline_tests::parts::{binary, repository};
use towline_tests::scratch::Scratch;

const URL: &str = "https://127.0.0.1:8443";

/// The commands of the docs, on an engine of its own.
struct Docs {
    engine: Engine,
}

impl Docs {
    fn compose(&self, words: &[&str]) -> std::process::Output {
        let file = repository().join("install/compose.yaml");
        let file = file.display().to_string();
        let mut command = self.engine.docker(&["compose", "-f", &file]);
        command.args(words).env("TOWLINE_PUBLIC_URL", URL);
        command.output().unwrap()
    }

    fn composed(&self, words: &[&str]) -> String {
        let ended = self.compose(words);
        assert!(ended.status.success(), "{words:?}: {ended:?}");
        String::from_utf8_lossy(&ended.stdout).into_owned()
    }

    fn inside(&self, words: &[&str]) -> String {
        self.composed(&[&["exec", "-T", "control-plane"], words].concat())
    }

    fn build(&self) {
        let programs = Scratch::new("programs");
        for name in ["towline", "towline-agent", "towline-server"] {
            fs::copy(binary(name), programs.join(name)).unwrap();
        }
        let base = format!("base=docker-image://{}", debian(&self.engine));
        let file = repository().join("install/Dockerfile");
        let (file, context) = (
            file.display().to_string(),
            programs.path().display().to_string(),
        );
        let build = [
            "buildx",
            "build",
            "--load",
            "--network",
            "none",
            "--build-context",
            &base,
        ];
        let words = ["-t", "towline", "-f", &file, &context];
        self.engine.run_docker(&[&build[..], &words].concat());
    }
}

#[test]
fn it_is_well_in_a_container_and_keeps_what_it_has() {
    let docs = Docs {
        engine: Engine::start(EngineKind::New),
    };
    docs.build();
    docs.composed(&["up", "-d", "--wait"]);
    let log = docs.composed(&["logs", "control-plane"]);
    assert!(log.contains(&format!("{URL}/setup#twls_")), "{log}");
    // It is nobody's root, and writes nowhere but into its volume.
    assert!(docs.inside(&["id"]).starts_with("uid=8443(towline)"));
    let touched = docs.compose(&["exec", "-T", "control-plane", "touch", "/usr/local/bin/x"]);
    assert!(!touched.status.success());
    // Hosts are given the agent that is in it.
    let agent = docs.inside(&["sha256sum", "/usr/local/bin/towline-agent"]);
    let digest = agent.split(' ').next().unwrap().to_owned();
    let fetched = docs
        .engine
        .on_host("curl")
        .args(["-sSk", "--fail", &format!("{URL}/install.sh")])
        .output()
        .unwrap();
    let script = String::from_utf8_lossy(&fetched.stdout).into_owned();
    assert!(script.contains(&format!("x86_64 {digest}")), "{fetched:?}");
    // Another container has the same data.
    let before = docs.inside(&["cat", "/var/lib/towline/ca.pem"]);
    docs.composed(&["down"]);
    docs.composed(&["up", "-d", "--wait"]);
    assert_eq!(docs.inside(&["cat", "/var/lib/towline/ca.pem"]), before);
    docs.composed(&["down", "-v"]);
}
