//! A deploy that does not bring its services up is a failed deploy, and says why.

use serde_json::{Value, json};
use towline_tests::agent::AgentPlan;
use towline_tests::compose::{ComposeFolder, Service};
use towline_tests::patience::wait_until;
use towline_tests::ports::published_port;
use towline_tests::story::{Deployment, Installation, unique};

use crate::{DEPLOY_LIMIT, on_both};

on_both!(
    a_crash_loop_fails_with_the_last_lines,
    an_unhealthy_service_fails,
    a_missing_image_is_named,
    a_port_in_use_is_named,
    a_task_that_fails_fails_the_deploy,
    a_deadline_that_passes_fails_the_deploy,
    a_disk_that_fills_and_is_freed_in_the_middle,
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

/// The log is larger than the room that is left, so the disk is felt in the middle; nothing is lost all the same.
fn a_disk_that_fills_and_is_freed_in_the_middle(story: &mut Installation) {
    const LINES: usize = 400;
    let mut plan = AgentPlan::new(&unique("small"));
    plan.small_disk = Some(1024);
    let agent = story.add_agent(&story.engine, plan);
    let talk = "i=1; while [ $i -le 400 ]; do echo line $i $(cat /proc/sys/kernel/random/uuid); i=$((i+1)); sleep 0.02; done";
    let web = Service::idle("web")
        .line("depends_on: {talk: {condition: service_completed_successfully}}");
    let project = story.project(
        "fills",
        &ComposeFolder::of(&[Service::script("talk", talk), web]),
    );
    let target = story.agent_named(agent.name())["target_id"].clone();
    let asked = project
        .request_deployment(&json!({ "target": target }))
        .ok();
    let deployment = project.deployment(&asked);
    deployment
        .follow(None)
        .wait_for("a first line", DEPLOY_LIMIT, |event| {
            event.data["text"]
                .as_str()
                .is_some_and(|text| text.starts_with("line 20 "))
        });
    agent.disk().fill();
    wait_until("the agent to feel it", DEPLOY_LIMIT, || {
        agent
            .log()
            .contains("the log spool cannot be written")
            .then_some(())
    });
    assert_eq!(deployment.status(), "running");
    agent.disk().free();
    deployment.wait("succeeded", DEPLOY_LIMIT);
    let numbers: Vec<usize> = deployment
        .log()
        .iter()
        .filter_map(|line| line.strip_prefix("line ")?.split(' ').next()?.parse().ok())
        .collect();
    assert!(numbers.iter().copied().eq(1..=LINES), "{numbers:?}");
    assert_eq!(
        story.engine.creations(&project.name),
        2,
        "nothing ran twice"
    );
}
