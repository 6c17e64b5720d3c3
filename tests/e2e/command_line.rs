//! The way of a person with `towline` in a terminal.

use reqwest::Method;
use serde_json::{Value, json};
use towline_tests::cli::Cli;
use towline_tests::compose::{ComposeFolder, Service};
use towline_tests::story::{Installation, unique};

use crate::on_both;

on_both!(
    a_person_deploys_looks_and_removes,
    the_plans_limit_is_told_with_its_end,
);

fn a_person_deploys_looks_and_removes(story: &mut Installation) {
    let cli: Cli = story.cli();
    let target = story.first_agent()["name"].as_str().unwrap().to_owned();
    let folder = ComposeFolder::of(&[Service::idle("web")]);
    let (path, project) = (folder.path().to_str().unwrap(), unique("shop"));

    let agents = cli.run(&["agents", "ls", "--json"]).json();
    assert!(agents.to_string().contains(&target), "{agents}");
    assert!(cli.run(&["agents", "ls"]).ok().contains("online"));

    let deployed = cli.run(&["deploy", path, "--target", &target, "--project", &project]);
    assert!(
        deployed.ok().contains("started"),
        "the log was not followed"
    );
    let listed = cli.run(&["deployments", "ls", "--json"]).json();
    let id = first_id(&listed);
    assert!(cli.run(&["logs", &id]).ok().contains("started"));
    assert!(cli.run(&["ps", &target]).ok().contains("web"));

    let bad = ComposeFolder::of(&[Service::crash_loop("web")]);
    let failed = cli.run(&[
        "deploy",
        bad.path().to_str().unwrap(),
        "--target",
        &target,
        "--project",
        &project,
    ]);
    assert_eq!(failed.code, Some(1), "{failed:?}");

    let usage = cli.run(&["deploy", "/no/such/folder", "--target", &target]);
    assert!(usage.code.is_some_and(|code| code != 0), "{usage:?}");
    assert!(usage.errors.contains("/no/such/folder"), "{usage:?}");

    cli.run(&["remove", &project, "--target", &target, "--yes"])
        .ok();
    assert!(story.engine.containers(&project).is_empty());
    story.engine.remove_project(&project);
}

fn the_plans_limit_is_told_with_its_end(story: &mut Installation) {
    let cli: Cli = story.cli();
    let target = story.first_agent()["name"].as_str().unwrap().to_owned();
    let folder = ComposeFolder::of(&[Service::idle("web")]);
    let (path, project) = (folder.path().to_str().unwrap(), unique("shop"));
    let deploy = || cli.run(&["deploy", path, "--target", &target, "--project", &project]);
    deploy().ok();

    let used = cli.run(&["usage", "--json"]).json();
    assert_eq!(used["current"]["deployments"], 1, "{used}");
    assert!(used["current"]["log_bytes"].as_u64() > Some(0), "{used}");
    let plan = format!("/plans/{}", used["plan"]["id"].as_str().unwrap());
    let body = json!({ "max_projects": 1, "max_deployments_per_day": 1 });
    let change = story.api.request(Method::PATCH, &plan).json(&body);
    story.api.send(change).ok();

    let end = used["current"]["period_end"].as_str().unwrap();
    let refused = deploy();
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let words = format!("used 1 of 1; resets at {end}");
    assert!(refused.errors.contains(&words), "{refused:?}");
    let table = cli.run(&["usage"]).ok();
    assert!(
        table.contains(&format!("1 of 1, resets at {end}")),
        "{table}"
    );

    // At the limit, it can still be taken away.
    cli.run(&["remove", &project, "--target", &target, "--yes"])
        .ok();
    story.engine.remove_project(&project);
}

fn first_id(list: &Value) -> String {
    let items = list["items"]
        .as_array()
        .or_else(|| list.as_array())
        .unwrap();
    items[0]["id"].as_str().unwrap().to_owned()
}
