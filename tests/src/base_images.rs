//! The base images that generated Dockerfiles name, made on an engine under these very names: no registry can be reached.

use std::{collections::BTreeSet, fs::File};

use crate::{
    engine::Engine,
    parts::{Parts, repository},
};

/// Every language at once, as `tests/setup` unpacked them.
const LANGUAGES: &str = "towline-test/languages:1";

/// Which stage of `tests/base-images/Dockerfile` stands for the images whose names begin like this.
const STAGES: [(&str, &str); 9] = [
    ("node:", "node"),
    ("python:", "python"),
    ("golang:", "golang"),
    ("ruby:", "ruby"),
    ("php:", "php"),
    ("nginxinc/nginx-unprivileged:", "nginx"),
    ("redis:", "redis"),
    ("postgres:", "postgres"),
    ("alpine:", "alpine"),
];

/// The images that a generated Dockerfile begins with.
pub fn named_in(dockerfile: &str) -> BTreeSet<String> {
    let arguments = dockerfile
        .lines()
        .filter_map(|line| line.strip_prefix("ARG "));
    let images = arguments.filter_map(|argument| argument.split_once("_IMAGE="));
    images.map(|(_, image)| image.to_owned()).collect()
}

/// The images that a compose file runs as they are.
pub fn run_by(compose_file: &str) -> BTreeSet<String> {
    let images = compose_file
        .lines()
        .filter_map(|line| line.trim().strip_prefix("image: "));
    images.map(str::to_owned).collect()
}

/// Makes the image of a Debian with every language, unless the engine has it; its name.
pub fn debian(engine: &Engine) -> &'static str {
    if !is_there(engine, LANGUAGES) {
        let root = Parts::locate().languages().display().to_string();
        engine.run_docker(&["import", &root, LANGUAGES]);
    }
    LANGUAGES
}

fn is_there(engine: &Engine, image: &str) -> bool {
    engine.try_docker(&["image", "inspect", image]).is_some()
}

/// Makes those of `images` that the engine does not have.
pub fn provide(engine: &Engine, images: &BTreeSet<String>) {
    // Tests of one run share an engine.
    let lock = File::create(engine.lock_file()).expect("the engine's folder can be written");
    lock.lock().expect("a file can be locked");
    debian(engine);
    let folder = repository().join("tests/base-images").display().to_string();
    for (start, stage) in STAGES {
        let missing = images
            .iter()
            .filter(|image| image.starts_with(start) && !is_there(engine, image));
        let tags: Vec<&str> = missing
            .flat_map(|image| ["--tag", image.as_str()])
            .collect();
        if !tags.is_empty() {
            let build = [
                &["build", "--quiet", "--target", stage],
                &tags[..],
                &[&folder],
            ];
            engine.run_docker(&build.concat());
        }
    }
}
