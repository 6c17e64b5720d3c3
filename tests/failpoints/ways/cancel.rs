//! Cancels.

use std::time::Duration;

use serde_json::Value;
use towline_tests::engine::wait_for_container;
use towline_tests::patience::wait_until;

use super::projects;
use crate::cases::Case;
use crate::order::Order;
use crate::rest;
use crate::stage::{Company, Project, Stage};

/// A build begins within this.
const BUILD_LIMIT: Duration = Duration::from_secs(30);

/// What waits for an agent that is away: the cancel is final at once.
pub fn queued(stage: &mut Stage<'_>, case: &Case) {
    stage.story.agent.stop();
    let (project, order) = ordered(stage);
    order.wait(&stage.story.api, "queued");
    stage.arm(case, Company::Alone);
    stage.until_death(|stage| order.try_cancel(&stage.story.api));
    stage.recover();
    final_at_once(stage, &order);
    stage.story.agent.start();
    stage.wait_online();
    rest::untouched(stage, &project);
}

/// What is offered to an agent that does not answer: the cancel is final at once, and what the agent says later is late.
pub fn offered(stage: &mut Stage<'_>, case: &Case) {
    stage.story.agent.freeze();
    let (project, order) = ordered(stage);
    order.wait(&stage.story.api, "offered");
    stage.arm(case, Company::Alone);
    stage.until_death(|stage| order.try_cancel(&stage.story.api));
    stage.recover();
    final_at_once(stage, &order);
    stage.story.agent.resume();
    stage.wait_online();
    rest::untouched(stage, &project);
}

/// What runs: it stops, and says what it leaves.
pub fn running(stage: &mut Stage<'_>, case: &Case) {
    let (project, order) = begun(stage);
    stage.arm(case, Company::Alone);
    stage.until_death(|stage| order.try_cancel(&stage.story.api));
    stage.recover();
    order.try_cancel(&stage.story.api);
    says_what_it_left(&order.wait(&stage.story.api, "cancelled"));
    // As in `rest::deployed`: what the engine has forgotten is no second creation.
    assert!(stage.story.engine.creations(&project.name) <= 1);
    stage.story.engine.remove_project(&project.name);
}

/// A build: compose is stopped, and no container is made.
pub fn building(stage: &mut Stage<'_>, case: &Case) {
    let project = stage.project(&projects::endless_build());
    let mut order = Order::deployment(&project.id, stage.story.agent.name());
    order.place(&stage.story.api);
    wait_until("the build is at work", BUILD_LIMIT, || {
        let log = order.log(&stage.story.api);
        let is_there = |line: &Value| {
            line["text"]
                .as_str()
                .is_some_and(|text| text.contains("begun 42"))
        };
        log.iter().any(is_there).then_some(())
    });
    stage.arm(case, Company::Alone);
    stage.until_death(|stage| order.try_cancel(&stage.story.api));
    stage.recover();
    order.wait(&stage.story.api, "cancelled");
    rest::untouched(stage, &project);
}

/// A deploy that runs until it is cancelled.
pub fn begun(stage: &mut Stage<'_>) -> (Project, Order) {
    stage.reconnect();
    let project = stage.project(&projects::endless());
    let mut order = Order::deployment(&project.id, stage.story.agent.name());
    order.place(&stage.story.api);
    order.wait(&stage.story.api, "running");
    wait_for_container(&stage.story.engine, &project.name, "running");
    (project, order)
}

/// What a cancelled deploy says to a person.
pub fn says_what_it_left(shown: &Value) {
    let message = shown["message"].as_str().unwrap_or_default();
    assert!(!message.is_empty(), "it does not say what it left: {shown}");
}

fn ordered(stage: &Stage<'_>) -> (Project, Order) {
    let (files, _) = projects::two_services();
    let project = stage.project(&files);
    let mut order = Order::deployment(&project.id, stage.story.agent.name());
    order.place(&stage.story.api);
    (project, order)
}

fn final_at_once(stage: &Stage<'_>, order: &Order) {
    order.try_cancel(&stage.story.api);
    assert_eq!(order.show(&stage.story.api)["status"], "cancelled");
}
