//! Official templates, as people take them: made into a project by one command, built on the host, deployed, and used.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use towline_tests::base_images;
use towline_tests::engine::{Engine, EngineKind};
use towline_tests::patience::wait_until;
use towline_tests::ports::published_port;
use towline_tests::server::DatabaseKind;
use towline_tests::story::{Installation, unique};

use crate::sources::{BUILD_LIMIT, installation};

/// A template, what is chosen besides the port, and how it is used once it runs.
struct Case {
    template: &'static str,
    chosen: &'static [&'static str],
    used: fn(&Engine, u16),
}

/// Those whose images can be made of Debian's packages, and whose dependencies are there.
const CASES: [Case; 8] = [
    Case {
        template: "node-server",
        chosen: &["--set", "greeting=Good morning"],
        used: says_good_morning,
    },
    Case {
        template: "ruby-server",
        chosen: &["--set", "greeting=Good morning"],
        used: says_good_morning,
    },
    Case {
        template: "php-site",
        chosen: &["--set", "greeting=Good morning"],
        used: says_good_morning,
    },
    Case {
        template: "static-site",
        chosen: &["--set", "greeting=Good morning"],
        used: says_good_morning,
    },
    Case {
        template: "fastapi",
        chosen: &[],
        used: keeps_notes,
    },
    Case {
        template: "static-proxy",
        chosen: &[],
        used: passes_on_to_the_api,
    },
    Case {
        template: "redis-worker",
        chosen: &[],
        used: turns_texts_around,
    },
    Case {
        template: "postgres-app",
        chosen: &["--set", "database=shop"],
        used: keeps_notes_in_the_database,
    },
];

#[test]
fn official_templates_are_built_and_do_what_they_are_for() {
    let story = installation(DatabaseKind::Sqlite, EngineKind::New);
    let cli = story.cli();
    let mut images = BTreeSet::new();
    let projects = CASES.map(|case| {
        images.extend(images_of(&story, case.template));
        let (name, port) = (unique(case.template), published_port());
        let port_is = format!("port={port}");
        let create = [
            "projects",
            "create",
            &name,
            "--template",
            case.template,
            "--set",
            &port_is,
        ];
        let made = cli
            .run(&[&create[..], case.chosen, &["--json"]].concat())
            .json();
        (case, made["id"].as_str().unwrap().to_owned(), name, port)
    });
    base_images::provide(&story.engine, &images);
    let begun = projects.each_ref().map(|(_, id, ..)| {
        let target = json!({ "target": story.target() });
        let deployment = story
            .api
            .post(&format!("/projects/{id}/deployments"), &target);
        deployment.ok()["id"].as_str().unwrap().to_owned()
    });
    for ((case, _, name, port), deployment) in projects.iter().zip(&begun) {
        story.deployment(deployment).wait("succeeded", BUILD_LIMIT);
        (case.used)(&story.engine, *port);
        story.engine.remove_project(name);
    }
}

fn images_of(story: &Installation, template: &str) -> BTreeSet<String> {
    let shown = story.api.get(&format!("/templates/{template}")).ok();
    let mut images = BTreeSet::new();
    for file in shown["files"].as_array().unwrap() {
        let (path, text) = (
            file["path"].as_str().unwrap(),
            file["content"].as_str().unwrap(),
        );
        if path.ends_with("Dockerfile") {
            images.extend(base_images::named_in(text));
        } else if path == "docker-compose.yml" {
            images.extend(base_images::run_by(text));
        }
    }
    images
}

fn says_good_morning(engine: &Engine, port: u16) {
    let page = engine.fetch(port).unwrap();
    assert!(page.contains("Good morning"), "{page}");
}

fn passes_on_to_the_api(engine: &Engine, port: u16) {
    let page = engine.fetch(port).unwrap();
    assert!(page.contains("<title>static-proxy-"), "{page}");
    let answer = engine.fetch_path(port, "api/carts");
    assert_eq!(answer.as_deref(), Some("you asked for /api/carts"));
}

fn keeps_notes(engine: &Engine, port: u16) {
    assert_eq!(
        engine.fetch_path(port, "health").as_deref(),
        Some("\"well\"")
    );
    send(engine, &format!("{port}/notes"), r#"{"text":"buy bread"}"#);
    let notes = engine.fetch_path(port, "notes").unwrap();
    assert!(notes.contains("buy bread"), "{notes}");
}

fn turns_texts_around(engine: &Engine, port: u16) {
    send(engine, &format!("{port}/"), "hello");
    wait_until("the worker has done it", Duration::from_secs(20), || {
        engine.fetch(port).filter(|jobs| jobs.contains("olleh"))
    });
}

fn keeps_notes_in_the_database(engine: &Engine, port: u16) {
    send(engine, &format!("{port}/"), "buy bread");
    let notes = engine.fetch(port).unwrap();
    assert!(notes.contains("buy bread"), "{notes}");
}

/// Posts to a server on the host.
fn send(engine: &Engine, to: &str, text: &str) {
    let mut command = engine.on_host("curl");
    command.args(["--silent", "--fail", "--max-time", "5", "--data", text]);
    command.args([
        "--header",
        "Content-Type: application/json",
        &format!("http://127.0.0.1:{to}"),
    ]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{to}: {output:?}");
}
