//! A deploy that does not bring its services up is a failed deploy, and says why.

use serde_json::{Value, json};
use towline_tests::compose::{ComposeFolder, Service};
use towline_tests::ports::published_port;
use towline_tests::story::{Deployment, Installation};

use crate::{DEPLOY_LIMIT, on_both};

on_both!(
    a_crash_loop_fails_with_the_last_lines,
    an_unhealthy_service_fails,
    a_missing_image_is_named,
    a_port_in_use_is_named,
    a_task_that_fails_fails_the_deploy,
    a_deadline_that_passes_fails_the_deploy,
);

fn failed(deployment: &Deployment<'_>, reason: &str) -> (Value, Vec<String>) {
    let shown = deployment.wait("failed", DEPLOY_LIMIT);
    assert_eq!(
        shown["reason"],
        reason,
        "{shown}\n{}",
        deployment.log().join("\n")
    );
    (shown, deployment.log())
}

fn a_crash_loop_fails_with_the_last_lines(story: &mut Installation) {
    let services = [Service::idle("good"), Service::crash_loop("bad")];
    let project = story.project("crash", &ComposeFolder::of(&services));
    let (shown, log) = failed(&project.deploy(), "crash_loop");
    assert!(
        shown["message"].as_str().unwrap().contains("bad"),
        "{shown}"
    );
    let end = &log[log.len().saturating_sub(12)..];
    assert!(
        end.iter().any(|line| line.contains("about to crash")),
        "{log:#?}"
    );
}

fn an_unhealthy_service_fails(story: &mut Installation) {
    let project = story.project("ill", &ComposeFolder::of(&[Service::unhealthy("web")]));
    let (shown, _) = failed(&project.deploy(), "unhealthy");
    assert!(
        shown["message"].as_str().unwrap().contains("web"),
        "{shown}"
    );
}

fn a_missing_image_is_named(story: &mut Installation) {
    let image = "towline-test/never-made:7";
    let project = story.project(
        "missing",
        &ComposeFolder::of(&[Service::idle("web").image(image)]),
    );
    let (shown, _) = failed(&project.deploy(), "compose_failed");
    assert!(
        shown["message"].as_str().unwrap().contains(image),
        "{shown}"
    );
}

fn a_port_in_use_is_named(story: &mut Installation) {
    let port = published_port();
    let holder = story.project(
        "holder",
        &ComposeFolder::of(&[Service::page("web", port, "first")]),
    );
    holder.deploy().wait("succeeded", DEPLOY_LIMIT);
    let project = story.project(
        "port",
        &ComposeFolder::of(&[Service::page("web", port, "second")]),
    );
    let (shown, _) = failed(&project.deploy(), "compose_failed");
    assert!(
        shown["message"]
            .as_str()
            .unwrap()
            .contains(&port.to_string()),
        "{shown}"
    );
    assert_eq!(story.engine.fetch(port).as_deref(), Some("first"));
}

fn a_task_that_fails_fails_the_deploy(story: &mut Installation) {
    let task = Service::script("task", "echo it went wrong; exit 3").line("restart: \"no\"");
    let project = story.project("task", &ComposeFolder::of(&[Service::idle("web"), task]));
    let (_, log) = failed(&project.deploy(), "crash_loop");
    assert!(
        log.iter().any(|line| line.contains("it went wrong")),
        "{log:#?}"
    );
}

fn a_deadline_that_passes_fails_the_deploy(story: &mut Installation) {
    let slow = Service::idle("web")
        .line("healthcheck: {test: [\"CMD\", \"false\"], interval: 60s, retries: 9}");
    let project = story.project("slow", &ComposeFolder::of(&[slow]));
    let asked = project
        .request_deployment(&json!({ "target": story.target(), "deadline_s": 5 }))
        .ok();
    failed(&project.deployment(&asked), "deadline");
}
