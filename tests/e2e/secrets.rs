//! Secrets of environments, with `towline` in a terminal and a real engine.

use serde_json::Value;
use towline_tests::compose::{ComposeFolder, Service};
use towline_tests::story::{Installation, unique};

use crate::on_both;

on_both!(a_rotated_secret_shows_what_runs_with_the_former_value);

fn a_rotated_secret_shows_what_runs_with_the_former_value(story: &mut Installation) {
    let ada = story.cli();
    let target = story.first_agent()["name"].as_str().unwrap().to_owned();
    let service = Service::idle("web").line("environment: {PASSWORD: \"${PASSWORD}\"}");
    let folder = ComposeFolder::of(&[service]);
    let path = folder.path().to_str().unwrap();
    let project = unique("shop");
    let deploy = |more: &[&str]| {
        let base = ["deploy", path, "--target", &target, "--project", &project];
        ada.run(&[&base, more].concat()).ok();
    };
    let inside = || {
        let containers = story.engine.containers(&project);
        let id = containers[0]["ID"].as_str().unwrap().to_owned();
        story
            .engine
            .run_docker(&["exec", &id, "sh", "-c", "echo $PASSWORD"])
    };
    deploy(&["--secret", "PASSWORD=value-for-all"]);
    assert_eq!(inside(), "value-for-all");
    let production = ["--env", "production"];
    deploy(&[&production[..], &["--secret", "PASSWORD=first-production"]].concat());
    assert_eq!(inside(), "first-production");

    let outdated = || -> Vec<Value> {
        let listed = ada.run(&["secrets", "list", &project, "--json"]).json();
        let listed = listed.as_array().unwrap().clone();
        assert_eq!(listed.len(), 2, "{listed:?}");
        let uses = listed.iter();
        uses.flat_map(|secret| secret["outdated"].as_array().unwrap().clone())
            .collect()
    };
    assert_eq!(outdated(), Vec::<Value>::new());
    let set = [
        "secrets",
        "set",
        &project,
        "PASSWORD",
        "--env",
        "production",
    ];
    ada.run_with(&set, "second-production").ok();
    let old = outdated();
    assert_eq!(old.len(), 1, "{old:?}");
    assert_eq!(old[0]["version"], 1);
    let table = ada.run(&["secrets", "ls", &project]).ok();
    let line = format!(
        "version 1 on {target} ({})",
        old[0]["deployment_id"].as_str().unwrap()
    );
    assert!(table.contains(&line), "{table}");
    assert!(!table.contains("production-"), "{table}");

    // The same once more means with the value of today.
    ada.run(&["retry", old[0]["deployment_id"].as_str().unwrap()])
        .ok();
    assert_eq!(inside(), "second-production");
    assert_eq!(outdated(), Vec::<Value>::new());

    let which = [&project, "PASSWORD", "--env", "production"];
    let versions = ada
        .run(&[&["secrets", "versions"][..], &which].concat())
        .ok();
    assert!(versions.contains("2 (in use)"), "{versions}");
    ada.run(&[&["secrets", "restore"][..], &which, &["--version", "1"]].concat())
        .ok();
    deploy(&production);
    assert_eq!(inside(), "first-production");
    ada.run(&[&["secrets", "rm"][..], &which, &["--yes"]].concat())
        .ok();
    deploy(&production);
    assert_eq!(inside(), "value-for-all");
    ada.run(&["remove", &project, "--target", &target, "--yes"])
        .ok();
    story.engine.remove_project(&project);
}
