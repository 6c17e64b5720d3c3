//! A cancel cancels: before acceptance for ever, afterwards at the next safe point.

use std::time::Duration;

use towline_tests::compose::{ComposeFolder, Service};
use towline_tests::engine::wait_for_container;
use towline_tests::patience::never_within;
use towline_tests::story::Installation;

use crate::{DEPLOY_LIMIT, on_both};

on_both!(
    cancelled_while_queued_it_never_happens,
    cancelled_while_running_it_stops_and_says_what_it_left,
    cancelled_while_the_agent_is_away_it_stops_when_it_comes_back,
);

/// Never healthy and never hopeless: its deploy runs until it is cancelled.
fn endless() -> ComposeFolder {
    let waiting = "healthcheck: {test: [\"CMD\", \"false\"], interval: 60s, retries: 9}";
    ComposeFolder::of(&[Service::idle("web").line(waiting)])
}

fn cancelled_while_queued_it_never_happens(story: &mut Installation) {
    story.agent.stop();
    story.wait_online(0);
    let project = story.project("queued", &ComposeFolder::of(&[Service::counting("count")]));
    let deployment = project.deploy();
    let shown = deployment.cancel().ok();
    assert_eq!(shown["status"], "cancelled");
    drop(deployment);
    let (name, id) = (project.name.clone(), project.id.clone());
    drop(project);
    story.agent.start();
    story.wait_online(1);
    let engine = &story.engine;
    never_within(
        "the cancelled deploy has an effect",
        Duration::from_secs(3),
        || (engine.creations(&name) > 0).then_some(()),
    );
    let shown = story.api.get(&format!("/deployments?project={id}")).ok();
    assert_eq!(shown["items"][0]["status"], "cancelled");
}

fn cancelled_while_running_it_stops_and_says_what_it_left(story: &mut Installation) {
    let project = story.project("running", &endless());
    let deployment = project.deploy();
    wait_for_container(&story.engine, &project.name, "running");
    deployment.wait("running", DEPLOY_LIMIT);
    deployment.cancel().ok();
    let shown = deployment.wait("cancelled", Duration::from_secs(15));
    let message = shown["message"].as_str().unwrap_or_default();
    assert!(!message.is_empty(), "it does not say what it left: {shown}");
}

fn cancelled_while_the_agent_is_away_it_stops_when_it_comes_back(story: &mut Installation) {
    let (id, name);
    {
        let project = story.project("away", &endless());
        let deployment = project.deploy();
        wait_for_container(&story.engine, &project.name, "running");
        deployment.wait("running", DEPLOY_LIMIT);
        (id, name) = (deployment.id.clone(), project.name.clone());
        std::mem::forget(project);
    }
    story.agent.kill();
    let asked = story
        .api
        .post(&format!("/deployments/{id}/cancel"), &serde_json::json!({}))
        .ok();
    assert!(asked["cancel_requested_at"].is_string(), "{asked}");
    story.agent.start();
    let cancelled = || {
        let shown = story.api.get(&format!("/deployments/{id}")).ok();
        (shown["status"] == "cancelled").then_some(())
    };
    towline_tests::patience::wait_until("it is cancelled", DEPLOY_LIMIT, cancelled);
    story.engine.remove_project(&name);
}
